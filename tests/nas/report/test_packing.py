"""What is packed for the page comes out as it went in, or as near as the scale allows."""

import numpy as np
import pytest

from nas.report.packing import NONE_16, Scale, column, packed, slim, unpacked


@pytest.mark.parametrize(("kind", "high"), [("u1", 255), ("u2", 65535), ("u4", 2**32 - 1)])
def test_whole_numbers_survive(kind: str, high: int) -> None:
    values = np.array([0, 1, high, high // 3])
    assert unpacked(packed(values, kind)).tolist() == values.tolist()


def test_floats_survive_in_single_precision() -> None:
    values = np.array([[1.5, np.nan], [1e9, -2.25]])
    np.testing.assert_array_equal(unpacked(packed(values, "f4")), values.astype(np.float32).ravel())


@pytest.mark.parametrize("log", [False, True])
def test_columns_are_near(log: bool) -> None:
    rng = np.random.default_rng(0)
    values = rng.uniform(1, 10, 500) if not log else 10.0 ** rng.uniform(-3, 4, 500)
    values[3] = np.nan
    found = column(values)
    assert found["log"] is log
    places = unpacked(found["data"]).astype(float)
    assert places[3] == NONE_16
    share = np.delete(places, 3) / (NONE_16 - 1)
    low, high = found["low"], found["high"]
    back = low * (high / low) ** share if log else low + share * (high - low)
    assert back == pytest.approx(np.delete(values, 3), rel=1e-3)


def test_a_column_of_one_value_or_none() -> None:
    assert set(unpacked(column(np.full(4, 7.0))["data"]).tolist()) == {0}
    assert set(unpacked(column(np.full(4, np.nan))["data"]).tolist()) == {NONE_16}
    assert Scale.of(np.array([-1.0, 100.0]), steps=10).log is False


def test_slim_keeps_what_is_finite() -> None:
    assert slim(0.123456789) == 0.1234568
    assert slim(float("inf")) is None
    assert slim(None) is None
