"""Regularised evolution (Real et al., 2019): the old die, whatever they were worth."""

import numpy as np

from nas.search.domain import Domain, History, Rows
from nas.search.proposers.nsga2 import survival_order
from nas.search.proposers.offspring import evolve
from nas.search.variation import mutate

POPULATION = 50
SAMPLE = 10
CHANGES = 1.0


class Evolution:
    """Mutants of the best of ten drawn from the latest fifty; best by constrained rank and crowding among the ten."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Random rows until 50 were asked for, then mutants."""
        rows, values = history.rows[-POPULATION:], history.values[-POPULATION:]
        excess = np.maximum(history.excess[-POPULATION:], 0).sum(1)

        def best_of_some() -> int:
            drawn = rng.choice(len(rows), min(SAMPLE, len(rows)), replace=False)
            return int(drawn[survival_order(values[drawn], excess[drawn])[0]])

        def breed(number: int) -> Rows:
            parents = rows[[best_of_some() for _ in range(number)]]
            return mutate(self._domain, parents, rng, changes=CHANGES)

        return evolve(self._domain, history, count, rng, start=POPULATION, breed=breed)
