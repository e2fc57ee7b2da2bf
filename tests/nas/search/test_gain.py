"""Hypervolume improvement against moocore's hypervolume of the enlarged front."""

import moocore
import numpy as np
import pytest

from nas.search.gain import hypervolume, improvement, non_dominated


@pytest.mark.parametrize("dimensions", [2, 3, 4])
@pytest.mark.parametrize("size", [0, 1, 7, 25])
def test_improvement_is_the_growth_of_the_hypervolume(dimensions: int, size: int, rng: np.random.Generator) -> None:
    front = rng.random((size, dimensions))
    points = np.concatenate([rng.random((40, dimensions)) * 1.3 - 0.1, front[:3]])
    reference = np.full(dimensions, 0.9)
    before = moocore.hypervolume(front, ref=reference) if size else 0.0
    after = [moocore.hypervolume(np.concatenate([front, [point]]), ref=reference) for point in points]
    np.testing.assert_allclose(improvement(front, points, reference), np.array(after) - before, atol=1e-12)


def test_one_objective_gains_below_the_best() -> None:
    front, points = np.array([[3.0], [5.0]]), np.array([[2.5], [4.0]])
    np.testing.assert_allclose(improvement(front, points, np.array([4.5])), [0.5, 0.0])
    assert hypervolume(front, np.array([4.5])) == 1.5


def test_ties_do_not_gain() -> None:
    front = np.array([[0.2, 0.5, 0.5], [0.5, 0.2, 0.5]])
    np.testing.assert_allclose(improvement(front, front, np.ones(3)), 0.0)


def test_non_dominated_keeps_one_of_equal_points() -> None:
    points = np.array([[1.0, 2.0], [1.0, 2.0], [2.0, 1.0], [2.0, 2.0]])
    assert non_dominated(points).tolist() == [True, False, True, False]
    assert non_dominated(np.empty((0, 2))).tolist() == []
