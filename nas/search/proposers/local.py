"""Pareto local search (Paquete et al., 2004): try every neighbour of the best, then start again elsewhere."""

import numpy as np

from nas.search.domain import Domain, History, Rows, distinct_rows, no_rows, without
from nas.search.proposers.nsga2 import survival_order
from nas.search.proposers.offspring import filled
from nas.search.variation import single_changes

START = 10
CENTRES = 40


class LocalSearch:
    """Single changes of the evaluated architectures, best first by constrained rank and crowding."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Ten random rows, then untried neighbours of the best, of the next best when those are used up.

        Random rows again when the forty best have no untried neighbours.
        """
        domain = self._domain
        chosen = no_rows(domain)
        if history.asked >= START:
            order = survival_order(history.values, np.maximum(history.excess, 0).sum(1))
            for centre in history.rows[order[:CENTRES]]:
                near = without(domain.within(single_changes(domain, centre)), history.taken)
                chosen = distinct_rows(np.concatenate([chosen, near[rng.permutation(len(near))]]))
                if len(chosen) >= count:
                    break
        return filled(domain, history, chosen, count, rng)
