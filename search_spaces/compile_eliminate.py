"""Exact sums and optima over all architectures by eliminating one variable after another."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.compile_lookup import Table, joined_variables, spread

Combine = Callable[[Any, Any], Any]
MOST_ENTRIES = 1 << 22


class TooManyCombinations(Exception):
    """Choices depend on each other in too many ways to be eliminated one by one."""


def _joined(tables: Sequence[Table], sizes: Sequence[int], combine: Combine) -> Table:
    """One table over the union of the variables; `combine` is applied elementwise."""
    union = joined_variables(tables)
    if math.prod(sizes[v] for v in union) > MOST_ENTRIES:
        raise TooManyCombinations
    result: Any = spread(tables[0], union)
    for table in tables[1:]:
        result = combine(result, spread(table, union))
    return Table(union, np.asarray(result))


def elimination_order(scopes: Iterable[Iterable[int]], sizes: Sequence[int]) -> list[int]:
    """Variables in an order that keeps the joined tables small: always the cheapest next."""
    open_scopes = [frozenset(scope) for scope in scopes if scope]
    remaining = {v for scope in open_scopes for v in scope}
    order: list[int] = []

    def united(variable: int) -> frozenset[int]:
        return frozenset().union(*(scope for scope in open_scopes if variable in scope))

    costs = {v: math.prod(sizes[u] for u in united(v)) for v in remaining}
    while remaining:
        variable = min(remaining, key=lambda v: (costs[v], v))
        union = united(variable)
        open_scopes = [scope for scope in open_scopes if variable not in scope] + [union - {variable}]
        order.append(variable)
        remaining.discard(variable)
        for neighbour in union & remaining:
            costs[neighbour] = math.prod(sizes[u] for u in united(neighbour))
    return order


def count(tables: Sequence[Table], sizes: Sequence[int]) -> int:
    """Sum over all combinations of the product of the tables (of whole numbers), exactly.

    Raises `TooManyCombinations`.
    """
    pending = [Table(table.variables, np.asarray(table.values, dtype=object)) for table in tables]
    total = math.prod(sizes[v] for v in set(range(len(sizes))) - {v for t in tables for v in t.variables})
    for variable in elimination_order([table.variables for table in tables], sizes):
        involved = [table for table in pending if variable in table.variables]
        pending = [table for table in pending if variable not in table.variables]
        table = _joined(involved, sizes, np.multiply)
        axis = table.variables.index(variable)
        rest = (*table.variables[:axis], *table.variables[axis + 1 :])
        pending.append(Table(rest, np.asarray(table.values.sum(axis=axis), dtype=object)))
    for table in pending:
        total *= int(table.values[()])
    return total


def maximum(tables: Sequence[Table], sizes: Sequence[int]) -> npt.NDArray[np.int64] | None:
    """One option per variable with the largest sum of the tables; -inf excludes a combination.

    `None` when every combination is excluded. Ties are broken in a fixed way. Raises `TooManyCombinations`.
    """
    pending = list(tables)
    best: list[tuple[int, Table]] = []
    for variable in elimination_order([table.variables for table in tables], sizes):
        involved = [table for table in pending if variable in table.variables]
        pending = [table for table in pending if variable not in table.variables]
        table = _joined(involved, sizes, np.add)
        axis = table.variables.index(variable)
        rest = (*table.variables[:axis], *table.variables[axis + 1 :])
        best.append((variable, Table(rest, np.asarray(table.values.argmax(axis=axis)))))
        pending.append(Table(rest, np.asarray(table.values.max(axis=axis))))
    if any(np.isneginf(float(table.values[()])) for table in pending):
        return None
    chosen = np.zeros(len(sizes), np.int64)
    for variable, table in reversed(best):
        chosen[variable] = table.values[tuple(chosen[v] for v in table.variables)]
    return chosen
