"""How the error falls with more networks: closed forms, and a device whose law is known."""

from dataclasses import asdict, replace

import numpy as np
import pytest

from predictors.holdout import accuracy, predictions
from predictors.latency import fit_latency
from predictors.learning import LearningCurve, learning_curve
from search_spaces.catalog.mobile import mobile
from tests.predictors.synthetic import measured


def curve(floor: float, slope: float, *, networks: int = 100, scatter: float | None = None) -> LearningCurve:
    error = floor + slope / networks**0.5
    return LearningCurve(((networks, error),), floor, slope, scatter)


def test_a_falling_error_is_halved_by_four_times_the_networks() -> None:
    assert curve(0.0, 1.0).further_to_halve == 300


def test_a_floor_makes_halving_dearer_or_impossible() -> None:
    found = curve(0.01, 1.0).further_to_halve
    assert found == int(np.ceil((1 / (0.055 - 0.01)) ** 2)) - 100
    assert curve(0.2, 1.0).further_to_halve is None
    assert curve(0.0499, 0.502).further_to_halve is None


def test_the_noise_floor_is_told() -> None:
    assert curve(0.0, 0.1, scatter=0.008).at_scatter
    assert not curve(0.0, 0.2, scatter=0.008).at_scatter
    assert not curve(0.0, 0.1).at_scatter


def test_errors_of_a_known_device_fall() -> None:
    rows = measured(mobile((3, 32, 32), 10), 48, np.random.default_rng(0), noise=0.02)
    model = fit_latency(rows[:40])
    found = learning_curve(model, rows[:40], rows[40:], scatter=0.02)
    assert found is not None
    assert [networks for networks, _ in found.points] == [10, 20, 40]
    assert found.points[0][1] > found.points[-1][1]
    assert found.floor >= 0
    assert found.slope > 0
    assert found.points[-1][1] == accuracy(predictions(model, rows[40:]), [row.latency_ms for row in rows[40:]]).mape
    assert learning_curve(model, rows[:40], rows[40:], scatter=0.02) == found


def test_too_few_networks_tell_nothing() -> None:
    rows = measured(mobile((3, 32, 32), 10), 20, np.random.default_rng(0))
    model = fit_latency(rows[:16])
    assert learning_curve(model, rows[:15], rows[15:]) is None
    assert learning_curve(model, rows[:16], rows[16:]) is None


@pytest.mark.parametrize("scatter", [0.01, None])
def test_json_round_trip(scatter: float | None) -> None:
    found = replace(curve(0.01, 0.5), scatter=scatter)
    assert LearningCurve.from_json(asdict(found)) == found
    assert LearningCurve.from_json(None) is None
