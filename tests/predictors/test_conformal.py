"""Conformal bounds: the rank by hand, and the frequency with which they hold."""

import numpy as np
import pytest

from predictors.conformal import conformal_bound, ratio_interval, scores_needed


def test_the_rank_is_that_of_the_theorem() -> None:
    scores = [float(i) for i in range(19, 0, -1)]
    assert conformal_bound(scores, 0.95) == 19
    assert conformal_bound(scores, 0.5) == 10
    assert conformal_bound(scores[:18], 0.95) is None
    assert conformal_bound([], 0.5) is None


@pytest.mark.parametrize(("confidence", "count"), [(0.5, 1), (0.9, 9), (0.95, 19), (0.99, 99)])
def test_just_enough_scores_tell(confidence: float, count: int) -> None:
    assert scores_needed(confidence) == count
    assert conformal_bound([1.0] * count, confidence) == 1.0
    assert conformal_bound([1.0] * (count - 1), confidence) is None


def test_new_scores_stay_below_as_often_as_promised(rng: np.random.Generator) -> None:
    held = 0
    for _ in range(4000):
        scores = rng.standard_cauchy(40)
        bound = conformal_bound(scores[:39].tolist(), 0.9)
        assert bound is not None
        held += scores[39] <= bound
    assert held / 4000 == pytest.approx(0.9, abs=0.015)


def test_ratios_count_in_either_direction() -> None:
    assert ratio_interval(10.0, [0.5, 1.0, 1.6], confidence=0.5) == pytest.approx((10 / 1.6, 16.0))
    assert ratio_interval(10.0, [0.5, 1.0, 1.6], confidence=0.75) == (5.0, 20.0)
    assert ratio_interval(10.0, [0.5, 1.0, 1.6], confidence=0.9) is None
