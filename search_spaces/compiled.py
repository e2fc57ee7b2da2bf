"""A search space as fixed slots and tables: populations are integer matrices, looked up instead of built."""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from search_spaces.builder import Value
from search_spaces.compile_choices import Choices, Mask, Offer
from search_spaces.compile_cover import Cover
from search_spaces.compile_eliminate import TooManyCombinations
from search_spaces.compile_finish import Learned, finish
from search_spaces.compile_learn import Learner
from search_spaces.compile_lookup import DerivedColumn, Rows, Table
from search_spaces.compile_nodes import NodeForm, WeightUse, node_forms, weight_uses
from search_spaces.compile_observe import Observer
from search_spaces.errors import InvalidArchitecture, SpaceError
from search_spaces.space import SAMPLE_TRIES, Architecture, SearchSpace, _key

LOGGER = logging.getLogger("nas")
VERIFIED_RUNS = 256
BATCH = 64
MOST_ROUNDS = 2000
LOGGED_ROUNDS = 20
VALID_ROWS = 512


@dataclass(frozen=True, slots=True)
class Slot:
    """One choice with every option it can ever offer: numbers rising, anything else as first met."""

    name: str
    options: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Size:
    """Number of valid combinations of picks; several may build one network.

    `proved` when the space is declarative or was enumerated, else checked on `verified_on` fresh architectures.
    """

    value: int
    proved: bool
    verified_on: int

    def __str__(self) -> str:
        known = "proved" if self.proved else f"verified on {self.verified_on} architectures"
        exact = f"{self.value:,}" if self.value < 10**9 else f"{self.value:.3e}"
        return f"{exact} combinations of picks ({known})"


class CompiledSpace:
    """Slots of a space, and per field of its operators a table over the slots that matter.

    An architecture is a row `[n_slots]` of option positions. Any row means an architecture: choices not asked for are
    ignored, an option not offered stands for the nearest one offered. In canonical rows, which `repair` and `sample`
    return, the former are at 0 and the latter replaced, so that equal architectures are equal rows.
    """

    def __init__(
        self, space: SearchSpace, learned: Learned, *, proved: bool, verified_on: int, observed: frozenset[str]
    ) -> None:
        self.space = space
        self.learned = learned
        self.slots = tuple(Slot(name, options) for name, options in learned.slots)
        self.proved = proved
        self.verified_on = verified_on
        self.observed = observed
        self._choices = Choices(learned)
        self._positions = {slot.name: i for i, slot in enumerate(self.slots)}

    @property
    def columns(self) -> tuple[DerivedColumn, ...]:
        """Variables computed from slots; variable `n_slots + i` is the i-th of them."""
        return self.learned.columns

    @cached_property
    def nodes(self) -> tuple[NodeForm, ...]:
        """Every node that some architecture has, once per class of operator it can be."""
        return tuple(node_forms(self.learned))

    @cached_property
    def weight_uses(self) -> Mapping[tuple[str, str], tuple[WeightUse, ...]]:
        """Per (weights path, class name): all (operator, layout of its first input) over every architecture."""
        return weight_uses(self.learned)

    @cached_property
    def maxima(self) -> Mapping[tuple[str, str], Mapping[str, tuple[int, ...]]]:
        """Per (weights path, class name) and tensor: the largest size of each axis over every architecture."""
        found: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
        for key, uses in self.weight_uses.items():
            largest: dict[str, tuple[int, ...]] = {}
            for op, layout in uses:
                for name, weight in op.weights(((sum(size for _, size in layout),),)).items():
                    largest[name] = tuple(map(max, weight.shape, largest.get(name, weight.shape)))
            found[key] = largest
        return found

    @cached_property
    def canonical_indicators(self) -> tuple[Table, ...]:
        """Tables over slots and columns whose product is 1 for canonical valid rows and 0 for all others."""
        return tuple(self._choices.indicators())

    @cached_property
    def default_row(self) -> Rows:
        """A canonical row: the first options, or the architecture nearest to them that is valid."""
        return np.asarray(self.repair(np.zeros((1, len(self.slots)), np.int16))[0])

    @cached_property
    def _some_valid(self) -> Rows:
        return self.sample(np.random.default_rng(0), VALID_ROWS)

    def valid(self, rows: Rows) -> Mask:
        """[n] which rows `[n, n_slots]` no requirement refuses."""
        return ~self._choices.refused(np.asarray(rows))

    @property
    def offers(self) -> tuple[Offer, ...]:
        """When each slot offers which options."""
        return tuple(self._choices.offers)

    @property
    def refusals(self) -> tuple[Table, ...]:
        """Tables over slots and columns, one of which is true of every canonical row that a requirement refuses."""
        return tuple(self._choices.requirements)

    def active(self, rows: Rows) -> Mask:
        """[n, n_slots] which choices the architectures of canonical `rows` [n, n_slots] are asked for."""
        return self._choices.active(np.asarray(rows))

    def repair(self, rows: Rows) -> Rows:
        """The canonical valid rows nearest to `rows` `[n, n_slots]`, as `SearchSpace.repair` finds them.

        Where a requirement refuses the outcome, a valid row that differs in one pick, else in two, else the nearest of
        some sampled ones. Deterministic.
        """
        fixed = self._choices.canonical(np.asarray(rows))
        for i in np.flatnonzero(self._choices.refused(fixed)):
            fixed[i] = self._choices.accepted(fixed[i], self._some_valid)
        return fixed

    def encode(self, architecture: Architecture) -> Rows:
        """Canonical row `[n_slots]` of an architecture of this space; `InvalidArchitecture` when it is none."""
        row = np.zeros(len(self.slots), np.int16)
        for name, value in architecture.picks:
            if name not in self._positions:
                raise InvalidArchitecture(f"the space does not ask for {name!r}")
            slot = self._positions[name]
            keys = [_key(option) for option in self.slots[slot].options]
            if _key(value) not in keys:
                raise InvalidArchitecture(f"choice {name!r} is {value!r}; options: {self.slots[slot].options}")
            row[slot] = keys.index(_key(value))
        return row

    def decode(self, row: Rows) -> Architecture:
        """The architecture of a row `[n_slots]`, after repair."""
        fixed = self.repair(np.asarray(row)[None])[0]
        values = {slot.name: slot.options[i] for slot, i in zip(self.slots, fixed, strict=True)}
        return self.space.repair(values)

    def sample(self, rng: np.random.Generator, n: int) -> Rows:
        """`n` canonical valid rows, every choice uniform over what it offers.

        Raises `SpaceError` when 200 draws in a row leave some row refused.
        """
        rows = self._choices.draw(rng, n)
        for _ in range(SAMPLE_TRIES):
            refused = np.flatnonzero(self._choices.refused(rows))
            if not len(refused):
                return rows
            rows[refused] = self._choices.draw(rng, len(refused))
        raise SpaceError(
            f"space {self.space.name!r}: requirements refused {SAMPLE_TRIES} draws in a row. Make options depend on "
            "earlier picks so that what is drawn is valid, or relax the requirement"
        )

    def size(self) -> Size:
        """Number of valid combinations of picks, exactly as far as the tables are right (see `Size`).

        `SpaceError` where choices depend on each other in too many ways to be counted.
        """
        return self._size

    @cached_property
    def _size(self) -> Size:
        try:
            return Size(self._choices.size(), self.proved, self.verified_on)
        except TooManyCombinations:
            raise SpaceError(
                f"space {self.space.name!r}: too many choices decide together what others offer or what is refused; "
                "its architectures cannot be counted. Let options depend on fewer earlier picks"
            ) from None


