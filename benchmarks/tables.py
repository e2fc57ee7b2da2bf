"""Tabular benchmarks: published measurements of many networks, as coded spaces that a search can be run on."""

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from nas.search.domain import Domain, Floats, Mask, Rows, row_keys
from search_spaces.builder import Value
from search_spaces.errors import NasError, unknown_name
from search_spaces.space import Architecture

Places = NDArray[np.int64]
Key = Callable[[tuple[int, ...]], Hashable]
GRID = 200_000
CHUNK = 1024
OTHER_SLOT = 8.0


@dataclass(frozen=True)
class TableSlot:
    """One position of the code."""

    name: str
    options: tuple[Value, ...]

    @property
    def ordered(self) -> bool:
        """Whether the options are numbers, so that some are nearer to each other than others."""
        return not any(isinstance(option, str) for option in self.options)


class TableSpace:
    """The rows of a table as a coded space that is closed over them, whatever part of the grid of codes they are.

    rows: [n, n_slots], each once. twins: [k, n_slots] other codes of networks in the table. places: [k] the rows
    that they are twins of.
    """

    def __init__(self, slots: tuple[TableSlot, ...], rows: Rows, twins: Rows, places: Places) -> None:
        self.slots = slots
        self.all_rows = rows
        keys = row_keys(np.concatenate([rows, twins]))
        order = np.argsort(keys, kind="stable")
        self._keys = keys[order]
        self._places = np.concatenate([np.arange(len(rows)), places])[order]
        self._points = self._placed(rows)

    def find(self, rows: Rows) -> tuple[Places, Mask]:
        """[m] the place in the table of each of `rows` [m, n_slots], and whether it is there itself, or a twin.

        Elsewhere the place of the nearest row: in the fewest slots another option, then the fewest steps between
        ordered options, then the first.
        """
        keys = row_keys(rows)
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        exact = np.asarray(self._keys[at] == keys, dtype=bool)
        places = self._places[at]
        missing = np.flatnonzero(~exact)
        for start in range(0, len(missing), CHUNK):
            part = missing[start : start + CHUNK]
            apart = (self._points**2).sum(1) - 2 * self._placed(rows[part]) @ self._points.T
            places[part] = np.argmin(apart, axis=1)
        return places, exact

    def repair(self, rows: Rows) -> Rows:
        """The rows of the table nearest to `rows` [m, n_slots]."""
        return np.asarray(self.all_rows[self.find(rows)[0]])

    def sample(self, rng: np.random.Generator, n: int) -> Rows:
        """`n` rows of the table, each as likely as any other."""
        return np.asarray(self.all_rows[rng.integers(len(self.all_rows), size=n)])

    def decode(self, row: Rows) -> Architecture:
        """The options of one row."""
        pairs = zip(self.slots, row, strict=True)
        return Architecture(tuple((slot.name, slot.options[int(index)]) for slot, index in pairs))

    def _placed(self, rows: Rows) -> Floats:
        """[m, d] points whose squared distances are 128 per differing slot plus the steps between ordered options."""
        blocks: list[Floats] = []
        for slot, column in zip(self.slots, rows.T, strict=True):
            numbers = np.arange(len(slot.options))
            blocks.append(OTHER_SLOT * (column[:, None] == numbers))
            if slot.ordered:
                blocks.append((column[:, None] >= numbers[1:]).astype(float))
        return np.concatenate(blocks, axis=1)


@dataclass(frozen=True)
class Table:
    """Distinct networks as a space, and figure name to column [n], all to be made small.

    known: the figures that are counted, so that a search need not look them up.
    """

    space: TableSpace
    figures: Mapping[str, Floats]
    known: tuple[str, ...]

    def domain(self, objectives: tuple[str, ...], limits: Mapping[str, float] | None = None) -> Domain:
        """The search problem in which counted figures are known and the others must be looked up."""

        def score(rows: Rows) -> dict[str, Floats]:
            places, _ = self.space.find(rows)
            return {name: self.figures[name][places] for name in self.known}

        return Domain(self.space, objectives, score, self.known, dict(limits or {}))

    def values(self, objectives: tuple[str, ...]) -> Floats:
        """[n, n_objectives] the objectives of every row."""
        return np.stack([self.figures[name] for name in objectives], axis=1)


@dataclass(frozen=True)
class Measurements:
    """What a file holds: slots, codes [n, n_slots], figure name to column [n] (nan where not measured), counted names.

    Codes with equal `key` build one network.
    """

    slots: tuple[TableSlot, ...]
    codes: Rows
    figures: Mapping[str, Floats]
    known: tuple[str, ...]
    key: Key = tuple

    @cached_property
    def _keys(self) -> list[Hashable]:
        return [self.key(tuple(code)) for code in self.codes.tolist()]

    def table(self, objectives: Sequence[str]) -> Table:
        """The distinct networks of which every objective was measured.

        A network that was measured several times has the mean of its figures, and the last of its codes in order.

        Raises NasError for an objective that the file does not have.
        """
        for name in objectives:
            if name not in self.figures:
                raise unknown_name("figure of this table", name, self.figures)
        names = list(dict.fromkeys([*objectives, *self.known]))
        columns = np.stack([self.figures[name] for name in names], axis=1)
        usable = np.flatnonzero(np.isfinite(columns).all(1))
        if len(usable) < 2:
            raise NasError(
                f"{len(usable)} networks of the table have figures for all of {', '.join(names)}; 2 are needed"
            )
        networks: dict[Hashable, list[int]] = {}
        for at in usable.tolist():
            networks.setdefault(self._keys[at], []).append(at)
        codes = self.codes.tolist()
        chosen = {key: max(members, key=lambda at: codes[at]) for key, members in networks.items()}
        order = sorted(networks, key=lambda key: codes[chosen[key]])
        rows = self.codes[[chosen[key] for key in order]]
        means = np.stack([columns[networks[key]].mean(0) for key in order])
        twins, places = self._twins({key: place for place, key in enumerate(order)})
        space = TableSpace(self.slots, rows, twins, places)
        return Table(space, dict(zip(names, means.T, strict=True)), self.known)

    def _twins(self, placed: Mapping[Hashable, int]) -> tuple[Rows, Places]:
        """All codes of the grid [k, n_slots] whose network is among `placed`, and where; none for a large grid."""
        counts = tuple(len(slot.options) for slot in self.slots)
        if self.key is tuple or np.prod(np.array(counts, dtype=float)) > GRID:
            return self.codes[:0], np.empty(0, dtype=np.int64)
        grid = np.stack(np.unravel_index(np.arange(int(np.prod(counts))), counts), axis=1).astype(np.int16)
        found = [placed.get(self.key(tuple(code)), -1) for code in grid.tolist()]
        places = np.array(found, dtype=np.int64)
        return grid[places >= 0], places[places >= 0]
