"""A new device from ten measurements: devices with a closed form, intervals that cover, bad input."""

import numpy as np
import pytest
from scipy.stats import spearmanr

from predictors.kernel_features import Floats
from predictors.kernels import kernels
from predictors.known_devices import KnownDevices, choose_architectures, describe
from predictors.latency import compose, network_latency_ms
from predictors.roofline import Roofline
from predictors.transfer import Rehearsal, TransferredLatency, fit_transfer, rehearse
from search_spaces.catalog.mobile import mobile
from search_spaces.errors import NasError
from tests.predictors.devices import figure, known_devices, pool

NEW = ((4.0, 2.0, 1.0), (1.0, 5.0, 2.0), (2.0, 1.0, 6.0), (0.5, 4.0, 4.0))


@pytest.fixture(scope="module")
def work() -> Floats:
    return pool(600, np.random.default_rng(0))


@pytest.fixture(scope="module")
def known(work: Floats) -> KnownDevices:
    return known_devices(work, np.random.default_rng(1))


@pytest.fixture(scope="module")
def rehearsal(known: KnownDevices) -> Rehearsal:
    return rehearse(known, 10)


@pytest.mark.parametrize("prices", NEW)
def test_ten_measurements_rank_a_new_device(
    known: KnownDevices, rehearsal: Rehearsal, work: Floats, prices: tuple[float, float, float]
) -> None:
    truth = figure(work, prices, np.random.default_rng(2), noise=0.0)
    model = fit_transfer(known, range(10), truth[:10], rehearsal=rehearsal)
    guess = model.predict(known.figures, known.amounts)[10:]
    assert spearmanr(guess, truth[10:]).statistic > 0.97
    assert np.median(np.abs(guess / truth[10:] - 1)) < 0.03


def test_a_device_like_a_known_one_is_that_one(known: KnownDevices, rehearsal: Rehearsal) -> None:
    truth = 2.5 * known.figures[:, 4]
    guess = fit_transfer(known, range(10), truth[:10], rehearsal=rehearsal).predict(known.figures, known.amounts)
    assert np.abs(guess / truth - 1).max() < 0.1


def test_chosen_architectures_teach_more_than_random_ones(
    known: KnownDevices, rehearsal: Rehearsal, work: Floats
) -> None:
    errors: dict[bool, list[float]] = {True: [], False: []}
    for seed in range(6):
        rng = np.random.default_rng(seed)
        offer = rng.permutation(600)[:300]
        for prices in NEW:
            truth = figure(work, prices, rng, noise=0.01)
            for chosen in (True, False):
                rows = choose_architectures(known, 10, among=offer) if chosen else offer[:10]
                model = fit_transfer(known, rows, truth[rows], rehearsal=rehearsal)
                errors[chosen].append(float(np.abs(np.log(model.predict(known.figures, known.amounts) / truth)).mean()))
    assert np.mean(errors[True]) < 0.9 * np.mean(errors[False])


def test_the_interval_covers_as_often_as_it_says(known: KnownDevices, rehearsal: Rehearsal, work: Floats) -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(40):
        first, second, third = rng.uniform(0.5, 8.0, 3)
        truth = figure(work, (first, second, third), rng, noise=0.02)
        rows = rng.permutation(600)
        model = fit_transfer(known, rows[:10], truth[rows[:10]], rehearsal=rehearsal)
        interval = model.interval(1.0, confidence=0.9)
        assert interval is not None
        ratio = (truth / model.predict(known.figures, known.amounts))[rows[10:]]
        covered.append(((ratio >= interval[0]) & (ratio <= interval[1])).mean())
    assert 0.85 < np.mean(covered) < 0.97


def test_the_same_rows_give_the_same_figure_with_and_without_a_shared_rehearsal(
    known: KnownDevices, rehearsal: Rehearsal
) -> None:
    shared = fit_transfer(known, range(10), known.figures[:10, 0], rehearsal=rehearsal)
    own = fit_transfer(known, range(10), known.figures[:10, 0])
    assert shared == own
    assert rehearse(known, 10, chosen=True) == rehearse(known, 10, chosen=True) != rehearsal


