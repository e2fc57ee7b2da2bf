"""The relaxation: exact once prices are fixed, and above everything that keeps the budgets."""

import numpy as np
import pytest

from nas.search.exact.programme import Budgets, Floats, Ints, Programme
from nas.search.exact.relaxation import Box, Relaxation
from search_spaces.catalog.deepmad import BottleneckStages


def limited(space: BottleneckStages, points: Ints, share: float) -> Programme:
    """The space with budgets that about `share` of its points keep one by one."""
    free = Programme(space, Budgets()).scores(points)
    names = ("macs", "params", "effectiveness")
    return Programme(space, Budgets(**{n: float(np.quantile(getattr(free, n)[free.valid], share)) for n in names}))


def random_box(programme: Programme, rng: np.random.Generator) -> Box:
    ends = np.sort(rng.integers(0, programme.sizes, size=(2, len(programme.sizes))), axis=0)
    return Box(ends[0], ends[1])


def inside(box: Box, points: Ints) -> np.ndarray:
    return np.asarray(((points >= box.low) & (points <= box.high)).all(1))


def test_priced_maximum_is_that_of_all_points(space: BottleneckStages, points: Ints, rng: np.random.Generator) -> None:
    programme = limited(space, points, 0.5)
    relaxation, scores = Relaxation(programme), programme.scores(points)
    sums = programme.layer_entropies(points)
    for _ in range(25):
        box = random_box(programme, rng)
        terms = relaxation.terms(box, 0.0)
        prices: Floats = rng.exponential(np.array([300.0, 300.0, 5.0]))
        tangent = float(rng.uniform(5, 30))
        value, point = relaxation.maximise(box, terms, prices, tangent)
        steps = np.diff(terms.factors, append=0.0)
        plane = -(steps * sums).sum(1)
        for s, stage in enumerate(programme.stages):
            plane += terms.slopes[s] * (programme.logs[stage.variable][points[:, stage.variable]] - terms.tops[s])
        priced = plane + relaxation.slack(scores, tangent) @ prices
        allowed = inside(box, points) & scores.valid
        if not allowed.any():
            assert value == -np.inf
            continue
        assert value == pytest.approx(priced[allowed].max(), rel=1e-9)
        assert priced[(points == point).all(1)][0] == pytest.approx(value, rel=1e-9)


@pytest.mark.parametrize("share", [0.1, 0.4, 0.9])
def test_bounds_lie_above_every_feasible_point(
    space: BottleneckStages, points: Ints, rng: np.random.Generator, share: float
) -> None:
    programme = limited(space, points, share)
    relaxation, scores = Relaxation(programme), programme.scores(points)
    feasible = programme.feasible(scores)
    assert feasible.any()
    least = float(np.median(scores.entropy[feasible]))
    widest = np.array([1e4, 1e4, 100.0])
    for _ in range(8):
        box = random_box(programme, rng)
        start = rng.exponential(np.array([300.0, 300.0, 5.0]))
        tangent = float(rng.uniform(5, 30))
        found = relaxation.bound(box, start, least=least, enough=0.0, tangent=tangent, rounds=12, widest=widest)
        better = feasible & inside(box, points) & (scores.entropy >= least)
        if better.any():
            assert found.bound >= scores.entropy[better].max() * (1 - 1e-12)


def test_a_single_point_is_bounded_by_itself(space: BottleneckStages, points: Ints) -> None:
    programme = Programme(space, Budgets())
    relaxation, scores = Relaxation(programme), programme.scores(points)
    for i in np.flatnonzero(scores.valid)[::2999]:
        box = Box(points[i], points[i])
        found, _ = relaxation.maximise(box, relaxation.terms(box, 0.0), np.zeros(3), 1.0)
        assert found == pytest.approx(scores.entropy[i], rel=1e-12)
