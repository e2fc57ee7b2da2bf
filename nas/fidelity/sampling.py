"""Which networks are trained alone: from one narrow band of MACs, and from all over their range."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from search_spaces.network import Network
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from predictors.tables import CostTables
    from search_spaces.compile_lookup import Rows
    from search_spaces.compiled import CompiledSpace

POOL = 4096
BAND_RATIO = 1.3
"""Most MACs of the band over its least."""
GOLDEN = (5**0.5 - 1) / 2


@dataclass(frozen=True, slots=True)
class DrawnNetwork:
    """An architecture, its network and MACs, and whether these lie in the band."""

    architecture: Architecture
    network: Network
    macs: float
    in_band: bool


@dataclass(frozen=True, slots=True)
class Draw:
    """Distinct networks, those drawn from the band and from the whole range in turns; band: (least, most) MACs."""

    networks: tuple[DrawnNetwork, ...]
    band: tuple[float, float]


def draw_networks(tables: "CostTables", count: int, *, seed: int) -> Draw:
    """`count` networks, fewer where the space has no more, drawn by `seed`; a longer draw begins with a shorter one.

    Every other one comes from a band of MACs, choices uniform over their options; it lies around the median of what
    such choices give, its ends 1.3 apart. The others lie evenly between the fewest and the most MACs of the space, on a
    logarithmic scale: uniform choices seldom come near either end. Networks that are the same on their own are drawn
    once.
    """
    rng = np.random.default_rng([seed, 7])
    uniform = _distinct(tables.compiled.sample(rng, POOL))
    ends = np.stack([tables.extreme(("macs",), largest=largest) for largest in (False, True)])
    rows = _distinct(np.concatenate([uniform, ends, _leaning(tables.compiled, uniform, ends, rng)]))
    macs = tables.score(rows, ("macs",))["macs"]
    middle = float(np.median(macs[: len(uniform)]))
    band = (middle / BAND_RATIO**0.5, middle * BAND_RATIO**0.5)
    inside = (macs >= band[0]) & (macs <= band[1])
    used: set[int] = set()
    seen: set[str] = set()

    def first_new(places: Iterable[int]) -> DrawnNetwork | None:
        for i in places:
            if i in used:
                continue
            used.add(i)
            architecture = tables.compiled.decode(rows[i])
            network = tables.compiled.space.build(architecture)
            if network.fingerprint not in seen:
                seen.add(network.fingerprint)
                return DrawnNetwork(architecture, network, float(macs[i]), bool(inside[i]))
        return None

    narrow = np.flatnonzero(inside[: len(uniform)]).tolist()
    height = np.log(macs)
    start = rng.random()
    found: list[DrawnNetwork] = []
    while len(found) < count:
        following = first_new(narrow) if len(found) % 2 == 0 else None
        if following is None:
            wanted = height.min() + (start + len(found) // 2 * GOLDEN) % 1 * np.ptp(height)
            following = first_new(np.argsort(np.abs(height - wanted), kind="stable").tolist())
        if following is None:
            break
        found.append(following)
    return Draw(tuple(found), band)


def _leaning(compiled: "CompiledSpace", rows: "Rows", ends: "Rows", rng: np.random.Generator) -> "Rows":
    """`rows` [n, n_slots], each moved towards one of two `ends` in a share of its choices that is its own."""
    lean = rng.uniform(-1, 1, size=(len(rows), 1))
    towards = ends[(lean[:, 0] > 0).astype(int)]
    return compiled.repair(np.where(rng.random(rows.shape) < np.abs(lean), towards, rows))


def _distinct(rows: "Rows") -> "Rows":
    """`rows` [n, n_slots] without those that came before, in their order."""
    _, first = np.unique(rows, axis=0, return_index=True)
    return rows[np.sort(first)]
