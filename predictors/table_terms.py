"""Cost tables of nodes merged into few terms, and their look-up for whole populations."""

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from search_spaces.compile_lookup import CHUNK, DerivedColumn, Lookup, Table, joined_variables, spread
from search_spaces.errors import SpaceError

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]
Combine = Callable[[Any, Any], Any]
MERGED_ENTRIES = 1 << 14
TERM_ENTRIES = 1 << 21
PACK = 4
"""Figures per term: rows of 32 bytes are what `numpy.take` copies fastest."""


def merged(
    tables: Iterable[Table],
    sizes: Sequence[int],
    combine: Combine,
    names: Callable[[int], str],
    *,
    most: int = MERGED_ENTRIES,
) -> list[Table]:
    """`tables` joined into few over unions of their variables, by `combine`; each has at most `most` entries.

    Single tables beyond that are kept; `SpaceError` that names their variables beyond `TERM_ENTRIES`.
    """
    groups: dict[frozenset[int], list[Table]] = {}
    for table in tables:
        groups.setdefault(frozenset(table.variables), []).append(table)
    entries: dict[frozenset[int], int] = {}

    def size(scope: frozenset[int]) -> int:
        if scope not in entries:
            entries[scope] = math.prod(sizes[v] for v in scope)
        return entries[scope]

    for scope in groups:
        if size(scope) > TERM_ENTRIES:
            raise SpaceError(
                f"the costs of one operator depend on {len(scope)} choices in {size(scope)} ways (at most "
                f"{TERM_ENTRIES} can be tabulated): {', '.join(map(names, sorted(scope)))}. Offer fewer options, or "
                "let it depend on fewer of them"
            )
    pairs: list[tuple[int, tuple[int, ...], tuple[int, ...]]] = []

    def offer(first: frozenset[int], others: Iterable[frozenset[int]]) -> None:
        for second in others:
            joint, larger = size(first | second), max(size(first), size(second))
            if joint <= max(most, larger):
                heapq.heappush(pairs, (joint - larger, tuple(sorted(first)), tuple(sorted(second))))

    scopes = list(groups)
    for i, scope in enumerate(scopes):
        offer(scope, scopes[:i])
    while pairs:
        _, *pair = heapq.heappop(pairs)
        first, second = map(frozenset, pair)
        if first not in groups or second not in groups:
            continue
        members = groups.pop(first) + groups.pop(second)
        if first | second in groups:
            groups[first | second] += members
        else:
            offer(first | second, groups)
            groups[first | second] = members
    return [joined(group, combine) for group in groups.values()]


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

    def score(self, rows: npt.NDArray[Any], *, threads: int = 2) -> tuple[list[Floats], Floats, Mask]:
        """Sums `[n, 4]` per pack, the maximum `[n]` (0 without maxima), and where something is unknown `[n]`."""
        sums = [np.empty((len(rows), PACK)) for _ in self._packs]
        most = np.zeros(len(rows))
        unknown = np.zeros(len(rows), bool)

        def work(part: slice) -> None:
            self._score(rows[part], [array[part] for array in sums], most[part], unknown[part])

        parts = _parts(len(rows), threads)
        if len(parts) == 1:
            work(parts[0])
        else:
            with _single_thread_products(), ThreadPoolExecutor(len(parts)) as pool:
                list(pool.map(work, parts))
        return sums, most, unknown

    def _score(self, rows: npt.NDArray[Any], sums: Sequence[Floats], most: Floats, unknown: Mask) -> None:
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
                if np.isnan(total[part].sum()):
                    unknown[part] |= np.isnan(total[part]).any(axis=1)
            for table in self._maxima:
                np.take(table, entries[term], out=one[:n], mode="clip")
                np.maximum(most[part], one[:n], out=most[part])
                term += 1
            if np.isnan(most[part].sum()):
                unknown[part] |= np.isnan(most[part])


def _parts(n: int, threads: int) -> list[slice]:
    """Even shares of `n` rows in whole chunks, none where there are too few to share."""
    chunks = -(-n // CHUNK)
    shares = max(1, min(threads, chunks))
    step = max(1, -(-chunks // shares)) * CHUNK
    return [slice(start, min(start + step, n)) for start in range(0, max(n, 1), step)]


@cache
def _controller() -> Any:
    """Controls the threads of the library behind matrix products; `None` where it cannot be controlled."""
    try:
        return import_module("threadpoolctl").ThreadpoolController()
    except ImportError:
        return None


def _single_thread_products() -> AbstractContextManager[Any]:
    controller = _controller()
    return nullcontext() if controller is None else controller.limit(limits=1, user_api="blas")
