"""Staircases and knees against brute force and closed forms."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nas.report.fronts import knee, staircase

NUMBERS = st.one_of(st.none(), st.integers(0, 6).map(float))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=14))
def test_staircase_is_the_set_of_unbeaten_points(pairs: list[tuple[float | None, float | None]]) -> None:
    xs, ys = [x for x, _ in pairs], [y for _, y in pairs]
    known = {(x, y) for x, y in pairs if x is not None and y is not None}
    unbeaten = {p for p in known if not any(q != p and q[0] <= p[0] and q[1] <= p[1] for q in known)}
    found = staircase(xs, ys)
    assert {(xs[i], ys[i]) for i in found} == unbeaten
    assert len(found) == len(unbeaten)
    assert [xs[i] for i in found] == sorted(x for x, _ in unbeaten)


def test_equal_points_are_kept_once_the_first() -> None:
    assert staircase([1.0, 1.0, 2.0], [3.0, 3.0, 1.0]) == [0, 2]


def test_knee_is_the_point_farthest_below_the_line() -> None:
    xs, ys = [0.0, 1.0, 2.0, 10.0], [100.0, 20.0, 15.0, 0.0]
    assert knee([0, 1, 2, 3], xs, ys) == 1


@pytest.mark.parametrize("factor", [1e-6, 1.0, 1e9])
def test_knee_does_not_depend_on_units(factor: float) -> None:
    xs, ys = [0.0, 1.0, 5.0, 10.0], [8.0, 5.0, 1.0, 0.0]
    assert knee([0, 1, 2, 3], [x * factor for x in xs], ys) == knee([0, 1, 2, 3], xs, ys) == 2


@pytest.mark.parametrize(
    ("xs", "ys"),
    [
        ([], []),
        ([1.0, 2.0], [2.0, 1.0]),
        ([0.0, 1.0, 2.0], [2.0, 1.0, 0.0]),
        ([0.0, 1.8, 2.0], [2.0, 1.8, 0.0]),
    ],
    ids=["empty", "two points", "straight", "bulging out"],
)
def test_no_knee_where_there_is_none(xs: list[float], ys: list[float]) -> None:
    assert knee(list(range(len(xs))), xs, ys) is None
