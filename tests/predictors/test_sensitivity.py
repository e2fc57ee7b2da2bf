"""Shares of the variance against closed forms."""

import numpy as np
import pytest

from predictors.sensitivity import Sensitivity
from search_spaces.compile_lookup import Rows

N = 20_000


def additive(rows: Rows) -> dict[str, np.ndarray[tuple[int], np.dtype[np.float64]]]:
    """Variances of the parts: 1/4 of a coin times 4, 2/3 of three sides, nothing of the last slot."""
    return {
        "sum": 4.0 * rows[:, 0] + rows[:, 1],
        "product": (rows[:, 0] - 0.5) * (rows[:, 1] - 1.0),
        "constant": np.full(len(rows), 7.0),
    }


@pytest.fixture(scope="module")
def sampled() -> Sensitivity:
    return Sensitivity(additive, (2, 3, 5), n=N, rng=np.random.default_rng(0))


def test_a_sum_is_decided_by_its_parts_alone(sampled: Sensitivity) -> None:
    found = sampled.shares([[0], [1], [2], [0, 1]])["sum"]
    coin, die = 4.0, 2 / 3
    expected = np.array([coin, die, 0.0, coin + die]) / (coin + die)
    assert found.first == pytest.approx(expected, abs=0.03)
    assert found.total == pytest.approx(expected, abs=0.03)


def test_a_product_of_centred_parts_is_decided_only_together(sampled: Sensitivity) -> None:
    found = sampled.shares([[0], [1], [2]])["product"]
    assert found.first == pytest.approx([0, 0, 0], abs=0.03)
    assert found.total == pytest.approx([1, 1, 0], abs=0.03)
    pairs = sampled.pairs([[0], [1], [2]])["product"]
    assert pairs[0, 1] == pairs[1, 0] == pytest.approx(1, abs=0.03)
    assert pairs[0, 2] == pytest.approx(0, abs=0.03)
    assert pairs.diagonal() == pytest.approx([0, 0, 0], abs=0.03)


def test_what_does_not_vary_is_decided_by_nothing(sampled: Sensitivity) -> None:
    found = sampled.shares([[0], [1]])["constant"]
    assert found.first.tolist() == found.total.tolist() == [0, 0]


def test_the_same_seed_gives_the_same_shares() -> None:
    first, second = (
        Sensitivity(additive, (2, 3, 5), n=64, rng=np.random.default_rng(3)).shares([[0]])["sum"] for _ in range(2)
    )
    assert first.first.tolist() == second.first.tolist()
