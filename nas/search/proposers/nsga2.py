"""NSGA-II on coded architectures (Deb et al., 2002), steady-state over the history."""

import numpy as np

from nas.search.domain import Domain, Floats, History, Rows
from nas.search.proposers.offspring import children, evolve

POPULATION = 40


class Nsga2:
    """Tournaments by constrained rank and crowding, uniform crossover, mutation of one slot on average."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Random rows until 40 were asked for, then children of the best 40 evaluated ones."""
        parents = history.rows[survival_order(history.values, np.maximum(history.excess, 0).sum(1))[:POPULATION]]

        def breed(number: int) -> Rows:
            winners = rng.integers(len(parents), size=(2, 2, number)).min(0)
            return children(self._domain, parents[winners[0]], parents[winners[1]], rng)

        return evolve(self._domain, history, count, rng, start=POPULATION, breed=breed)


def survival_order(values: Floats, excess: Floats) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Indices from best to worst: those within limits by rank, then crowding; the others by their excess.

    values: [n, n_objectives], minimised. excess: [n], 0 where every limit is kept.
    """
    import moocore

    kept = np.flatnonzero(excess <= 0)
    rank = np.zeros(len(values))
    crowding = np.zeros(len(values))
    if len(kept):
        rank[kept] = np.asarray(moocore.pareto_rank(values[kept]), dtype=float)
        for level in np.unique(rank[kept]):
            members = kept[rank[kept] == level]
            crowding[members] = crowding_distance(values[members])
    return np.lexsort((-crowding, rank, np.maximum(excess, 0)))


def crowding_distance(values: Floats) -> Floats:
    """[n] gap between the neighbours of each point, summed over objectives; infinite at the ends."""
    distance = np.zeros(len(values))
    for column in values.T:
        order = np.argsort(column, kind="stable")
        span = column[order[-1]] - column[order[0]]
        distance[order[[0, -1]]] = np.inf
        if span > 0:
            distance[order[1:-1]] += (column[order[2:]] - column[order[:-2]]) / span
    return distance
