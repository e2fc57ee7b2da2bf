"""What is known before a new device is seen: columns, models of known devices, the choice of what to measure."""

import numpy as np
import pytest

from predictors.kernels import kernels
from predictors.known_devices import KnownDevices, choose_architectures, describe, kernel_amounts
from predictors.latency import network_latency_ms
from predictors.roofline import Roofline
from search_spaces.catalog.mobile import mobile
from search_spaces.errors import NasError
from tests.predictors.devices import known_devices, pool


@pytest.fixture
def known(rng: np.random.Generator) -> KnownDevices:
    return known_devices(pool(200, rng), rng)


def test_columns_are_centred_and_of_one_spread(known: KnownDevices) -> None:
    assert known.columns.shape == (200, 9)
    assert known.columns.mean(axis=0) == pytest.approx(np.zeros(9), abs=1e-12)
    assert known.columns.std(axis=0) == pytest.approx(np.ones(9))


def test_amounts_that_never_change_are_columns_of_zeros(known: KnownDevices) -> None:
    still = KnownDevices(known.figures, known.families, np.ones((200, 1)))
    assert (still.columns[:, -1] == 0).all()
    assert still.columns[:, :-1] == pytest.approx(known.columns[:, :-1])


def test_without_leaves_the_others_as_they_were(known: KnownDevices) -> None:
    fewer = known.without([0, 1])
    assert fewer.families == known.families[2:]
    assert fewer.columns == pytest.approx(known.columns[:, 2:], rel=1e-9)


def test_models_and_counts_describe_networks(rng: np.random.Generator) -> None:
    space = mobile((3, 32, 32), 10)
    networks = [space.build(space.sample(rng)) for _ in range(3)]
    models = [Roofline(10.0, 100.0), Roofline(1000.0, 1.0)]
    figures, amounts = describe(networks, models)
    for i, network in enumerate(networks):
        assert figures[i] == pytest.approx([network_latency_ms(model, network) for model in models], rel=1e-12)
        parts = kernels(network)
        moved = sum(part.moved_elements for part in parts)
        assert amounts[i].tolist() == [sum(part.macs for part in parts), moved, len(parts)]
    assert kernel_amounts([]).shape == (0, 3)


def test_models_that_fuse_in_different_ways_are_refused(rng: np.random.Generator) -> None:
    space = mobile((3, 32, 32), 10)
    networks = [space.build(space.sample(rng))]
    with pytest.raises(NasError, match="give devices that agree"):
        describe(networks, [Roofline(1.0, 1.0), Roofline(1.0, 1.0, fusion="none")])
    with pytest.raises(NasError, match="1 networks and 0 known devices"):
        describe(networks, [])


def doubt(known: KnownDevices, rows: np.ndarray) -> float:
    """Mean variance over the pool of Bayesian linear regression on the measured `rows`, in closed form."""
    devices, counted = len(known.families), known.amounts.shape[1]
    design = np.column_stack([np.ones(len(known.columns)), known.columns])
    precision = np.diag(np.repeat([1 / 9, devices, 10.0], [1, devices, counted])) + design[rows].T @ design[rows] / 0.1
    return float(np.einsum("ni,ij,nj->n", design, np.linalg.inv(precision), design).mean())


def test_each_choice_is_the_best_next_one(known: KnownDevices) -> None:
    chosen = choose_architectures(known, 6)
    assert len(set(chosen.tolist())) == 6
    for step in range(6):
        offers = [row for row in range(200) if row not in chosen[:step]]
        left = [doubt(known, np.append(chosen[:step], row)) for row in offers]
        assert offers[int(np.argmin(left))] == chosen[step]


def test_only_what_is_on_offer_is_chosen(known: KnownDevices) -> None:
    offer = np.arange(50, 80)
    chosen = choose_architectures(known, 12, among=offer)
    assert set(chosen.tolist()) <= set(offer.tolist())
    assert len(set(chosen.tolist())) == 12
    assert sorted(choose_architectures(known, 30, among=offer).tolist()) == offer.tolist()


@pytest.mark.parametrize("count", [4, 31])
def test_an_impossible_number_is_refused(known: KnownDevices, count: int) -> None:
    with pytest.raises(NasError, match="legal are 5 to 30"):
        choose_architectures(known, count, among=np.arange(30))


def test_unusable_columns_are_refused(known: KnownDevices) -> None:
    def changed(place: tuple[int, int], value: float) -> np.ndarray:
        figures = known.figures.copy()
        figures[place] = value
        return figures

    with pytest.raises(NasError, match="figure of known device 3 is nan in row 7; legal are numbers above 0"):
        KnownDevices(changed((7, 3), np.nan), known.families, known.amounts)
    with pytest.raises(NasError, match=r"figure of known device 3 is -1\.0 in row 7"):
        KnownDevices(changed((7, 3), -1.0), known.families, known.amounts)
    with pytest.raises(NasError, match="amount 0 is inf in row 0; legal are numbers"):
        KnownDevices(known.figures, known.families, np.full((200, 1), np.inf))
    with pytest.raises(NasError, match="known device 0 takes the same for all architectures"):
        KnownDevices(np.ones((200, 1)), ("a",), known.amounts)
    with pytest.raises(NasError, match=r"known figures have shape \(200, 8\)"):
        KnownDevices(known.figures, known.families[:3], known.amounts)
    with pytest.raises(NasError, match="none is given"):
        KnownDevices(np.ones((200, 0)), (), known.amounts)
