"""Branch and bound against brute force, its proofs, and what it says when nothing fits."""

import numpy as np
import pytest

from benchmarks.exact_programme import mutation_search
from nas.search.exact import Budgets, Programme, most_entropy
from nas.search.exact.programme import Ints
from search_spaces.catalog.deepmad import BottleneckStages
from search_spaces.errors import NasError

NAMES = ("macs", "params", "effectiveness")
DEEPMAD_R18 = Budgets(macs=1.82e9, params=11.69e6, effectiveness=0.3)


def budgets_at(space: BottleneckStages, points: Ints, shares: tuple[float, float, float]) -> Budgets:
    """Limits at these quantiles of the valid points' figures."""
    free = Programme(space, Budgets()).scores(points)
    values = [float(np.quantile(getattr(free, n)[free.valid], q)) for n, q in zip(NAMES, shares, strict=True)]
    return Budgets(*values)


@pytest.mark.parametrize(
    "shares", [(0.3, 0.3, 0.3), (0.7, 0.5, 0.2), (0.15, 0.9, 0.6), (1.0, 0.05, 1.0), (1.0, 1.0, 1.0)]
)
def test_the_optimum_is_that_of_brute_force(
    space: BottleneckStages, points: Ints, shares: tuple[float, float, float]
) -> None:
    budgets = budgets_at(space, points, shares)
    programme = Programme(space, budgets)
    scores = programme.scores(points)
    best = float(scores.entropy[programme.feasible(scores)].max())
    found = most_entropy(space, budgets)
    assert found.entropy == pytest.approx(best, rel=1e-9)
    assert found.entropy <= found.bound <= best * (1 + 1e-8)
    assert found.gap <= 1e-8


def test_a_stopped_search_still_proves_its_bound(space: BottleneckStages, points: Ints) -> None:
    budgets = budgets_at(space, points, (0.3, 0.3, 0.3))
    programme = Programme(space, budgets)
    scores = programme.scores(points)
    best = float(scores.entropy[programme.feasible(scores)].max())
    found = most_entropy(space, budgets, seconds=0.0)
    assert found.entropy * (1 - 1e-12) <= best <= found.bound * (1 + 1e-12)
    loose = most_entropy(space, budgets, gap=0.05)
    assert loose.gap <= 0.05
    assert loose.entropy * (1 - 1e-12) <= best <= loose.bound * (1 + 1e-12)


def test_the_same_search_finds_the_same(space: BottleneckStages, points: Ints) -> None:
    budgets = budgets_at(space, points, (0.4, 0.4, 0.4))
    first, second = most_entropy(space, budgets, gap=0.01), most_entropy(space, budgets, gap=0.01)
    assert (first.architecture, first.bound, first.boxes) == (second.architecture, second.bound, second.boxes)


@pytest.mark.parametrize("name", NAMES)
def test_impossible_budgets_are_proved_and_the_nearest_value_is_named(
    space: BottleneckStages, points: Ints, name: str
) -> None:
    free = Programme(space, Budgets()).scores(points)
    least = float(getattr(free, name)[free.valid].min())
    with pytest.raises(NasError) as refusal:
        most_entropy(space, Budgets(**{name: least * 0.999}))
    message = str(refusal.value)
    proof = (
        "the closest one found has" if name == "effectiveness" else "the smallest that any architecture of the space"
    )
    assert proof in message
    assert (f"{least:,.0f}" if least >= 1000 else f"{least:.4g}") in message
    assert most_entropy(space, Budgets(**{name: least}), gap=0.01).figures[name] == pytest.approx(least)


def test_budgets_that_exclude_each_other_are_proved(space: BottleneckStages, points: Ints) -> None:
    free = Programme(space, Budgets()).scores(points)
    least = float(free.macs[free.valid].min())
    shallow = float(free.effectiveness[free.valid & (free.macs < 1.2 * least)].min())
    assert shallow > free.effectiveness[free.valid].min()
    with pytest.raises(NasError, match=r"no architecture of the space keeps the limits macs .*; the closest one found"):
        most_entropy(space, Budgets(macs=1.2 * least, effectiveness=shallow * 0.999))


def test_a_space_without_valid_architectures_is_refused() -> None:
    with pytest.raises(NasError, match="no architecture of this space is valid"):
        most_entropy(BottleneckStages(stem_widths=(8,), widths=(64,)), Budgets(macs=1e12))


def test_senseless_gaps_are_refused(space: BottleneckStages) -> None:
    with pytest.raises(NasError, match="gap must be at least 0, got -1"):
        most_entropy(space, Budgets(), gap=-1)


def test_the_benchmarks_baseline_keeps_the_budgets_too(
    space: BottleneckStages, points: Ints, rng: np.random.Generator
) -> None:
    budgets = budgets_at(space, points, (0.4, 0.4, 0.4))
    reached, scored = mutation_search(Programme(space, budgets), 0.05, rng)
    assert scored > 0
    assert reached <= most_entropy(space, budgets, gap=0.01).bound


def test_within_deepmads_budgets_more_entropy_than_published() -> None:
    found = most_entropy(BottleneckStages(), DEEPMAD_R18, gap=0.06, seconds=20.0)
    assert found.entropy > 32120.20
    assert found.gap <= 0.06
    assert found.figures["macs"] <= 1.82e9
    assert found.figures["params"] <= 11.69e6
    assert found.figures["effectiveness"] <= 0.3 * (1 + 1e-9)
