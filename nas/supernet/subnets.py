"""The networks that training is about, as built networks and as rows of the compiled space."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from search_spaces.compile_lookup import Rows
from search_spaces.compiled import CompiledSpace
from search_spaces.network import Network

if TYPE_CHECKING:
    from predictors.tables import CostTables

Floats = npt.NDArray[np.float64]
Draw = Callable[[np.random.Generator], Network]


@dataclass(frozen=True)
class Subnet:
    """A network to train, and its row `[n_slots]` where the space is compiled."""

    network: Network
    row: Rows | None = None


@dataclass(frozen=True)
class Coded:
    """A compiled space and its MACs: what drawing by cost, or dimension by dimension, takes.

    macs: rows `[n, n_slots]` to MACs `[n]`. cheapest, dearest: the rows at both ends of MACs. largest: the row of the
    largest network.
    """

    compiled: CompiledSpace
    macs: Callable[[Rows], Floats]
    cheapest: Rows
    dearest: Rows
    largest: Rows

    @classmethod
    def of(cls, tables: "CostTables", *, largest: Rows) -> "Coded":
        """The space of `tables`, whose largest network has the row `largest`."""

        def macs(rows: Rows) -> Floats:
            return tables.score(rows, ("macs",), threads=1)["macs"]

        cheapest, dearest = (tables.extreme(("macs",), largest=most) for most in (False, True))
        return cls(tables.compiled, macs, cheapest, dearest, largest)

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The fewest and the most MACs of the space."""
        low, high = self.macs(np.stack([self.cheapest, self.dearest]))
        return float(low), float(high)

    def subnet(self, row: Rows) -> Subnet:
        """The network of a row, which is repaired where it needs to be."""
        return Subnet(self.compiled.space.build(self.compiled.decode(row)), row)

    def held(self, row: Rows, slots: Sequence[int]) -> Rows:
        """`row` with `slots` as in the largest network, repaired."""
        fixed = row.copy()
        fixed[list(slots)] = self.largest[list(slots)]
        return np.asarray(self.compiled.repair(fixed[None])[0])


@dataclass(frozen=True)
class Subnets:
    """The ends of a space, random networks by `draw`, and `middle`, which is watched beside the ends.

    coded: what sampling by cost and progressive shrinking need.
    """

    largest: Network
    smallest: Network
    middle: Network
    draw: Draw
    coded: Coded | None = None
