"""Which networks are trained alone: drawn from the whole space, and from one narrow band of MACs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from search_spaces.network import Network
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from predictors.tables import CostTables
    from search_spaces.compile_lookup import Rows

POOL = 4096
BAND_RATIO = 1.3
"""Most MACs of the band over its least."""


@dataclass(frozen=True, slots=True)
class DrawnNetwork:
    """An architecture, its network and MACs, and whether these lie in the band."""

    architecture: Architecture
    network: Network
    macs: float
    in_band: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """Distinct networks, those drawn from the band and from the whole space in turns; band: (least, most) MACs."""

    networks: tuple[DrawnNetwork, ...]
    band: tuple[float, float]


def draw_networks(tables: "CostTables", count: int, *, seed: int) -> Draw:
    """`count` networks, fewer where the space has no more: every other one from a band of MACs, drawn by `seed`.

    Choices are uniform over their options. The band lies around the median of what that gives, its ends 1.3 apart.
    Networks that are the same on their own are drawn once.
    """
    space = tables.compiled.space
    rows = _distinct(tables.compiled.sample(np.random.default_rng([seed, 7]), POOL))
    macs = tables.score(rows, ("macs",))["macs"]
    middle = float(np.median(macs))
    band = (middle / BAND_RATIO**0.5, middle * BAND_RATIO**0.5)
    inside = (macs >= band[0]) & (macs <= band[1])
    seen: set[str] = set()

    def fresh(wanted: NDArray[np.int64]) -> Iterator[DrawnNetwork]:
        for i in wanted.tolist():
            architecture = tables.compiled.decode(rows[i])
            network = space.build(architecture)
            if network.fingerprint not in seen:
                seen.add(network.fingerprint)
                yield DrawnNetwork(architecture, network, float(macs[i]), bool(inside[i]))

    narrow, whole = fresh(np.flatnonzero(inside)), fresh(np.arange(len(rows))[::-1])
    found: list[DrawnNetwork] = []
    while len(found) < count:
        turn = narrow if len(found) % 2 == 0 else whole
        following = next(turn, None) or next(whole, None)
        if following is None:
            break
        found.append(following)
    return Draw(tuple(found), band)


def _distinct(rows: "Rows") -> "Rows":
    """`rows` [n, n_slots] without those that came before, in their order."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]
