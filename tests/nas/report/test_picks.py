"""Dimensions, spreads and axes of picks, counted by hand."""

import pytest

from nas.report.data import Value
from nas.report.picks import choices, dimensions, number, picks_words, spreads

A: dict[str, Value] = {"resolution": 32, "s0.depth": 2, "s0.b0.kernel": 3, "s0.b1.kernel": 7}
B: dict[str, Value] = {"resolution": 24, "s0.depth": 1, "s0.b0.kernel": 3}
C: dict[str, Value] = A | {"s0.b0.kernel": 7}


def _wide(kernels: list[int], kind: str) -> dict[str, Value]:
    picks: dict[str, Value] = {"resolution": 32}
    for i, kernel in enumerate(kernels):
        picks |= {f"b{i}.kernel": kernel, f"b{i}.kind": kind if i else "a"}
    return picks


def test_choices_are_in_natural_order_with_the_values_seen() -> None:
    found = choices([{"b10.kernel": 5, "b2.kernel": 3, "size": 1}, {"b2.kernel": 1}])
    assert found == {"size": (1,), "b2.kernel": (1, 3), "b10.kernel": (5,)}


def test_true_and_one_are_different_values() -> None:
    found = choices([{"x": True}, {"x": 1}])["x"]
    assert len(found) == 2
    assert [type(value) for value in found] == [int, bool]


def test_searched_dimensions_come_first() -> None:
    names = ["a.sparsity", "a.odd", "a.kernel", "resolution"]
    assert list(dimensions(names)) == ["resolution", "kernel", "sparsity", "odd"]


@pytest.mark.parametrize(("value", "known"), [(3, 3.0), ("2:4", 0.5), ("1:4", 0.75), ("relu", None), (True, None)])
def test_numbers_of_values(value: Value, known: float | None) -> None:
    assert number(value) == known


def test_spread_counts_places_and_architectures() -> None:
    kernel = next(s for s in spreads([A, B, C], [{"s0.b0.kernel": 5}]) if s.dimension == "kernel")
    assert kernel.values == (3, 5, 7)
    assert kernel.places == (2, 0, 3)
    assert kernel.architectures == (2, 0, 2)
    assert kernel.shares == pytest.approx((0.4, 0, 0.6))
    assert kernel.verdict == "2 of 3 values in use"


@pytest.mark.parametrize(
    ("front", "everything", "verdict"),
    [
        ([B], [A], "only 3×3 of 2 seen"),
        ([_wide([3] * 19 + [5], "a")], [], "3×3 dominates: 95 % of places"),
        ([{}], [A], "not on the front"),
    ],
)
def test_verdicts(front: list[dict[str, Value]], everything: list[dict[str, Value]], verdict: str) -> None:
    found = {s.dimension: s.verdict for s in spreads(front, everything)}
    assert found["kernel"] == verdict


def test_words_name_few_values_and_summarise_many() -> None:
    lines = picks_words(_wide([3, 5, 7, 7, 3], "a") | {"s0.width": 16, "s1.width": 24})
    assert "width 16, 24" in lines
    assert "kernel 3×3 to 7×7 (mean 5)" in lines
    assert "resolution 32" in lines
