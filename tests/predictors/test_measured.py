"""Figures learned from measured rows: laws with a closed form, intervals that cover, disturbed rows, bad input."""

import numpy as np
import pytest

from predictors.kernel_features import Floats
from predictors.measured import LearnedFigure, fit_figure, left_out
from search_spaces.errors import NasError

OPERATORS, PLACES = 4, 6
PRICES = np.array([0.0, 1.0, 4.0, 9.0])


def networks(count: int, rng: np.random.Generator) -> list[Floats]:
    """Random networks: how often each operator occurs [n, 3], and which lies on which place [n, 18]."""
    placed = (rng.integers(0, OPERATORS, (count, PLACES))[:, :, None] == np.arange(1, OPERATORS)).astype(np.float64)
    return [placed.sum(axis=1), placed.reshape(count, -1)]


def law(groups: list[Floats]) -> Floats:
    """Prices per operator, the last place half as dear again, and one pair of operators that hinder each other."""
    placed = groups[1].reshape(len(groups[1]), PLACES, -1)
    alone = 10 + groups[0] @ PRICES[1:] + 0.5 * placed[:, -1] @ PRICES[1:]
    return np.asarray(alone + 3 * placed[:, 0, 2] * placed[:, 1, 2])


def measured(count: int, seed: int, *, noise: float = 0.02) -> tuple[list[Floats], Floats]:
    rng = np.random.default_rng(seed)
    groups = networks(count, rng)
    return groups, np.asarray(law(groups) * (1 + noise * rng.standard_normal(count)))


def mape(model: LearnedFigure, seed: int = 99) -> float:
    groups = networks(500, np.random.default_rng(seed))
    return float(np.abs(model.predict(groups) / law(groups) - 1).mean())


def test_it_finds_the_law_and_more_rows_find_more_of_it() -> None:
    few, many = fit_figure(*measured(40, 0)), fit_figure(*measured(200, 0))
    assert mape(few) < 0.04
    assert mape(many) < 0.012


def test_products_of_amounts_are_found() -> None:
    groups, figure = measured(200, 0, noise=1e-4)
    model = fit_figure(groups, figure)
    linear = np.column_stack([np.ones(len(figure)), groups[1]])
    fresh = networks(500, np.random.default_rng(99))
    straight = np.column_stack([np.ones(500), fresh[1]]) @ np.linalg.lstsq(linear, figure, rcond=None)[0]
    assert mape(model) < 0.001
    assert np.abs(straight / law(fresh) - 1).mean() > 10 * mape(model)


def test_the_interval_covers_as_often_as_it_says() -> None:
    shares = []
    for seed in range(8):
        model = fit_figure(*measured(60, seed, noise=0.05))
        groups, figure = measured(400, 100 + seed, noise=0.05)
        interval = model.interval(1.0, confidence=0.9)
        assert interval is not None
        ratio = figure / model.predict(groups)
        shares.append(((ratio >= interval[0]) & (ratio <= interval[1])).mean())
    assert 0.87 < np.mean(shares) < 0.96


def test_too_few_rows_for_a_confidence_give_no_interval() -> None:
    model = fit_figure(*measured(12, 0))
    assert model.interval(1.0, confidence=0.95) is None
    assert model.interval(1.0, confidence=0.5) is not None


def test_disturbed_rows_have_little_say() -> None:
    groups, figure = measured(100, 0)
    disturbed = figure.copy()
    disturbed[::20] *= 3
    assert mape(fit_figure(groups, disturbed)) < 1.5 * mape(fit_figure(groups, figure)) + 0.002


def test_predictions_follow_the_unit_of_the_figure() -> None:
    groups, figure = measured(60, 0)
    small, large = fit_figure(groups, 1e-3 * figure), fit_figure(groups, 1e3 * figure)
    assert large.predict(groups) == pytest.approx(1e6 * small.predict(groups), rel=1e-6)


def test_the_same_rows_give_the_same_figure_and_one_network_that_of_many() -> None:
    groups, figure = measured(60, 0)
    model, again = fit_figure(groups, figure), fit_figure(groups, figure)
    together = model.predict(groups)
    assert np.array_equal(together, again.predict(groups))
    assert model.ratios == again.ratios
    assert model.predict([group[:1] for group in groups])[0] == pytest.approx(together[0], rel=1e-12)


def test_predictions_stay_above_zero_far_outside() -> None:
    groups, figure = measured(60, 0)
    model = fit_figure(groups, figure)
    assert (model.predict([-100 * group for group in groups]) > 0).all()


def test_columns_that_never_change_say_nothing() -> None:
    groups, figure = measured(60, 0)
    wider = [np.column_stack([groups[0], np.full(60, 7.0)]), groups[1]]
    found = fit_figure(wider, figure).predict(wider)
    assert found == pytest.approx(fit_figure(groups, figure).predict(groups), rel=1e-9)


def test_errors_of_rows_left_out_are_those_of_fits_without_them(rng: np.random.Generator) -> None:
    columns, target = rng.standard_normal((12, 3)), rng.standard_normal(12)
    covariance = columns @ columns.T + 0.3 * np.eye(12)
    _, errors = left_out(covariance, target)
    for i in range(12):
        kept = np.arange(12) != i
        weights = np.linalg.solve(covariance[np.ix_(kept, kept)], target[kept])
        assert errors[i] == pytest.approx(target[i] - covariance[i, kept] @ weights, rel=1e-9)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda groups, figure: (groups, figure[:9]), "measure at least 10"),
        (lambda groups, figure: ([], figure), "at least one group"),
        (lambda groups, figure: (groups, np.where(np.arange(30) == 4, np.nan, figure)), "figure of network 4 is nan"),
        (lambda groups, figure: (groups, np.where(np.arange(30) == 4, 0.0, figure)), "figure of network 4 is 0.0"),
        (lambda groups, figure: ([groups[0], groups[1][:20]], figure), r"group 1 of amounts has shape \(20, 18\)"),
        (lambda groups, figure: ([groups[0] * np.inf, groups[1]], figure), "group 0 of amounts holds"),
    ],
)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_unusable_rows_are_refused(change, said: str) -> None:  # type: ignore[no-untyped-def]
    groups, figure = measured(30, 0)
    with pytest.raises(NasError, match=said):
        fit_figure(*change(groups, figure))


def test_other_columns_than_were_learned_from_are_refused() -> None:
    groups, figure = measured(30, 0)
    with pytest.raises(NasError, match=r"learned from columns \[3, 18\] per group"):
        fit_figure(groups, figure).predict([groups[1], groups[0]])
