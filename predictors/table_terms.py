"""Cost tables of nodes merged into few terms, and their look-up for whole populations."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.compile_lookup import CHUNK, DerivedColumn, Lookup, Table, joined_variables, spread
from search_spaces.errors import SpaceError

Floats = npt.NDArray[np.float64]
Combine = Callable[[Any, Any], Any]
MERGED_ENTRIES = 1 << 14
TERM_ENTRIES = 1 << 21
PACK = 4
"""Figures per term: rows of 32 bytes are what `numpy.take` copies fastest."""


def merged(
    tables: Iterable[Table], sizes: Sequence[int], combine: Combine, names: Callable[[int], str]
) -> list[Table]:
    """`tables` joined into few over unions of their variables, by `combine`; each has at most `MERGED_ENTRIES`.

    Single tables beyond that are kept; `SpaceError` that names their variables beyond `TERM_ENTRIES`.
    """
    by_scope: dict[tuple[int, ...], npt.NDArray[Any]] = {}
    for table in tables:
        known = by_scope.get(table.variables)
        by_scope[table.variables] = table.values if known is None else combine(known, table.values)

    def entries(scope: Iterable[int]) -> int:
        return math.prod(sizes[v] for v in scope)

    for scope in by_scope:
        if entries(scope) > TERM_ENTRIES:
            raise SpaceError(
                f"the costs of one operator depend on {len(scope)} choices in {entries(scope)} ways (at most "
                f"{TERM_ENTRIES} can be tabulated): {', '.join(map(names, scope))}. Offer fewer options, or let it "
                "depend on fewer of them"
            )
    scopes = [frozenset(scope) for scope in by_scope]
    members = {scope: [Table(tuple(sorted(scope)), by_scope[tuple(sorted(scope))])] for scope in scopes}
    while True:
        best = min(_mergeable(list(members), entries), key=lambda pair: pair[0], default=None)
        if best is None:
            break
        _, first, second = best
        joint = members.pop(first) + members.pop(second)
        members.setdefault(first | second, []).extend(joint)
    return [joined(group, combine) for group in members.values()]


def _mergeable(
    scopes: list[frozenset[int]], entries: Callable[[Iterable[int]], int]
) -> Iterator[tuple[tuple[int, int, int], frozenset[int], frozenset[int]]]:
    """Pairs worth merging, cheapest growth first."""
    for i, first in enumerate(scopes):
        for j, second in enumerate(scopes[:i]):
            union = first | second
            size, larger = entries(union), max(entries(first), entries(second))
            if size <= max(MERGED_ENTRIES, larger):
                yield (size - larger, i, j), first, second


def joined(tables: Sequence[Table], combine: Combine) -> Table:
    """One table over the union of the variables."""
    union = joined_variables(tables)
    values: Any = spread(tables[0], union)
    for table in tables[1:]:
        values = combine(values, spread(table, union))
    return Table(union, np.asarray(values))


def packed(tables: Sequence[Table]) -> Table:
    """One table over the union of the variables whose entries are rows `[PACK]`: one value per table, then zeros."""
    union = joined_variables(tables)
    parts = [spread(table, union) for table in tables]
    shape = np.broadcast_shapes(*(part.shape for part in parts))
    rows = np.zeros((*shape, PACK))
    for i, part in enumerate(parts):
        rows[..., i] = part
    return Table(union, rows)


class Terms:
    """Scores rows: `packs` are lists of terms of four figures each that add up, `maxima` terms of one that do not."""

    def __init__(
        self, n_slots: int, columns: Sequence[DerivedColumn], packs: Sequence[Sequence[Table]], maxima: Sequence[Table]
    ) -> None:
        tables = [table for pack in packs for table in pack] + list(maxima)
        self._lookup = Lookup(n_slots, columns, tables)
        self._packs = [[table.flat for table in pack] for pack in packs]
        self._maxima = [table.flat for table in maxima]

    @property
    def n_terms(self) -> int:
        """Number of tables looked up per row."""
        return sum(map(len, self._packs)) + len(self._maxima)

    @property
    def n_bytes(self) -> int:
        """Size of all tables."""
        return sum(t.nbytes for pack in self._packs for t in pack) + sum(t.nbytes for t in self._maxima)

    def score(self, rows: npt.NDArray[Any], *, threads: int = 2) -> tuple[list[Floats], Floats]:
        """Sums `[n, 4]` per pack, and the maximum `[n]` (0 without maxima); NaN where something is unknown."""
        sums = [np.empty((len(rows), PACK)) for _ in self._packs]
        most = np.zeros(len(rows))

        def work(part: slice) -> None:
            self._score(rows[part], [array[part] for array in sums], most[part])

        parts = _parts(len(rows), threads)
        if len(parts) == 1:
            work(parts[0])
        else:
            with _single_thread_products(), ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(work, parts))
        return sums, most

    def _score(self, rows: npt.NDArray[Any], sums: Sequence[Floats], most: Floats) -> None:
        some = np.empty((CHUNK, PACK))
        one = np.empty(CHUNK)
        for part, entries in self._lookup.entries(rows):
            n, term = part.stop - part.start, 0
            for pack, total in zip(self._packs, sums, strict=True):
                for position, table in enumerate(pack):
                    target = total[part] if position == 0 else some[:n]
                    np.take(table, entries[term], axis=0, out=target, mode="clip")
                    if position:
                        np.add(total[part], target, out=total[part])
                    term += 1
                if not pack:
                    total[part] = 0
            for table in self._maxima:
                np.take(table, entries[term], out=one[:n], mode="clip")
                np.maximum(most[part], one[:n], out=most[part])
                term += 1


def _parts(n: int, threads: int) -> list[slice]:
    """Even shares of `n` rows in whole chunks, none where there are too few to share."""
    chunks = -(-n // CHUNK)
    shares = max(1, min(threads, chunks))
    step = -(-chunks // shares) * CHUNK
    return [slice(start, min(start + step, n)) for start in range(0, max(n, 1), step)]


@cache
def _controller() -> Any:
    """Controls the threads of the library behind matrix products; `None` where it cannot be controlled."""
    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        return None
    return ThreadpoolController()


def _single_thread_products() -> AbstractContextManager[Any]:
    controller = _controller()
    return nullcontext() if controller is None else controller.limit(limits=1, user_api="blas")
