"""Latency learned from whole networks alone, against a device whose law is known."""

from dataclasses import replace

import numpy as np
import pytest

from predictors.holdout import accuracy, holdout_report, macs_alone, predictions
from predictors.kernel_totals import fit_kernel_totals
from predictors.kernels import Kernel
from predictors.latency import MeasuredLatency, compose, fit_latency
from search_spaces.catalog.mobile import mobile
from tests.predictors.synthetic import measured


def untimed(networks: list[MeasuredLatency]) -> list[MeasuredLatency]:
    return [replace(network, kernel_ms=()) for network in networks]


@pytest.fixture(scope="module")
def fitted() -> list[MeasuredLatency]:
    return measured(mobile((3, 32, 32), 10), 100, np.random.default_rng(1))


@pytest.fixture(scope="module")
def held_out() -> list[MeasuredLatency]:
    return measured(mobile((3, 32, 32), 10), 40, np.random.default_rng(2))


def test_whole_networks_are_enough_to_predict(fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]) -> None:
    model = fit_latency(untimed(fitted), untimed(held_out))
    truth = [network.latency_ms for network in held_out]
    found = accuracy(predictions(model, held_out), truth)
    straight = accuracy(macs_alone(fitted, held_out), truth)
    assert found.median_error < 0.06
    assert found.median_error < straight.median_error / 3
    assert model.interval(1.0, confidence=0.9) is not None
    again = fit_latency(untimed(fitted), untimed(held_out))
    assert np.array_equal(predictions(model, held_out), predictions(again, held_out))


def test_the_report_is_of_networks_where_kernels_were_not_timed(
    fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]
) -> None:
    model = fit_latency(untimed(fitted), untimed(held_out))
    report = holdout_report(model, untimed(fitted), untimed(held_out))
    assert report is not None
    assert report.kernels == ()
    groups = dict(report.networks_with)
    assert {"group size 8", "dilation 2", "kernel 7", "class grouped"} <= groups.keys()
    with_sevens = [n for n in held_out if any(max(k.window, default=0) == 7 for k in n.kernels)]
    assert groups["kernel 7"].count == len(with_sevens) < len(held_out)


def test_a_law_that_is_a_sum_of_work_is_found_exactly() -> None:
    rng = np.random.default_rng(0)
    kernels, network, total = [], [], []
    for i in range(40):
        parts = [
            Kernel("linear", (int(n),), (10,), macs=int(10 * n), moved_elements=int(11 * n + 10))
            for n in rng.integers(10, 2000, size=rng.integers(1, 8))
        ]
        kernels += parts
        network += [i] * len(parts)
        total.append(0.5 + sum(0.01 + 1e-5 * part.macs for part in parts))
    intercept, model = fit_kernel_totals(kernels, np.array(network), np.array(total))
    assert intercept == pytest.approx(0.5, rel=0.02)
    assert model.predict_ms(kernels) == pytest.approx([0.01 + 1e-5 * k.macs for k in kernels], rel=0.03)


def test_few_networks_and_unknown_kernels_get_predictions(fitted: list[MeasuredLatency]) -> None:
    model = fit_latency(untimed(fitted[:4]))
    concat = Kernel("concat", (64, 8, 8), (128, 8, 8), inputs=2, moved_elements=16384)
    assert model.predict_ms([concat])[0] > 0
    assert (predictions(model, fitted) > 0).all()


def test_networks_without_times_of_kernels_still_teach_the_composition(
    fitted: list[MeasuredLatency], held_out: list[MeasuredLatency]
) -> None:
    model = fit_latency([*fitted[:40], *untimed(fitted[40:])])
    found = accuracy(predictions(model, held_out), [network.latency_ms for network in held_out])
    assert found.median_error < 0.02


def test_single_kernels_add_up_plainly(fitted: list[MeasuredLatency]) -> None:
    single = [
        MeasuredLatency((kernel,), (ms,), ms)
        for network in fitted[:20]
        for kernel, ms in zip(network.kernels, network.kernel_ms, strict=True)
    ]
    model = fit_latency(single, correct=False)
    assert model.intercept_ms == 0
    parts = fitted[0].kernels
    assert model.predict_ms(parts) == pytest.approx(model.kernel_model.predict_ms(parts))
    total = float(compose(model, model.predict_ms(parts)))
    assert total == pytest.approx(sum(fitted[0].kernel_ms), rel=0.1)
