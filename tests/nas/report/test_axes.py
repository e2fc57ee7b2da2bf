"""Axes hold every pick where it belongs, and say where there is none."""

from collections.abc import Sequence

import numpy as np
import pytest

from nas.report.axes import Axis, axes, coded
from nas.report.picks import Picks, choices

A = {"resolution": 32, "s0.depth": 2, "s0.b0.kernel": 3, "s0.b1.kernel": 7}
B = {"resolution": 24, "s0.depth": 1, "s0.b0.kernel": 5}


def found(population: Sequence[Picks]) -> dict[str, Axis]:
    offered = choices(population)
    return {axis.label: axis for axis in axes(offered, coded(population, offered))}


def many(kernels: Sequence[int], op: str) -> Picks:
    blocks = {f"s0.b{i}.kernel": kernel for i, kernel in enumerate(kernels)}
    kinds = {f"s0.b{i}.op": op if i else "a" for i in range(len(kernels))}
    return {"resolution": 32, **blocks, **kinds}


def test_few_choices_get_an_axis_each() -> None:
    axes_ = found([A, B])
    assert list(axes_) == ["resolution", "s0.depth", "s0.b0.kernel", "s0.b1.kernel"]
    np.testing.assert_array_equal(axes_["s0.b1.kernel"].values, [7.0, np.nan])
    assert axes_["resolution"].unit == "pixels"


def test_many_choices_are_averaged_and_kinds_counted() -> None:
    axes_ = found([many([3, 5] * 6, "a"), many([7] * 12, "b"), {"resolution": 24}])
    np.testing.assert_array_equal(axes_["kernel (mean)"].values, [4.0, 7.0, np.nan])
    assert axes_["a"].values[:2] == pytest.approx([1.0, 1 / 12])
    assert axes_["b"].values[:2] == pytest.approx([0.0, 11 / 12])
    assert np.isnan(axes_["b"].values[2])
    np.testing.assert_array_equal(axes_["resolution"].values, [32.0, 32.0, 24.0])


def test_categories_have_ticks() -> None:
    axis = found([{"op": "skip"}, {"op": "conv"}])["op"]
    np.testing.assert_array_equal(axis.values, [1.0, 0.0])
    assert axis.ticks == ((0.0, "conv"), (1.0, "skip"))


def test_coding_tells_true_from_one_and_what_is_not_offered() -> None:
    offered = {"a": (True, 1, "2:4", 0.5)}
    rows = coded([{"a": 1}, {"a": True}, {"a": 0.5}, {"a": "1:4"}, {}], offered)
    assert rows[:, 0].tolist() == [1, 0, 3, -1, -1]
