"""The architectures at the ends of a space: exactly by elimination where that is possible, else by ascent."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from predictors.table_nodes import NodeCosts
from predictors.table_terms import joined
from search_spaces.compile_eliminate import TooManyCombinations, maximum
from search_spaces.compile_lookup import Rows, Table
from search_spaces.compiled import CompiledSpace
from search_spaces.errors import SpaceError

Floats = npt.NDArray[np.float64]
STEPS = 1 << 40
"""Steps into which a figure that is no count is divided; counts are taken exactly."""
STARTS = 32


def eliminated_extreme(
    compiled: CompiledSpace, nodes: Sequence[NodeCosts], figures: Sequence[str], *, largest: bool
) -> Rows | None:
    """The canonical valid row with the largest (smallest) first of `figures`, among those the second, and so on.

    Figures must add up over nodes; they are packed into one whole number, so the order is exact. `None` where too many
    choices depend on each other.
    """
    scores: dict[tuple[int, ...], Table] = {}
    weight = 1
    for figure in reversed(figures):
        tables = [node.sums[figure] for node in nodes]
        unit = _unit(tables)
        reach = 1
        for table in tables:
            known = np.isfinite(table.values)
            steps = np.rint(np.where(known, table.values, 0) / unit).astype(np.int64)
            reach += int(steps.max(initial=0))
            whole = steps.reshape(-1).astype(object) * (weight if largest else -weight)
            whole[~known.reshape(-1)] = -np.inf
            score = Table(table.variables, whole.reshape(steps.shape))
            earlier = scores.get(table.variables)
            scores[table.variables] = score if earlier is None else joined([earlier, score], np.add)
        weight *= reach
    sizes = [*(len(slot.options) for slot in compiled.slots), *(column.size for column in compiled.columns)]
    allowed = [_excluded(table) for table in compiled.canonical_indicators]
    try:
        row = maximum([*allowed, *scores.values()], sizes)
    except TooManyCombinations:
        return None
    if row is None:
        raise SpaceError(f"space {compiled.space.name!r} has no valid architecture")
    return row[: len(compiled.slots)].astype(np.int16)


def eliminated_least_maximum(compiled: CompiledSpace, tables: Sequence[Table]) -> Rows | None:
    """The canonical valid row whose largest entry over all `tables` is smallest; unknown entries are left out.

    Bisection over the entries: are there architectures none of whose entries is larger? `None` where too many choices
    depend on each other.
    """
    same: dict[tuple[int, ...], list[Table]] = {}
    for table in tables:
        same.setdefault(table.variables, []).append(table)
    parts = [joined(group, np.maximum) for group in same.values()]
    sizes = [*(len(slot.options) for slot in compiled.slots), *(column.size for column in compiled.columns)]
    allowed = [
        Table(table.variables, np.where(table.values == 0, -np.inf, 0.0)) for table in compiled.canonical_indicators
    ]

    def within(most: float) -> npt.NDArray[np.int64] | None:
        kept = [Table(part.variables, np.where(part.values <= most, 0.0, -np.inf)) for part in parts]
        return maximum([*allowed, *kept], sizes)

    levels = np.unique(np.concatenate([part.values[np.isfinite(part.values)] for part in parts]))
    low, high = 0, len(levels) - 1
    try:
        best = within(float(levels[high]))
        while best is not None and low < high:
            middle = (low + high) // 2
            found = within(float(levels[middle]))
            if found is None:
                low = middle + 1
            else:
                high, best = middle, found
    except TooManyCombinations:
        return None
    return None if best is None else best[: len(compiled.slots)].astype(np.int16)


def ascended_extreme(compiled: CompiledSpace, score: Callable[[Rows], Floats]) -> Rows:
    """The best canonical row that changing single picks reaches from `STARTS` random rows.

    `score` gives `[n, k]` for rows `[n, n_slots]`; rows compare by the first column, then the second, and so on, larger
    being better.
    """
    starts = compiled.sample(np.random.default_rng(0), STARTS)
    reached = [_ascended(compiled, row, score) for row in starts]
    return max(reached, key=lambda item: item[0])[1]


def _ascended(compiled: CompiledSpace, row: Rows, score: Callable[[Rows], Floats]) -> tuple[tuple[float, ...], Rows]:
    best = tuple(score(row[None])[0].tolist())
    improved = True
    while improved:
        improved = False
        for slot, choice in enumerate(compiled.slots):
            trial = np.repeat(row[None], len(choice.options), axis=0)
            trial[:, slot] = np.arange(len(choice.options))
            trial = compiled.repair(trial)
            values = list(map(tuple, score(trial).tolist()))
            top = max(range(len(values)), key=values.__getitem__)
            if values[top] > best:
                best, row, improved = values[top], trial[top], True
    return best, row


def _unit(tables: Sequence[Table]) -> float:
    """1 for counts, else so small that the largest sum has `STEPS` steps."""
    if all((np.isnan(table.values) | (table.values == np.rint(table.values))).all() for table in tables):
        return 1.0
    return float(sum(np.nanmax(table.values) for table in tables)) / STEPS


def _excluded(indicator: Table) -> Table:
    """0 where the indicator is 1, -inf where it is 0."""
    return Table(indicator.variables, np.asarray(np.where(indicator.values == 0, -np.inf, 0), dtype=object))
