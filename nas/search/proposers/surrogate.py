"""The default proposer: Gaussian processes for what must be evaluated, tables for the rest, greedy hypervolume gain."""

from collections.abc import Sequence
from statistics import NormalDist

import numpy as np

from nas.search.domain import Domain, Floats, History, Rows, distinct_rows, without
from nas.search.gain import improvement, non_dominated
from nas.search.proposers.pool import Axes, candidates, spread_design
from nas.search.proposers.posterior import START, Beliefs, Features, Kernels, Posterior
from nas.search.variation import mutate

POOL = 4096
FINALISTS = 512
ELITE = 64
REFINEMENTS = 2
SAMPLES = 10
SPREAD = 0.75


class Surrogate:
    """Proposes the candidates that are expected to enlarge the dominated hypervolume most.

    Objectives and limits that the tables know are exact; each other one has a Gaussian process over one-hot slots,
    ordered options and log costs. The first proposals are spread along the cost axes.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._axes = Axes(domain)
        self._features = Features(domain, self._axes)
        self._kernels = Kernels(self._features)

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Starting points until six results are in, then the best by expected hypervolume gain."""
        domain = self._domain
        if len(history.rows) < START:
            return spread_design(domain, self._axes, history, rng, count)
        posterior = Posterior(domain, self._features, self._kernels, history)
        pool = candidates(domain, self._axes, history, parents_of(history), rng, POOL)
        if len(pool) == 0:
            return pool
        beliefs = posterior.believe(pool)
        choice = _Choice(posterior, history, beliefs)
        pool = pool[choice.finalists(beliefs)]
        for _ in range(REFINEMENTS if domain.everything is None else 0):
            near = mutate(domain, pool[rng.integers(min(len(pool), ELITE), size=POOL // 4)], rng, changes=1.0)
            near = without(domain.within(distinct_rows(near)), history.taken)
            pool = distinct_rows(np.concatenate([pool, near]))
            pool = pool[choice.finalists(posterior.believe(pool))]
        return pool[choice.greedy(posterior.believe(pool), count)]


class _Choice:
    """Chooses among rows by what they would add to the front of one history."""

    def __init__(self, posterior: Posterior, history: History, pool: Beliefs) -> None:
        self._posterior = posterior
        expected = posterior.believe(history.pending)
        likely = posterior.values(expected)[expected.legal > 0.5]
        self._front = np.concatenate([history.values[history.feasible], likely])
        worst = np.concatenate([history.values, likely]).max(0)
        known = [j for j in range(len(worst)) if j not in posterior.unknown]
        worst[known] = np.maximum(worst[known], posterior.values(pool)[:, known].max(0))
        self._reference: Floats = worst + 1e-9 * np.abs(worst)

    def _gain(self, front: Floats, beliefs: Beliefs, shifts: Sequence[Floats | float]) -> Floats:
        """[n] what each row adds to `front`, summed over the `shifts` of its figures, times its chance to be legal."""
        points = np.concatenate([self._posterior.values(beliefs, shift) for shift in shifts])
        gain = improvement(front, points, self._reference).reshape(len(shifts), -1)
        return np.asarray(gain.sum(0) * beliefs.legal)

    def finalists(self, beliefs: Beliefs) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Indices, best first, of the 512 that add most if each is a little better than expected."""
        gain = self._gain(self._front, beliefs, [-SPREAD])
        return np.argsort(-gain, kind="stable")[:FINALISTS]

    def greedy(self, beliefs: Beliefs, count: int) -> list[int]:
        """Indices of the largest expected gains, each choice joining the front at its mean before the next.

        Where nothing is expected to gain, what might, three spreads away; else what is known least.
        """
        front = self._front
        shifts = list(_shifts(beliefs.mean.shape[1]))
        chosen: list[int] = []
        for _ in range(min(count, len(beliefs.legal))):
            gain = self._gain(front, beliefs, shifts)
            gain[chosen] = 0.0
            if gain.max() <= 0:
                gain = self._gain(front, beliefs, [-3.0])
                gain[chosen] = 0.0
            if gain.max() <= 0:
                gain = beliefs.spread.sum(1) + beliefs.legal
                gain[chosen] = -1.0
            at = int(np.argmax(gain))
            chosen.append(at)
            front = np.concatenate([front, self._posterior.values(beliefs.take(np.array([at])))])
        return chosen


def parents_of(history: History) -> Rows:
    """Evaluated rows to vary: the first two fronts, or those nearest to the limits when none keeps them."""
    within = history.feasible
    if not within.any():
        return history.rows[np.argsort(np.maximum(history.excess, 0).sum(1), kind="stable")[:16]]
    rows, values = history.rows[within], history.values[within]
    front = non_dominated(values)
    second = np.zeros(len(rows), dtype=bool)
    second[~front] = non_dominated(values[~front])
    return rows[front | second]


def _shifts(objectives: int) -> Floats:
    """[10, n_objectives] standard normal quantiles, paired at random between objectives, times SPREAD.

    Less than one because the spread of a process on few points is wide, and there is little time to explore.
    """
    quantiles = np.array([NormalDist().inv_cdf((i + 0.5) / SAMPLES) for i in range(SAMPLES)])
    rng = np.random.default_rng(0)
    columns = [quantiles, *(quantiles[rng.permutation(SAMPLES)] for _ in range(objectives - 1))]
    return SPREAD * np.stack(columns, axis=1)