def test_predictions_follow_the_unit_of_the_figure(known: KnownDevices, rehearsal: Rehearsal) -> None:
    truth = known.figures[:10, 0]
    one, other = (fit_transfer(known, range(10), unit * truth, rehearsal=rehearsal) for unit in (1.0, 1e3))
    columns = known.figures, known.amounts
    assert other.predict(*columns) == pytest.approx(1e3 * one.predict(*columns), rel=1e-9)
    assert one.ratios == pytest.approx(other.ratios)


def test_devices_of_one_family_are_rehearsed_one_by_one(known: KnownDevices) -> None:
    alike = KnownDevices(known.figures[:, :3], ("same",) * 3, known.amounts)
    assert len(rehearse(alike, 10).scores) == 3 * len(rehearse(known, 10).scores) / 4


def test_without_amounts_the_devices_alone_are_used(known: KnownDevices, work: Floats) -> None:
    bare = KnownDevices(known.figures, known.families, np.zeros((600, 0)))
    truth = figure(work, NEW[0], np.random.default_rng(2), noise=0.0)
    guess = fit_transfer(bare, range(10), truth[:10]).predict(bare.figures, bare.amounts)
    assert spearmanr(guess, truth).statistic > 0.95


def test_a_transferred_latency_is_additive_over_kernels() -> None:
    space = mobile((3, 32, 32), 10)
    rng = np.random.default_rng(0)
    networks = [space.build(space.sample(rng)) for _ in range(60)]
    models = [Roofline(5.0, 2.0), Roofline(500.0, 0.5), Roofline(1.0, 50.0)]
    known = KnownDevices(*_described(networks, models))
    new = Roofline(10.0, 1.0)
    measured = [0.3 + network_latency_ms(new, network) for network in networks[:10]]
    figure = fit_transfer(known, range(10), measured)
    model = TransferredLatency(figure, models)
    predicted = figure.predict(known.figures, known.amounts)
    for network, expected in zip(networks, predicted, strict=True):
        assert network_latency_ms(model, network) == pytest.approx(expected, rel=1e-9)
    truth = [0.3 + network_latency_ms(new, network) for network in networks]
    assert np.median(np.abs(predicted / truth - 1)) < 0.05
    parts = kernels(networks[0])
    assert float(compose(model, model.predict_ms(parts))) == pytest.approx(predicted[0], rel=1e-9)
    with pytest.raises(NasError, match=r"expected \(n, 3\) and \(n, 3\)"):
        figure.predict(known.figures[:, 1:], known.amounts)
    assert model.interval(1.0) == figure.interval(1.0)
    with pytest.raises(NasError, match="was not learned from 2 devices and 3 amounts"):
        TransferredLatency(figure, models[:2])


def _described(networks, models):  # type: ignore[no-untyped-def]
    figures, amounts = describe(networks, models)
    return figures, ("a", "b", "c"), amounts


def test_unusable_measurements_are_refused(known: KnownDevices, rehearsal: Rehearsal) -> None:
    truth = known.figures[:, 0]
    with pytest.raises(NasError, match="measure at least 5"):
        fit_transfer(known, range(4), truth[:4])
    with pytest.raises(NasError, match="figure of network 2 is nan"):
        fit_transfer(known, range(10), [1.0, 2.0, float("nan"), *truth[:7]], rehearsal=rehearsal)
    with pytest.raises(NasError, match="named twice"):
        fit_transfer(known, [0, *range(9)], truth[:10], rehearsal=rehearsal)
    with pytest.raises(NasError, match="measured row 600 is outside the pool of 600"):
        fit_transfer(known, [600, *range(9)], truth[:10], rehearsal=rehearsal)
    with pytest.raises(NasError, match="rehearsed with 10 architectures, but 12 were measured"):
        fit_transfer(known, range(12), truth[:12], rehearsal=rehearsal)
    with pytest.raises(NasError, match="legal are 5 to 300"):
        rehearse(known, 301)
    with pytest.raises(NasError, match="at least 1 more"):
        rehearse(known.without(range(1, 8)), 10)
