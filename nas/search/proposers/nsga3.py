"""NSGA-III on coded architectures (Deb and Jain, 2014), steady-state over the history."""

from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

from nas.search.domain import Domain, Floats, History, Rows
from nas.search.proposers.offspring import children, evolve

POPULATION = 40


class Nsga3:
    """Survival by constrained rank and by niches along reference directions, mating at random among survivors."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._directions = reference_directions(len(domain.objectives), POPULATION)

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Random rows until 40 were asked for, then children of the 40 survivors of what was evaluated."""
        excess = np.maximum(history.excess, 0).sum(1)
        parents = history.rows[survivors(history.values, excess, self._directions, POPULATION)]

        def breed(number: int) -> Rows:
            pairs = rng.integers(len(parents), size=(2, number))
            return children(self._domain, parents[pairs[0]], parents[pairs[1]], rng)

        return evolve(self._domain, history, count, rng, start=POPULATION, breed=breed)


def reference_directions(objectives: int, most: int) -> Floats:
    """[n, n_objectives] points spread evenly on the simplex (Das and Dennis, 1998), as many as `most` allows.

    At least the corners.
    """
    if objectives == 1:
        return np.ones((1, 1))
    parts = 1
    while comb(parts + objectives, objectives - 1) <= most:
        parts += 1
    bars = np.array(list(combinations(range(parts + objectives - 1), objectives - 1)))
    edges = np.concatenate([np.full((len(bars), 1), -1), bars, np.full((len(bars), 1), parts + objectives - 1)], axis=1)
    return np.asarray((np.diff(edges, axis=1) - 1) / parts)


def survivors(values: Floats, excess: Floats, directions: Floats, count: int) -> NDArray[np.int64]:
    """Indices of at most `count` survivors: front by front those within limits, then the others by their excess.

    Of the front that does not fit as a whole, those survive that are nearest to the directions with the fewest
    survivors so far. values: [n, n_objectives], minimised. excess: [n], 0 where every limit is kept.
    """
    import moocore

    kept = np.flatnonzero(excess <= 0)
    over = np.argsort(excess, kind="stable")[len(kept) :]
    if len(kept) == 0:
        return over[:count]
    rank = np.asarray(moocore.pareto_rank(values[kept]))
    chosen = np.empty(0, dtype=np.int64)
    for level in np.unique(rank):
        front = kept[rank == level]
        if len(chosen) + len(front) > count:
            chosen = np.concatenate([chosen, _niches(values, chosen, front, directions, count - len(chosen))])
            break
        chosen = np.concatenate([chosen, front])
    return np.concatenate([chosen, over])[:count]


def _niches(
    values: Floats, chosen: NDArray[np.int64], front: NDArray[np.int64], directions: Floats, count: int
) -> NDArray[np.int64]:
    """`count` members of `front`, each the nearest to one of the emptiest directions."""
    both = values[np.concatenate([chosen, front])]
    width = both.max(0) - both.min(0)
    scaled = (both - both.min(0)) / np.where(width > 0, width, 1.0)
    units = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    along = scaled @ units.T
    away = (scaled**2).sum(1)[:, None] - along**2
    nearest = away.argmin(1)
    taken = np.bincount(nearest[: len(chosen)], minlength=len(directions))
    left = {place: (int(nearest[i]), float(away[i].min())) for i, place in enumerate(front, start=len(chosen))}
    found: list[int] = []
    for _ in range(count):
        place = min(left, key=lambda p: (taken[left[p][0]], left[p][1]))
        taken[left.pop(place)[0]] += 1
        found.append(int(place))
    return np.array(found, dtype=np.int64)
