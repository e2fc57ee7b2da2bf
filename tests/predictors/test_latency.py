"""The learned latency model against a device whose law is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from predictors.holdout import accuracy, holdout_report, macs_alone, predictions, timed_kernels
from predictors.kernels import Kernel, kernels
from predictors.latency import LearnedLatency, MeasuredLatency, compose, fit_latency, network_latency_ms
from search_spaces import SearchSpace
from search_spaces.catalog.mobile import mobile
from tests.predictors.synthetic import measured


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return mobile((3, 32, 32), 10)


@pytest.fixture(scope="module")
def fitted(space: SearchSpace) -> list[MeasuredLatency]:
    return measured(space, 80, np.random.default_rng(1), noise=0.02)


@pytest.fixture(scope="module")
def held_out(space: SearchSpace) -> list[MeasuredLatency]:
    return measured(space, 60, np.random.default_rng(2))


@pytest.fixture(scope="module")
def model(fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]) -> LearnedLatency:
    return fit_latency(fitted, held_out)


def test_it_finds_the_law_and_beats_macs(
    model: LearnedLatency, fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]
) -> None:
    truth = [network.latency_ms for network in held_out]
    found = accuracy(predictions(model, held_out), truth)
    straight = accuracy(macs_alone(fitted, held_out), truth)
    assert found.median_error < 0.02
    assert found.within_10_percent == 1.0
    assert found.spearman is not None
    assert found.spearman > 0.99
    assert straight.median_error > 4 * found.median_error


def test_network_latency_is_the_sum_of_its_kernels(
    model: LearnedLatency, space: SearchSpace, rng: np.random.Generator
) -> None:
    networks = [space.build(space.sample(rng)) for _ in range(5)]
    together = model.predict_ms([kernel for network in networks for kernel in kernels(network)])
    start = 0
    for network in networks:
        parts = kernels(network)
        alone = model.predict_ms(parts)
        assert np.array_equal(alone, together[start : start + len(parts)])
        start += len(parts)
        assert network_latency_ms(model, network) == pytest.approx(model.intercept_ms + sum(alone), rel=1e-12)
    assert compose(model, np.ones((4, 3))).shape == (4,)


def test_predictions_are_positive_for_kernels_never_seen(model: LearnedLatency) -> None:
    unseen = [
        Kernel("concat", (64, 8, 8), (128, 8, 8), inputs=2, moved_elements=16384),
        Kernel("conv", (8, 20, 20, 20), (8, 20, 20, 20), "", 1, (3, 3, 3), (1,) * 3, (1,) * 3, 8, 13824000, 129728),
    ]
    assert (model.predict_ms(unseen) > 0).all()
    assert {"grouped", "pointwise"} <= model.kernel_model.known
    assert "concat" not in model.kernel_model.known


def test_the_same_rows_give_the_same_model(
    model: LearnedLatency, fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]
) -> None:
    again = fit_latency(fitted, held_out)
    assert np.array_equal(predictions(model, held_out), predictions(again, held_out))


def test_the_interval_covers_as_often_as_it_says(model: LearnedLatency, space: SearchSpace) -> None:
    fresh = measured(space, 100, np.random.default_rng(3))
    inside = 0
    for network, guess in zip(fresh, predictions(model, fresh), strict=True):
        interval = model.interval(float(guess), confidence=0.9)
        assert interval is not None
        inside += interval[0] <= network.latency_ms <= interval[1]
    assert inside >= 80


def test_few_networks_give_no_interval(fitted: list[MeasuredLatency]) -> None:
    few = fit_latency(fitted[:10], fitted[10:15], correct=False)
    assert few.interval(1.0, confidence=0.9) is None
    assert few.interval(1.0, confidence=0.5) is not None


def test_a_kernel_that_is_always_merged_costs_nothing_of_its_own(fitted: list[MeasuredLatency]) -> None:
    def without_adds(network: MeasuredLatency) -> MeasuredLatency:
        times = [0.0 if k.kind == "add" else ms for k, ms in zip(network.kernels, network.kernel_ms, strict=True)]
        return MeasuredLatency(network.kernels, tuple(times), 0.01 + sum(times))

    merged = fit_latency([without_adds(network) for network in fitted], correct=False)
    add = Kernel("add", (32, 16, 16), (32, 16, 16), inputs=2, moved_elements=3 * 8192)
    assert merged.kernel_model.predict_ms([add])[0] == 0


def test_the_report_splits_errors_by_group(
    model: LearnedLatency, fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]
) -> None:
    report = holdout_report(model, fitted, held_out)
    assert report is not None
    assert report.networks.count == 60
    names = [name for name, _ in report.kernels]
    assert {"group size 8", "dilation 2", "kernel 7", "class grouped"} <= set(names)
    assert [name for name in names if "group size" in name] == [f"group size {n}" for n in (1, 2, 4, 8)]
    timed = timed_kernels(model, held_out)
    sevens = [abs(guess / truth - 1) for k, guess, truth in timed if k.window == (7, 7)]
    assert dict(report.kernels)["kernel 7"].mape == pytest.approx(np.mean(sevens))
    assert dict(report.networks_with)["class pointwise"].count == 60
    assert holdout_report(model, fitted, []) is None


def test_sparse_kernels_are_a_group_of_their_own(fitted: list[MeasuredLatency]) -> None:
    def sparse(network: MeasuredLatency) -> MeasuredLatency:
        parts = tuple(replace(k, sparsity="2:4") if k.kind == "conv" else k for k in network.kernels)
        return replace(network, kernels=parts)

    some = [sparse(network) for network in fitted[:12]]
    report = holdout_report(fit_latency(some[:8], correct=False), some[:8], some[8:])
    assert report is not None
    found = dict(report.kernels)["sparsity 2:4"]
    assert found.count == sum(kernel.kind == "conv" for network in some[8:] for kernel in network.kernels)


def test_accuracy_by_hand() -> None:
    found = accuracy([1.0, 2.2, 3.0, 4.4], [1.0, 2.0, 3.0, 4.0])
    assert (found.count, found.within_5_percent, found.within_10_percent) == (4, 0.5, 0.5)
    assert found.median_error == pytest.approx(0.05)
    assert found.mape == pytest.approx(0.05)
    assert found.spearman == pytest.approx(1.0)
    assert accuracy([1.0], [2.0]).spearman is None
    assert math.isclose(accuracy([1.0], [2.0]).mape, 0.5)
