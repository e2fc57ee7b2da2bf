"""Variation of coded architectures in bulk: mutation, crossover, mixing; always closed over valid rows."""

from collections.abc import Callable

import numpy as np

from nas.search.domain import Domain, Floats, Mask, Rows, distinct_rows


def mutate(domain: Domain, rows: Rows, rng: np.random.Generator, *, changes: float = 1.5) -> Rows:
    """Redraw about `changes` slots of each row [n, n_slots], at least one that has several options."""
    free = domain.options > 1
    if not free.any() or len(rows) == 0:
        return rows
    shape = rows.shape
    redrawn = rng.random(shape) < changes / free.sum()
    redrawn[np.arange(shape[0]), rng.choice(np.flatnonzero(free), shape[0])] = True
    step = rng.integers(1, np.maximum(domain.options, 2), size=shape)
    changed = np.where(redrawn & free, (rows + step) % domain.options, rows)
    return domain.space.repair(changed.astype(np.int16))


def crossover(domain: Domain, first: Rows, second: Rows, rng: np.random.Generator) -> Rows:
    """Take each slot from either parent row with equal chance; both are [n, n_slots]."""
    return mix(domain, first, second, rng.random(first.shape) < 0.5)


def mix(domain: Domain, first: Rows, second: Rows, take_first: Mask) -> Rows:
    """Rows with the slots of `first` where `take_first` [n, n_slots], else those of `second`."""
    return domain.space.repair(np.where(take_first, first, second).astype(np.int16))


def single_changes(domain: Domain, row: Rows) -> Rows:
    """Every canonical row that differs from `row` [n_slots] by one slot before repair; [m, n_slots]."""
    slots = np.repeat(np.arange(len(domain.options)), domain.options - 1)
    rows = np.repeat(row[None], len(slots), axis=0)
    step = np.concatenate([np.arange(1, count) for count in domain.options] or [np.empty(0)])
    at = np.arange(len(slots))
    rows[at, slots] = (rows[at, slots] + step) % domain.options[slots]
    return distinct_rows(domain.space.repair(rows))


def descend(domain: Domain, start: Rows, cost: Callable[[Rows], Floats]) -> tuple[Rows, float]:
    """Follow the best single change from `start` [n_slots] until none lowers `cost`; the row and its cost.

    Ends after at most four changes per slot. A cost that is additive over slots is minimised exactly.
    """
    best, value = start, float(cost(start[None])[0])
    for _ in range(4 * len(domain.options)):
        if value <= 0:
            break
        near = single_changes(domain, best)
        if len(near) == 0:
            break
        costs = cost(near)
        at = int(np.argmin(costs))
        if not costs[at] < value:
            break
        best, value = near[at], float(costs[at])
    return best, value