def compile_space(space: SearchSpace, observers: Sequence[Observer] = (), *, seed: int = 0) -> CompiledSpace:
    """Learn the tables of `space` from runs of its function; the same seed gives the same tables.

    Each of `observers` adds fields to nodes: it maps a network to {field: one hashable value per node}. Raises
    `SpaceError` when no architecture is valid, the space breaks on some picks, or a field depends on too many
    choices or on something that is no choice.
    """
    learner = Learner(space, observers, np.random.default_rng(seed))
    cover = Cover(learner)
    learner.discover()
    learner.flip()
    verified, enough = 0, min(VERIFIED_RUNS, math.prod(map(len, learner.observer.options)))
    for turn in range(MOST_ROUNDS):
        if turn % LOGGED_ROUNDS == LOGGED_ROUNDS - 1:
            LOGGER.info("compiling %s: %d architectures built so far", space.name, len(learner.evidence.runs))
        learner.mend()
        learner.simplify()
        rows, aimed = cover.propose(BATCH)
        if len(rows):
            learner.observe(rows.tolist())
            cover.report(aimed)
            verified = 0
            continue
        filled = learner.tables.filled
        rows = cover.random_rows(BATCH)
        learner.observe(rows.tolist())
        settled = not learner.tables.pending and learner.tables.filled == filled
        verified = verified + BATCH if settled else 0
        if verified >= enough:
            break
    else:
        raise learner.unsettled(min(learner.tables.pending, default=0))
    enumerated = learner.enumerated
    return CompiledSpace(
        space,
        finish(learner),
        proved=space.declarative or enumerated is not None,
        verified_on=verified if enumerated is None else enumerated,
        observed=learner.observer.observed,
    )
