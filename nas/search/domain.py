"""What a proposer sees of a search: coded architectures, their known costs, and what was tried."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from predictors.figures import CAPACITY
from search_spaces.builder import Value
from search_spaces.errors import NasError
from search_spaces.space import Architecture

Rows = NDArray[np.int16]
Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Score = Callable[[Rows], Mapping[str, Floats]]
ENUMERATED = 200_000


class Slot(Protocol):
    """One position of a coded architecture: its stable name and every option it can ever have."""

    @property
    def name(self) -> str:
        """The choice's name."""

    @property
    def options(self) -> tuple[Value, ...]:
        """The options, index by index."""


class CodedSpace(Protocol):
    """A space whose architectures are rows of option indices, as `CompiledSpace` offers it."""

    @property
    def slots(self) -> Sequence[Slot]:
        """The slots, one per column."""

    def repair(self, rows: Rows) -> Rows:
        """The canonical valid rows nearest to `rows` [n, n_slots]."""

    def sample(self, rng: np.random.Generator, n: int) -> Rows:
        """`n` canonical valid rows, choices drawn uniformly."""

    def decode(self, row: Rows) -> Architecture:
        """The architecture of one row [n_slots]."""


@runtime_checkable
class ListedSpace(Protocol):
    """A coded space that can name all of its architectures, such as the rows of a table of measurements."""

    @property
    def all_rows(self) -> Rows:
        """Every canonical row [n, n_slots], once."""


class Prover(Protocol):
    """Proves what a space can reach at best."""

    def best(self, worth: "str | Sequence[Floats]", limits: Mapping[str, float], taken: Rows) -> Rows | None:
        """The row [n_slots] with the least `worth` that keeps the limits and is not `taken`; `None` without any.

        worth: the name of a figure that adds up over operators, or per slot an array of what each option adds.
        """

    def least(self, figure: str) -> Rows | None:
        """The row [n_slots] with the least `figure` of all; `None` where that cannot be proved."""

    def nearest(self, limits: Mapping[str, float]) -> Rows | None:
        """The row that exceeds the limits least where it is proved that none keeps them all, else `None`."""


@dataclass(frozen=True)
class History:
    """What a proposer may know.

    rows: [n, n_slots] evaluated, in order. values: [n, n_objectives], all minimised. excess: [n, n_limits], figure
    minus limit, at most 0 where the limit is kept. pending: [m, n_slots] proposed, without results yet. excluded:
    [k, n_slots] never to be proposed again (twins of others, failed ones).
    """

    rows: Rows
    values: Floats
    excess: Floats
    pending: Rows
    excluded: Rows

    @property
    def taken(self) -> Rows:
        """Every row that must not be proposed again."""
        return np.concatenate([self.rows, self.pending, self.excluded])

    @property
    def feasible(self) -> Mask:
        """[n] which evaluated rows keep every limit."""
        return np.asarray((self.excess <= 0).all(1), dtype=bool)

    @property
    def asked(self) -> int:
        """How many were proposed so far."""
        return len(self.rows) + len(self.pending)


@dataclass(frozen=True)
class Domain:
    """A search problem as arrays.

    space: the coded space. objectives: figure names, all minimised. score: rows [n, n_slots] to the figures that are
    known without evaluation, each [n]. known: their names. limits: figure name to the most it may be. prover: proves
    that limits cannot be met; without one that is only proved where every row can be scored.
    """

    space: CodedSpace
    objectives: tuple[str, ...]
    score: Score
    known: tuple[str, ...] = ()
    limits: Mapping[str, float] = field(default_factory=dict)
    prover: Prover | None = None

    def __post_init__(self) -> None:
        if not self.objectives:
            raise NasError("a search needs at least one objective")

    @cached_property
    def options(self) -> NDArray[np.int64]:
        """[n_slots] number of options per slot."""
        return np.array([len(slot.options) for slot in self.space.slots], dtype=np.int64)

    @cached_property
    def known_limits(self) -> dict[str, float]:
        """The limits on figures that are known without evaluation."""
        return {name: limit for name, limit in self.limits.items() if name in self.known}

    @cached_property
    def axes(self) -> tuple[str, ...]:
        """The known objectives; when there is none, the first known figure, if any."""
        known = tuple(name for name in self.objectives if name in self.known)
        return known or self.known[:1]

    @cached_property
    def capacity(self) -> tuple[str, ...]:
        """The known figures that grow with the size of a network; the axes when there is none."""
        return tuple(name for name in CAPACITY if name in self.known) or self.axes

    @cached_property
    def everything(self) -> Rows | None:
        """All canonical rows [n, n_slots] of a listed space or one of at most 200,000 codes, else `None`."""
        if isinstance(self.space, ListedSpace):
            return self.space.all_rows
        if np.prod(self.options.astype(float)) > ENUMERATED:
            return None
        count = int(np.prod(self.options))
        grid = np.stack(np.unravel_index(np.arange(count), tuple(self.options)), axis=1)
        return distinct_rows(self.space.repair(grid.astype(np.int16)))

    def excess(self, rows: Rows) -> Floats:
        """[n] by how much the known limits are exceeded, summed, each as a share of its limit."""
        total = np.zeros(len(rows))
        if self.known_limits and len(rows):
            figures = self.score(rows)
            for name, limit in self.known_limits.items():
                total += np.maximum(figures[name] - limit, 0) / max(abs(limit), 1e-12)
        return total

    def within(self, rows: Rows) -> Rows:
        """Those of `rows` that keep the known limits."""
        return rows[self.excess(rows) <= 0] if self.known_limits else rows


def no_rows(domain: Domain) -> Rows:
    """An empty set of rows [0, n_slots]."""
    return np.empty((0, len(domain.options)), dtype=np.int16)


def empty_history(domain: Domain) -> History:
    """The history before anything was tried."""
    none = no_rows(domain)
    return History(none, np.empty((0, len(domain.objectives))), np.empty((0, len(domain.limits))), none, none)


def row_keys(rows: Rows) -> NDArray[np.void]:
    """[n] one opaque comparable value per row."""
    block = np.ascontiguousarray(rows if rows.shape[1] else np.zeros((len(rows), 1)), dtype=np.int16)
    return block.view(np.dtype((np.void, block.dtype.itemsize * block.shape[1]))).ravel()


def distinct_rows(rows: Rows) -> Rows:
    """`rows` without repetitions, in order of first appearance."""
    if len(rows) == 0:
        return rows
    _, first = np.unique(row_keys(rows), return_index=True)
    return rows[np.sort(first)]


def without(rows: Rows, taken: Rows) -> Rows:
    """`rows` that are not among `taken`."""
    if len(taken) == 0 or len(rows) == 0:
        return rows
    return rows[~np.isin(row_keys(rows), row_keys(taken))]
