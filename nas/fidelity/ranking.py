"""Rank correlations with bootstrap intervals, over all pairs of networks or over weighted ones.

Kendall's tau-b and Spearman's rho are one coefficient over pairs with different scores: signs of differences, and
differences of ranks (Daniels, Biometrika 1944). So each can weigh its pairs, and resampling is a matrix product.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nas.fidelity.result import Agreement, Correlation

Floats = NDArray[np.float64]
RESAMPLES = 2000
OUTER = (2.5, 97.5)
"""Percentiles between which 95 % of the resampled values lie."""


def resampled(count: int, *, resamples: int = RESAMPLES, seed: int = 0) -> Floats:
    """[resamples + 1, count] how often each of `count` networks occurs: once in the first row, then as redrawn."""
    rng = np.random.default_rng(seed)
    redrawn = rng.multinomial(count, np.full(count, 1 / count), size=resamples)
    return np.concatenate([np.ones((1, count)), redrawn]).astype(np.float64)


def kendall(first: Floats, second: Floats, counts: Floats, pairs: Floats | None = None) -> Floats:
    """[m] Kendall's tau-b of two scores [n] in each resample `counts` [m, n]; nan where one of them is constant.

    pairs: symmetric weights [n, n] of the pairs, all equal by default.
    """
    weights = np.ones((len(first), len(first))) if pairs is None else pairs
    a, b = _signs(first), _signs(second)

    def total(scores: Floats) -> Floats:
        return np.asarray(((counts @ (scores * weights)) * counts).sum(axis=1))

    return _ratio(total(a * b), total(a * a), total(b * b))


def spearman(first: Floats, second: Floats, counts: Floats, pairs: Floats | None = None) -> Floats:
    """[m] Spearman's rho, ties at their mean rank; else as `kendall`."""
    weights = np.ones((len(first), len(first))) if pairs is None else pairs
    p, q = _ranks(first, counts), _ranks(second, counts)
    met = counts * (counts @ weights)

    def total(u: Floats, v: Floats) -> Floats:
        return np.asarray((met * u * v).sum(axis=1) - (((counts * u) @ weights) * counts * v).sum(axis=1))

    return _ratio(total(p, q), total(p, p), total(q, q))


def agreement(
    first: Sequence[float] | Floats,
    second: Sequence[float] | Floats,
    *,
    pairs: Floats | None = None,
    seed: int = 0,
) -> Agreement:
    """Kendall's tau and Spearman's rho of two scores [n], with 95 % percentile bootstrap intervals over networks."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if len(a) < 2:
        return Agreement(len(a), Correlation(), Correlation())
    counts = resampled(len(a), seed=seed)
    return Agreement(len(a), _interval(kendall(a, b, counts, pairs)), _interval(spearman(a, b, counts, pairs)))


def advantage(
    ours: Sequence[float] | Floats, rival: Sequence[float] | Floats, truth: Sequence[float] | Floats, *, seed: int = 0
) -> Correlation:
    """Kendall's tau of `ours` with `truth` less that of `rival`, all [n]; both from the same resamples."""
    a, b, t = (np.asarray(scores, dtype=np.float64) for scores in (ours, rival, truth))
    if len(t) < 2:
        return Correlation()
    counts = resampled(len(t), seed=seed)
    return _interval(kendall(a, t, counts) - kendall(b, t, counts))


def _signs(scores: Floats) -> Floats:
    return np.sign(scores[:, None] - scores[None, :])


def _ranks(scores: Floats, counts: Floats) -> Floats:
    """[m, n] the mean rank of each network, from 1, among the networks of each resample."""
    below = 0.5 * (1 + _signs(scores))
    return np.asarray(counts @ below.T + 0.5)


def _ratio(product: Floats, first: Floats, second: Floats) -> Floats:
    scale = np.sqrt(np.maximum(first, 0) * np.maximum(second, 0))
    known = scale > 1e-9
    return np.where(known, product / np.where(known, scale, 1.0), np.nan)


def _interval(values: Floats) -> Correlation:
    """The first of `values`, and between what the others lie; not known where it is not, or seldom."""
    found = values[1:][np.isfinite(values[1:])]
    if not np.isfinite(values[0]):
        return Correlation()
    if 2 * len(found) < len(values):
        return Correlation(float(values[0]))
    low, high = np.percentile(found, OUTER)
    return Correlation(float(values[0]), float(low), float(high))
