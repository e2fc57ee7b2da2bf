"""What evolutionary proposers share: a random start, children that are new, and random rows where these run out."""

from collections.abc import Callable

import numpy as np

from nas.search.domain import Domain, History, Rows, distinct_rows, no_rows, without
from nas.search.limits import feasible_rows
from nas.search.variation import crossover, mutate

BATCHES = 8
OVERSUPPLY = 8
CHANGES = 1.0

Breed = Callable[[int], Rows]


def evolve(domain: Domain, history: History, count: int, rng: np.random.Generator, *, start: int, breed: Breed) -> Rows:
    """Up to `count` new rows [n, n_slots]: random until `start` were asked for, then what `breed` makes.

    breed: from a number to about so many canonical rows, old ones among them. Random rows fill up where a bounded
    number of attempts does not give enough; none is bred before two results are in.
    """
    fresh = count if len(history.rows) < 2 else min(count, max(0, start - history.asked))
    chosen = feasible_rows(domain, rng, fresh, taken=history.taken) if fresh else no_rows(domain)
    for _ in range(BATCHES if fresh < count else 0):
        rows = domain.within(breed(OVERSUPPLY * (count - fresh)))
        chosen = distinct_rows(np.concatenate([chosen, without(rows, history.taken)]))
        if len(chosen) >= count:
            break
    return filled(domain, history, chosen, count, rng)


def filled(domain: Domain, history: History, chosen: Rows, count: int, rng: np.random.Generator) -> Rows:
    """The first `count` of `chosen`; where there are fewer, random new rows after them."""
    if len(chosen) < count:
        taken = np.concatenate([history.taken, chosen])
        chosen = np.concatenate([chosen, feasible_rows(domain, rng, count - len(chosen), taken=taken)])
    return chosen[:count]


def children(domain: Domain, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
    """Uniform crossover of two parents each [n, n_slots], then mutation of one slot on average."""
    return mutate(domain, crossover(domain, first, second, rng), rng, changes=CHANGES)
