"""Uniform over cost: the MACs of drawn subnets spread evenly from the fewest to the most of the space.

Uniform over choices starves the ends: the sum of many independent choices gathers in the middle (ShiftNAS, Zhang et
al. 2023).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.supernet.subnets import Coded, Subnet
from search_spaces.compile_lookup import Rows

STARTS = 4
CLOSE = 0.01
POLISHED = 4


def aimed(coded: Coded, rng: np.random.Generator, macs: float) -> Rows:
    """A random row `[n_slots]` whose MACs are close to `macs`.

    From each of some random rows a path leads to the cheapest or the dearest row of the space, one choice at a time
    in random order; the row on these paths that comes closest is taken. Where it misses by more than 1 %, the single
    choice that helps most is changed, a few times.
    """
    starts = coded.compiled.sample(rng, STARTS)
    n_slots = starts.shape[1]
    costs = coded.macs(starts)
    ends = np.where((costs < macs)[:, None], coded.dearest, coded.cheapest)
    rank = rng.random((STARTS, n_slots)).argsort(axis=1).argsort(axis=1)
    taken = rank[:, None, :] < np.arange(n_slots + 1)[None, :, None]
    path = np.where(taken, ends[:, None, :], starts[:, None, :]).reshape(-1, n_slots)
    path = coded.compiled.repair(path)
    misses = np.abs(coded.macs(path) - macs)
    best = int(misses.argmin())
    row, miss = path[best], float(misses[best])
    for _ in range(POLISHED):
        if miss <= CLOSE * macs:
            break
        near = coded.compiled.repair(_neighbours(coded, row))
        misses = np.abs(coded.macs(near) - macs)
        best = int(misses.argmin())
        if misses[best] >= miss:
            break
        row, miss = near[best], float(misses[best])
    return np.asarray(row)


def _neighbours(coded: Coded, row: Rows) -> Rows:
    """`row` with each single choice changed to each of its options."""
    found = []
    for position, slot in enumerate(coded.compiled.slots):
        rows = np.repeat(row[None], len(slot.options), axis=0)
        rows[:, position] = np.arange(len(slot.options))
        found.append(rows)
    return np.concatenate(found)


@dataclass(frozen=True)
class UniformCost:
    """Aims at MACs drawn uniformly between the fewest and the most of the space."""

    coded: Coded

    @property
    def listens(self) -> bool:
        """No."""
        return False

    def draw(self, rng: np.random.Generator) -> Subnet:
        """A random subnet of random MACs."""
        return self.coded.subnet(aimed(self.coded, rng, float(rng.uniform(*self.coded.ends))))

    def heard(self, subnet: Subnet, gap: float) -> None:
        """Nothing is learnt."""

    def state(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""
