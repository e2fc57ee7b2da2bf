"""Limits on figures that are known without evaluation: can they be met, and rows that meet them."""

from collections.abc import Callable

import numpy as np

from nas.search.domain import Domain, Floats, Rows, distinct_rows, no_rows, without
from nas.search.variation import crossover, descend, mutate
from search_spaces.errors import NasError
from search_spaces.space import Architecture

CHUNK = 2048
DRAWS = 6
ROUNDS = 25
STARTS = 6
SHOWN_PICKS = 8
TIE_BREAK = 1e-7


def lowest(domain: Domain, figure: str, rng: np.random.Generator) -> tuple[Rows, float, bool]:
    """The row with the smallest `figure`, that value, and whether it is proved: all rows were scored, or eliminated.

    Otherwise the smallest that bounded evolution and descent by single changes find.
    """

    def cost(rows: Rows) -> Floats:
        return domain.score(rows)[figure]

    proved = None if domain.everything is not None or domain.prover is None else domain.prover.least(figure)
    row = minimise(domain, cost, rng) if proved is None else proved
    return row, float(cost(row[None])[0]), proved is not None or domain.everything is not None


def minimise(domain: Domain, cost: Callable[[Rows], Floats], rng: np.random.Generator) -> Rows:
    """The row [n_slots] with the least `cost`; exact where all rows can be scored.

    Of equal ones that with the least of all other known figures, which leads descent over the plains that a maximum
    such as peak memory has.
    """
    if domain.everything is not None:
        return np.asarray(domain.everything[int(np.argmin(cost(domain.everything)))])
    ends = np.stack([np.zeros_like(domain.options), domain.options - 1]).astype(np.int16)
    population = np.concatenate([domain.space.repair(ends), domain.space.sample(rng, CHUNK)])
    scale = {name: max(float(np.abs(values).max()), 1e-300) for name, values in domain.score(population).items()}
    width = max(float(np.abs(cost(population)).max()), 1e-300)

    def total(rows: Rows) -> Floats:
        others = domain.score(rows)
        tie = sum((values / scale[name] for name, values in others.items()), np.zeros(len(rows)))
        return np.asarray(cost(rows) / width + TIE_BREAK * tie)

    for _ in range(ROUNDS):
        kept = population[np.argsort(total(population), kind="stable")[: CHUNK // 8]]
        parents = kept[rng.integers(len(kept), size=(2, CHUNK // 2))]
        children = [mutate(domain, parents[0], rng), crossover(domain, parents[0], parents[1], rng)]
        population = distinct_rows(np.concatenate([kept, *children]))
    best = population[np.argsort(total(population), kind="stable")[:STARTS]]
    found = [descend(domain, start, total) for start in best]
    return min(found, key=lambda pair: pair[1])[0]


def check_limits(domain: Domain, rng: np.random.Generator) -> None:
    """Raise NasError when the known limits cannot be met, with the best values that can be reached.

    Each limit is checked alone, then all of them together. Limits on figures that only an evaluation tells are
    not checked.
    """
    lines: list[str] = []
    drawn = domain.score(domain.space.sample(rng, CHUNK)) if domain.known_limits else {}
    for name, limit in domain.known_limits.items():
        if drawn[name].min() <= limit:
            continue
        row, value, proved = lowest(domain, name, rng)
        if value > limit:
            lines.append(
                f"{name} may be at most {_number(limit)}, but the smallest that "
                f"{'any architecture reaches' if proved else 'was found'} is {_number(value)} "
                f"({describe(domain.space.decode(row))})"
            )
    if lines:
        raise NasError(
            "the limits cannot be met: " + "; ".join(lines) + ". Raise the limit to at least that value, or give "
            "the space smaller options"
        )
    if len(domain.known_limits) > 1 and len(feasible_rows(domain, rng, 1)) == 0:
        raise _not_together(domain, rng)


def _not_together(domain: Domain, rng: np.random.Generator) -> NasError:
    proved = None if domain.prover is None else domain.prover.nearest(domain.known_limits)
    row = minimise(domain, domain.excess, rng) if proved is None else proved
    certain = proved is not None or domain.everything is not None
    figures = domain.score(row[None])
    parts = [
        f"{name} {_number(float(figures[name][0]))} (limit {_number(limit)})"
        for name, limit in domain.known_limits.items()
    ]
    over = [name for name, limit in domain.known_limits.items() if figures[name][0] > limit]
    return NasError(
        "each limit can be met alone, but not all together: the closest architecture "
        f"{'of all' if certain else 'found'} has {', '.join(parts)} "
        f"({describe(domain.space.decode(row))}). Raise {' or '.join(over)} to at least these values"
    )


def feasible_rows(domain: Domain, rng: np.random.Generator, count: int, *, taken: Rows | None = None) -> Rows:
    """Up to `count` distinct rows that keep the known limits and are not `taken`, uniform where that is enough.

    Draws are filtered first; where limits are so tight that too few remain, rows are led towards them by bounded
    mutation and crossover of the least offending ones. Fewer rows, even none, come back where more cannot be found.
    """
    avoid = no_rows(domain) if taken is None else taken
    if domain.everything is not None:
        rows = without(domain.within(domain.everything), avoid)
        return rows[rng.permutation(len(rows))[:count]]
    found = no_rows(domain)
    offending = no_rows(domain)
    for _ in range(DRAWS):
        drawn = domain.space.sample(rng, max(CHUNK, 2 * count) if domain.known_limits else 2 * count)
        excess = domain.excess(drawn)
        found = distinct_rows(np.concatenate([found, without(drawn[excess <= 0], avoid)]))
        if len(found) >= count:
            return found[:count]
        offending = _least(domain, np.concatenate([offending, drawn]), CHUNK // 8)
    return _led(domain, rng, count, found, offending, avoid)[:count]


def _led(domain: Domain, rng: np.random.Generator, count: int, found: Rows, offending: Rows, avoid: Rows) -> Rows:
    """Lead `offending` rows into the limits until `count` are `found`, for a bounded number of rounds."""
    population = np.concatenate([found, offending])
    for _ in range(ROUNDS):
        parents = population[rng.integers(len(population), size=(2, CHUNK // 2))]
        children = np.concatenate([mutate(domain, parents[0], rng), crossover(domain, parents[0], parents[1], rng)])
        excess = domain.excess(children)
        found = distinct_rows(np.concatenate([found, without(children[excess <= 0], avoid)]))
        if len(found) >= count:
            break
        population = _least(domain, np.concatenate([population, children]), CHUNK // 8)
    return found


def _least(domain: Domain, rows: Rows, count: int) -> Rows:
    """The `count` distinct rows that exceed the known limits least."""
    rows = distinct_rows(rows)
    return rows[np.argsort(domain.excess(rows), kind="stable")[:count]]


def describe(architecture: Architecture) -> str:
    """The first picks of an architecture in one short line."""
    picks = [f"{name}={value}" for name, value in architecture.picks]
    more = len(picks) - SHOWN_PICKS
    return ", ".join(picks[:SHOWN_PICKS]) + (f", and {more} more" if more > 0 else "")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == int(value) else f"{value:.4g}"
