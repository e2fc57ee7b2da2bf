"""Analytic models against published and hand-computed values."""

import numpy as np
import pytest

from predictors.counts import count_network
from predictors.kernels import Kernel, kernels
from predictors.latency import network_latency_ms
from predictors.learned_energy import network_energy_mj
from predictors.roofline import (
    AnalyticEnergy,
    Roofline,
    attainable_efficiency,
    efficiency_gap,
    layers,
    network_efficiency,
    submerged_share,
)
from search_spaces import NetworkBuilder
from search_spaces.catalog import CATALOG

WATERLINES = (10.0, 25.0, 50.0, 100.0)
IMAGE = (3, 224, 224)


@pytest.mark.parametrize(
    ("name", "moved_millions", "intensity", "attainable", "below_50"),
    [
        ("mobilenet_v1", 14.40, 39.50, (0.9309, 0.8018, 0.6181, 0.3869), 0.277),
        ("mobilenet_v2", 16.92, 17.78, (0.8528, 0.6009, 0.3522, 0.1778), 0.796),
        ("resnet", 47.28, 86.48, (0.9955, 0.9881, 0.9578, 0.7337), 0.176),
    ],
)
def test_the_waterline_table_of_known_networks(
    name: str,
    moved_millions: float,
    intensity: float,
    attainable: tuple[float, ...],
    below_50: float,
    rng: np.random.Generator,
) -> None:
    space = CATALOG[name](IMAGE, 1000)
    network = space.build(space.sample(rng))
    bars = layers(network)
    macs, moved = [bar.macs for bar in bars], [bar.moved_elements for bar in bars]
    assert sum(moved) / 1e6 == pytest.approx(moved_millions, abs=0.005)
    assert sum(macs) / sum(moved) == pytest.approx(intensity, abs=0.005)
    assert [network_efficiency(network, waterline=w) for w in WATERLINES] == pytest.approx(attainable, abs=1.5e-4)
    assert submerged_share(macs, moved, waterline=50.0) == pytest.approx(below_50, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "moved_millions", "intensity", "attainable", "below_50"),
    [
        ("convnext", 55.51, 80.27, (0.9984, 0.9936, 0.9470, 0.7356), 0.196),
        ("inceptionnext", 52.07, 80.44, (0.9894, 0.9698, 0.9240, 0.7331), 0.144),
        ("vovnet", 38.57, 183.37, (0.9987, 0.9962, 0.9837, 0.8969), 0.082),
    ],
)
def test_the_waterline_table_of_networks_with_biases(
    name: str, moved_millions: float, intensity: float, attainable: tuple[float, ...], below_50: float
) -> None:
    """The table leaves biases out of what is moved; counting leaves them in."""
    space = CATALOG[name](IMAGE, 1000)
    network = space.build(space.repair({}))
    bars = layers(network)
    macs, moved = [bar.macs for bar in bars], [bar.moved_elements for bar in bars]
    assert sum(moved) / 1e6 == pytest.approx(moved_millions, rel=1e-3)
    assert sum(macs) / sum(moved) == pytest.approx(intensity, rel=1e-3)
    assert [network_efficiency(network, waterline=w) for w in WATERLINES] == pytest.approx(attainable, rel=1e-3)
    assert submerged_share(macs, moved, waterline=50.0) == pytest.approx(below_50, abs=5e-4)


def test_bars_are_as_wide_as_the_network_works(rng: np.random.Generator) -> None:
    space = CATALOG["mobile"]((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    assert sum(bar.macs for bar in layers(network)) == count_network(network).total["macs"]
    assert all(bar.intensity * bar.moved_elements == pytest.approx(bar.macs) for bar in layers(network))


def test_efficiency_by_hand() -> None:
    assert attainable_efficiency([100, 100], [10, 1], waterline=20.0) == 200 / (200 + 100)
    assert submerged_share([100, 300], [10, 1], waterline=20.0) == 0.25
    assert efficiency_gap(2.0, 1e6, peak_gmacs=1.0) == pytest.approx(2.0)


def test_the_gap_of_a_network_that_waits_for_memory_is_at_least_that_of_its_layers(rng: np.random.Generator) -> None:
    space = CATALOG["mobilenet_v2"](IMAGE, 1000)
    network = space.build(space.sample(rng))
    model = Roofline(4650.0, 732.0)
    gap = efficiency_gap(network_latency_ms(model, network), count_network(network).total["macs"], peak_gmacs=4650.0)
    assert gap >= 1 / network_efficiency(network, waterline=model.waterline)


def test_a_kernel_is_limited_by_arithmetic_or_by_traffic(rng: np.random.Generator) -> None:
    model = Roofline(10.0, 4.0)
    busy = Kernel("conv", (8, 8, 8), (8, 8, 8), macs=10_000_000, moved_elements=1000)
    moving = Kernel("add", (8, 8, 8), (8, 8, 8), macs=0, moved_elements=1_000_000)
    assert model.predict_ms([busy, moving]) == pytest.approx([1.0, 1.0])
    assert model.waterline == 10.0
    assert model.predict_ms([]).shape == (0,)
    space = CATALOG["mobile"]((3, 32, 32), 10)
    assert network_latency_ms(model, space.build(space.sample(rng))) > 0


def test_energy_adds_up_over_kernels(rng: np.random.Generator) -> None:
    space = CATALOG["mobile"]((3, 32, 32), 10)
    network = space.build(space.sample(rng))
    parts = kernels(network)
    moved = sum(kernel.moved_elements for kernel in parts)
    macs = sum(kernel.macs for kernel in parts)
    found = network_energy_mj(AnalyticEnergy(5.0, 100.0), network)
    assert found == pytest.approx((5.0 * macs + 100.0 * 4 * moved) * 1e-9)


def test_peak_and_bandwidth_are_read_off_the_fastest_kernels() -> None:
    busy = [Kernel("conv", (8, 8, 8), (8, 8, 8), macs=10**7, moved_elements=1000)] * 50
    moving = [Kernel("add", (8, 8, 8), (8, 8, 8), moved_elements=10**6)] * 50
    truth = Roofline(10.0, 4.0)
    found = Roofline.seen_in([*busy, *moving], truth.predict_ms([*busy, *moving]))
    assert found is not None
    assert (found.peak_gmacs, found.bandwidth_gbs) == pytest.approx((10.0, 4.0))
    assert Roofline.seen_in(moving, [1.0] * 50) is None
    assert Roofline.seen_in([], []) is None


def test_smaller_values_move_faster() -> None:
    moving = Kernel("add", (8, 8, 8), (8, 8, 8), moved_elements=10**6)
    assert Roofline(10.0, 4.0, value_bytes=1).predict_ms([moving])[0] == pytest.approx(0.25)
    assert Roofline(10.0, 4.0, value_bytes=1).waterline == 2.5


def test_a_concatenation_costs_what_it_copies() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(8, 4, 4)
    network = net.finish(net.concat(net.conv(x, 8, name="a"), net.conv(x, 24, name="b")))
    total = count_network(network).total
    products = sum(bar.moved_elements for bar in layers(network))
    copied = 2 * 32 * 16
    assert total["moved_elements"] == products + copied
    joined = kernels(network)[-1]
    assert (joined.kind, joined.moved_elements) == ("concat", copied)
    assert Roofline(1e9, 4.0).predict_ms([joined])[0] == pytest.approx(copied * 1e-6)
