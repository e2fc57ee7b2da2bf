"""The Gaussian process against scikit-learn's, and its slope against finite differences."""

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, DotProduct, Matern

from nas.search.proposers import gaussian
from nas.search.proposers.gaussian import Kernel, condition, fit_kernel


@pytest.fixture
def data(rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray, list[np.ndarray]]:
    groups = [rng.normal(size=(30, 4)), rng.normal(size=(30, 2))]
    fresh = [rng.normal(size=(9, 4)), rng.normal(size=(9, 2))]
    return groups, np.sin(groups[0][:, 0]) + groups[1][:, 1], fresh


def test_posterior_equals_scikit_learns(data) -> None:
    groups, targets, fresh = data
    kernel = Kernel(signal=0.7, inverse_squares=(0.5, 0.2), linear=0.3, noise=0.05)
    mean, spread = condition(kernel, groups, targets).predict(fresh)
    lengths = np.repeat(1 / np.sqrt(kernel.inverse_squares), [4, 2])
    oracle = GaussianProcessRegressor(
        ConstantKernel(0.7) * Matern(lengths, nu=2.5) + ConstantKernel(0.3) * DotProduct(1.0),
        alpha=kernel.noise + gaussian.JITTER * (1 + kernel.signal),
        optimizer=None,
        normalize_y=True,
    ).fit(np.concatenate(groups, axis=1), targets)
    expected, deviation = oracle.predict(np.concatenate(fresh, axis=1), return_std=True)
    np.testing.assert_allclose(mean, expected, atol=1e-8)
    np.testing.assert_allclose(spread, deviation, atol=1e-6)


def test_slope_of_the_likelihood(data) -> None:
    groups, targets, _ = data
    squared = [gaussian._squared_distances(group, group) for group in groups]
    inner = gaussian._inner(groups, groups)
    values = (targets - targets.mean()) / targets.std()
    logs = np.log([0.7, 0.5, 0.2, 0.3, 0.05])
    _, slope = gaussian._negative_likelihood(np.exp(logs), squared, inner, values)
    for i in range(len(logs)):
        step = np.zeros(len(logs))
        step[i] = 1e-6
        ends = [gaussian._negative_likelihood(np.exp(logs + s * step), squared, inner, values)[0] for s in (1, -1)]
        assert slope[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-4, abs=1e-5)


def test_fitted_kernel_predicts_what_it_has_not_seen(data, rng: np.random.Generator) -> None:
    groups = [rng.normal(size=(120, 4)), rng.normal(size=(120, 2))]
    targets = np.sin(groups[0][:, 0]) + groups[1][:, 1]
    train, test = [group[:100] for group in groups], [group[100:] for group in groups]
    process = condition(fit_kernel(train, targets[:100]), train, targets[:100])
    mean, spread = process.predict(test)
    assert np.abs(mean - targets[100:]).mean() < 0.2 * targets.std()
    assert (np.abs(mean - targets[100:]) < 3 * spread + 0.05).mean() > 0.9


def test_constant_targets_give_a_flat_posterior(data) -> None:
    groups, _, fresh = data
    targets = np.full(30, 0.25)
    mean, _ = condition(fit_kernel(groups, targets), groups, targets).predict(fresh)
    np.testing.assert_allclose(mean, 0.25, atol=1e-6)
