"""NSGA-II on coded architectures (Deb et al., 2002), steady-state over the history."""

import numpy as np

from nas.search.domain import Domain, Floats, History, Rows, distinct_rows, no_rows, without
from nas.search.limits import feasible_rows
from nas.search.variation import crossover, mutate

POPULATION = 40
BATCHES = 8
OVERSUPPLY = 8
CHANGES = 1.0


class Nsga2:
    """Tournaments by constrained rank and crowding, uniform crossover, mutation of one slot on average."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Random rows until 40 were asked for, then children of the best 40 evaluated ones."""
        domain = self._domain
        fresh = min(count, max(0, POPULATION - history.asked))
        if len(history.rows) < 2:
            fresh = count
        chosen = feasible_rows(domain, rng, fresh, taken=history.taken) if fresh else no_rows(domain)
        if len(chosen) < count and len(history.rows) >= 2:
            chosen = np.concatenate([chosen, self._children(history, count - len(chosen), chosen, rng)])
        if len(chosen) < count:
            taken = np.concatenate([history.taken, chosen])
            more = feasible_rows(domain, rng, count - len(chosen), taken=taken)
            chosen = np.concatenate([chosen, more])
        return chosen

    def _children(self, history: History, count: int, chosen: Rows, rng: np.random.Generator) -> Rows:
        domain = self._domain
        order = survival_order(history.values, np.maximum(history.excess, 0).sum(1))[:POPULATION]
        parents = history.rows[order]
        found = no_rows(domain)
        taken = np.concatenate([history.taken, chosen])
        for _ in range(BATCHES):
            places = rng.integers(len(parents), size=(2, 2, OVERSUPPLY * count)).min(0)
            children = crossover(domain, parents[places[0]], parents[places[1]], rng)
            children = domain.within(mutate(domain, children, rng, changes=CHANGES))
            found = distinct_rows(np.concatenate([found, without(children, taken)]))
            if len(found) >= count:
                break
        return found[:count]


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
