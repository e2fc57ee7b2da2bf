"""Gaussian process regression with one length scale per group of features, fitted by marginal likelihood.

Rasmussen and Williams, Gaussian Processes for Machine Learning (2006), equations 2.25, 2.26, 5.8 and 5.9.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.search.domain import Floats

JITTER = 1e-6
PRIOR_WIDTH = 2.0
STEPS = 40
BOUND = 12.0


@dataclass(frozen=True)
class Kernel:
    """k(a, b) = signal * Matérn-5/2(distance) + linear * (1 + <a, b>), plus noise on the diagonal.

    The squared distance is the sum over groups of `inverse_squares[g]` times the group's squared distance.
    """

    signal: float
    inverse_squares: tuple[float, ...]
    linear: float
    noise: float

    def between(self, first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
        """[n, m] covariance of the noise-free function; each group is [n, d_g] and [m, d_g]."""
        squared = _squared_distances(self._scaled(first), self._scaled(second))
        return self.signal * _matern(squared)[0] + self.linear * _inner(first, second)

    def variance(self, points: Sequence[Floats]) -> Floats:
        """[n] prior variance of the noise-free function."""
        return np.asarray(self.signal + self.linear * (1 + sum((group**2).sum(1) for group in points)))

    def _scaled(self, points: Sequence[Floats]) -> Floats:
        scaled = [group * weight**0.5 for group, weight in zip(points, self.inverse_squares, strict=True)]
        return np.concatenate(scaled, axis=1)


@dataclass(frozen=True)
class Process:
    """A posterior: predicts mean and standard deviation of the noise-free function."""

    kernel: Kernel
    groups: tuple[Floats, ...]
    centre: float
    scale: float
    weights: Floats
    inverse_factor: Floats

    def predict(self, points: Sequence[Floats]) -> tuple[Floats, Floats]:
        """Mean and standard deviation, [n] each, at `points` (one array [n, d_g] per group)."""
        cross = self.kernel.between(points, self.groups)
        mean = cross @ self.weights
        explained = ((cross @ self.inverse_factor.T) ** 2).sum(1)
        spread = np.sqrt(np.maximum(self.kernel.variance(points) - explained, 1e-12))
        return mean * self.scale + self.centre, spread * self.scale


def fit_kernel(groups: Sequence[Floats], targets: Floats) -> Kernel:
    """The kernel with the largest marginal likelihood of `targets` [n] under weak priors on its logarithms."""
    from scipy.optimize import minimize

    squared = [_squared_distances(group, group) for group in groups]
    inner = _inner(groups, groups)
    centre, scale = _standard(targets)
    values = (targets - centre) / scale
    typical = [max(1.0, 2 * float(np.median(block))) for block in squared]
    start = np.log([0.5, *(1 / width for width in typical), 0.5 / float(inner.diagonal().mean()), 0.01])

    def loss(logs: Floats) -> tuple[float, Floats]:
        value, slope = _negative_likelihood(np.exp(logs), squared, inner, values)
        away = (logs - start) / PRIOR_WIDTH
        return value + 0.5 * float(away @ away), slope + away / PRIOR_WIDTH

    bounds = [(-BOUND, BOUND / 2)] * len(start)
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": STEPS})
    signal, *inverse, linear, noise = np.exp(found.x)
    return Kernel(float(signal), tuple(map(float, inverse)), float(linear), float(noise))


def condition(kernel: Kernel, groups: Sequence[Floats], targets: Floats) -> Process:
    """The posterior of `kernel` given `targets` [n] at `groups` (one array [n, d_g] per group)."""
    centre, scale = _standard(targets)
    covariance = kernel.between(groups, groups)
    covariance[np.diag_indices_from(covariance)] += kernel.noise + JITTER * (1 + kernel.signal)
    inverse_factor = np.linalg.inv(np.linalg.cholesky(covariance))
    weights = inverse_factor.T @ (inverse_factor @ ((targets - centre) / scale))
    return Process(kernel, tuple(groups), centre, scale, weights, inverse_factor)


def _negative_likelihood(
    parameters: Floats, squared: Sequence[Floats], inner: Floats, values: Floats
) -> tuple[float, Floats]:
    """Negative log marginal likelihood and its slope by the logarithms of the parameters."""
    signal, inverse, linear, noise = parameters[0], parameters[1:-2], parameters[-2], parameters[-1]
    shape, slope_of_shape = _matern(_weighted(squared, inverse))
    covariance = signal * shape + linear * inner
    covariance[np.diag_indices_from(covariance)] += noise + JITTER * (1 + signal)
    try:
        factor = np.linalg.cholesky(covariance)
    except np.linalg.LinAlgError:
        return 1e10, np.zeros(len(parameters))
    inverse_factor = np.linalg.inv(factor)
    precision = inverse_factor.T @ inverse_factor
    weights = precision @ values
    loss = 0.5 * float(values @ weights) + float(np.log(np.diag(factor)).sum())
    pull = 0.5 * (precision - np.outer(weights, weights))
    along_distance = pull * slope_of_shape * signal
    slope = [(pull * shape).sum() * signal + np.trace(pull) * JITTER * signal]
    slope += [(along_distance * block).sum() * weight for block, weight in zip(squared, inverse, strict=True)]
    slope += [(pull * inner).sum() * linear, np.trace(pull) * noise]
    return loss, np.array(slope)


def _matern(squared: Floats) -> tuple[Floats, Floats]:
    """Matérn-5/2 correlation of squared distances, and its derivative by the squared distance."""
    root = np.sqrt(5 * squared + 1e-12)
    decay = np.exp(-root)
    return (1 + root + root**2 / 3) * decay, -5 / 6 * (1 + root) * decay


def _weighted(blocks: Sequence[Floats], weights: Sequence[float] | Floats) -> Floats:
    total = np.zeros_like(blocks[0])
    for block, weight in zip(blocks, weights, strict=True):
        total += weight * block
    return total


def _inner(first: Sequence[Floats], second: Sequence[Floats]) -> Floats:
    return np.asarray(1 + np.concatenate(first, axis=1) @ np.concatenate(second, axis=1).T)


def _squared_distances(first: Floats, second: Floats) -> Floats:
    squared = (first**2).sum(1)[:, None] + (second**2).sum(1)[None] - 2 * first @ second.T
    return np.asarray(np.maximum(squared, 0.0))


def _standard(targets: Floats) -> tuple[float, float]:
    spread = float(targets.std())
    return float(targets.mean()), spread if spread > 1e-12 else 1.0
