"""Candidates in bulk, and where they lie along the known costs."""

import numpy as np

from nas.search.domain import Domain, Floats, History, Rows, distinct_rows, no_rows, without
from nas.search.limits import feasible_rows
from nas.search.variation import crossover, descend, mix, mutate

REFERENCE_ROWS = 1024
OVERSHOOT = 1e3


class Axes:
    """The known costs on a common scale, and the architectures at their ends, worked out once per domain."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        rng = np.random.default_rng(0)
        sample = feasible_rows(domain, rng, REFERENCE_ROWS)
        figures = domain.score(sample) if len(sample) else {}
        self._logarithmic = {name: bool((values > 0).all()) for name, values in figures.items()}
        self._centre = {name: float(self._coded(name, values).mean()) for name, values in figures.items()}
        spread = {name: float(self._coded(name, values).std()) for name, values in figures.items()}
        self._scale = {name: width if width > 1e-9 else 1.0 for name, width in spread.items()}
        self.ends = self._ends(sample)

    def _coded(self, name: str, values: Floats) -> Floats:
        return np.log(np.maximum(values, 1e-300)) if self._logarithmic[name] else np.asarray(values, dtype=float)

    def scaled(self, rows: Rows, names: tuple[str, ...]) -> Floats:
        """[n, n_names] figures in standard deviations of a random sample; logarithmic where all are positive."""
        if len(rows) == 0 or not self._scale:
            return np.zeros((len(rows), len(names)))
        figures = self._domain.score(rows)
        columns = [(self._coded(name, figures[name]) - self._centre[name]) / self._scale[name] for name in names]
        return np.stack(columns, axis=1) if columns else np.zeros((len(rows), 0))

    def _ends(self, sample: Rows) -> Rows:
        """Rows within the known limits with the least and the most of each axis and of their mean; the largest."""
        domain = self._domain
        if len(sample) == 0 or not domain.axes:
            return sample[:0]
        found = [self._end(sample, (name,), sign) for name in domain.axes for sign in (1.0, -1.0)]
        if len(domain.axes) > 1:
            found += [self._end(sample, domain.axes, sign) for sign in (1.0, -1.0)]
        found.append(self._end(sample, domain.capacity, -1.0))
        return distinct_rows(domain.within(np.stack(found)))

    def _end(self, sample: Rows, names: tuple[str, ...], sign: float) -> Rows:
        def cost(rows: Rows) -> Floats:
            place = np.asarray(sign * self.scaled(rows, names).mean(1)) + OVERSHOOT
            return place + OVERSHOOT * self._domain.excess(rows)

        start = sample[int(np.argmin(cost(sample)))]
        return descend(self._domain, start, cost)[0]


def candidates(
    domain: Domain, axes: Axes, history: History, parents: Rows, rng: np.random.Generator, size: int
) -> Rows:
    """About `size` distinct rows within the known limits and not taken; all there are in a small space.

    A half are mutants of `parents`, a quarter their crossovers, a quarter random rows drawn towards the ends of the
    cost axes by varying shares. When nothing is left of these, rows led into the limits.
    """
    if domain.everything is not None:
        return without(domain.within(domain.everything), history.taken)
    quarter = max(1, size // 4)
    made = [towards_ends(domain, axes, rng, quarter)]
    if len(parents):
        pairs = parents[rng.integers(len(parents), size=(2, quarter))]
        made.append(crossover(domain, pairs[0], pairs[1], rng))
        for changes in (1.0, 3.0):
            chosen = parents[rng.integers(len(parents), size=quarter)]
            made.append(mutate(domain, chosen, rng, changes=changes))
    rows = without(domain.within(distinct_rows(np.concatenate(made))), history.taken)
    if len(rows) < max(1, size // 16):
        more = feasible_rows(domain, rng, max(1, size // 16), taken=history.taken)
        rows = distinct_rows(np.concatenate([rows, more]))
    return rows


def towards_ends(domain: Domain, axes: Axes, rng: np.random.Generator, count: int) -> Rows:
    """Random rows of which a random share of the slots comes from an end of the cost axes; the ends themselves too."""
    rows = domain.space.sample(rng, count) if count else no_rows(domain)
    if len(axes.ends) == 0:
        return rows
    ends = axes.ends[rng.integers(len(axes.ends), size=count)]
    share = rng.random((count, 1)) * (rng.random((count, 1)) < 0.75)
    return np.concatenate([axes.ends, mix(domain, ends, rows, rng.random(rows.shape) < share)])


def spread_design(domain: Domain, axes: Axes, history: History, rng: np.random.Generator, count: int) -> Rows:
    """Starting points: each as far as possible, along the known costs, from what was proposed before it.

    The first has the least cost, the second the greatest capacity, the likely end of the front in what only an
    evaluation tells. Random rows where no cost is known.
    """
    pool = candidates(domain, axes, history, axes.ends, rng, 2048)
    if not domain.axes or len(pool) == 0:
        return pool[rng.permutation(len(pool))[:count]]
    places = axes.scaled(pool, domain.axes)
    asked = axes.scaled(np.concatenate([history.rows, history.pending]), domain.axes)
    chosen: list[int] = []
    away = np.full(len(pool), np.inf)
    for place in asked:
        away = np.minimum(away, np.abs(places - place).max(1))
    for _ in range(min(count, len(pool))):
        number = history.asked + len(chosen)
        if number == 0:
            at = int(np.argmin(places.mean(1)))
        elif number == 1:
            at = int(np.argmax(np.where(away < 0, -np.inf, axes.scaled(pool, domain.capacity).mean(1))))
        else:
            far = np.flatnonzero(away >= 0.9 * away.max())
            at = int(rng.choice(far))
        chosen.append(at)
        away = np.minimum(away, np.abs(places - places[at]).max(1))
        away[chosen] = -1.0
    return pool[chosen]
