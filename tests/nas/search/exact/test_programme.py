"""The programme's arrays are the built networks' figures."""

import numpy as np
import pytest

from nas.search.exact.programme import Budgets, Ints, Programme
from search_spaces.catalog.deepmad import BottleneckStages
from search_spaces.errors import InvalidArchitecture, NasError, SpaceError


def test_arrays_are_the_built_networks_figures(space: BottleneckStages, points: Ints, rng: np.random.Generator) -> None:
    programme = Programme(space, Budgets())
    scores = programme.scores(points)
    for i in rng.choice(np.flatnonzero(scores.valid), 12, replace=False):
        architecture = programme.architecture(points[i])
        for name, value in programme.recounted(architecture).items():
            assert getattr(scores, name)[i] == pytest.approx(value, rel=1e-12)


def test_points_the_space_does_not_offer_are_invalid(
    space: BottleneckStages, points: Ints, rng: np.random.Generator
) -> None:
    programme = Programme(space, Budgets())
    valid = programme.scores(points).valid
    assert 0 < valid.sum() < len(points)
    built = space.space()
    for i in rng.choice(np.flatnonzero(~valid), 12, replace=False):
        with pytest.raises(InvalidArchitecture):
            built.build(programme.architecture(points[i]))


def test_feasible_points_keep_every_budget(space: BottleneckStages, points: Ints) -> None:
    free = Programme(space, Budgets()).scores(points)
    middle = {name: float(np.median(getattr(free, name)[free.valid])) for name in ("macs", "params", "effectiveness")}
    programme = Programme(space, Budgets(**middle))
    kept = programme.feasible(free)
    assert 0 < kept.sum() < free.valid.sum()
    assert (kept == (free.valid & (programme.excess(free) <= 1e-9))).all()


def test_senseless_input_is_refused() -> None:
    with pytest.raises(NasError, match="limit on macs must be above 0, got -1"):
        Budgets(macs=-1)
    with pytest.raises(SpaceError, match=r"widths must be whole numbers from 1 in rising order, got \(16, 8\)"):
        BottleneckStages(widths=(16, 8))
    with pytest.raises(SpaceError, match="one stride of at least 1 per stage"):
        BottleneckStages(strides=())
