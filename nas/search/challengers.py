"""Architectures such as a search under a limit selects: the largest networks that are predicted to keep it.

Choosing by a prediction favours the networks it flatters, so a bound taken from random ones is too small for these.
"""

import numpy as np

from nas.search.domain import Domain, Floats, Rows, distinct_rows, row_keys
from nas.search.variation import crossover, mutate

POPULATION = 4096
ROUNDS = 20
KEPT = 24


def challengers(domain: Domain, rng: np.random.Generator, count: int) -> Rows:
    """Up to `count` distinct rows [n, n_slots] within the known limits, each the best found for a taste of its own.

    A taste weighs the logarithms of multiply-adds, parameters and kept parameters at random; in small spaces several
    tastes share their best row, and the next best are taken.
    """
    names = domain.capacity
    tastes = rng.dirichlet(np.ones(len(names)), size=count)
    population = domain.everything if domain.everything is not None else domain.space.sample(rng, POPULATION)
    for _ in range(0 if domain.everything is not None else ROUNDS):
        order = np.argsort(-_liking(domain, population, names, tastes), axis=1)[:, :KEPT]
        kept = population[np.unique(order)]
        parents = kept[rng.integers(len(kept), size=(2, POPULATION // 2))]
        children = [mutate(domain, parents[0], rng), crossover(domain, parents[0], parents[1], rng)]
        population = distinct_rows(np.concatenate([kept, *children]))
    population = domain.within(population)
    liking = _liking(domain, population, names, tastes)
    taken: dict[bytes, int] = {}
    keys = row_keys(population)
    for wanted in liking:
        for place in np.argsort(-wanted, kind="stable"):
            if keys[place].tobytes() not in taken:
                taken[keys[place].tobytes()] = int(place)
                break
    return population[list(taken.values())]


def _liking(domain: Domain, rows: Rows, names: tuple[str, ...], tastes: Floats) -> Floats:
    """[n_tastes, n] how much each taste likes each row; exceeding a limit costs more than any capacity is worth."""
    figures = domain.score(rows)
    logs = np.stack([np.log(np.maximum(figures[name], 1.0)) for name in names])
    excess = domain.excess(rows)
    return np.asarray(tastes @ logs - np.where(excess > 0, 1e3 * (1 + excess), 0.0))
