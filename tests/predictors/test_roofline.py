"""Analytic models against published and hand-computed values."""

import numpy as np
import pytest

from predictors.kernels import Kernel, kernels
from predictors.latency import network_latency_ms
from predictors.roofline import (
    AnalyticEnergy,
    Roofline,
    attainable_efficiency,
    efficiency_gap,
    network_efficiency,
    network_energy_mj,
)
from search_spaces.catalog import CATALOG

WATERLINES = (10.0, 25.0, 50.0, 100.0)


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("mobilenet_v1", (0.9309, 0.8018, 0.6181, 0.3869)),
        ("mobilenet_v2", (0.8528, 0.6009, 0.3522, 0.1778)),
        ("resnet", (0.9955, 0.9881, 0.9578, 0.7337)),
    ],
)
def test_attainable_efficiency_of_known_networks(
    name: str, published: tuple[float, ...], rng: np.random.Generator
) -> None:
    space = CATALOG[name]((3, 224, 224), 1000)
    network = space.build(space.sample(rng))
    found = [network_efficiency(network, waterline=w) for w in WATERLINES]
    assert found == pytest.approx(published, abs=1.5e-4)


def test_efficiency_by_hand() -> None:
    assert attainable_efficiency([100, 100], [10, 1], waterline=20.0) == 200 / (200 + 100)
    assert efficiency_gap(2.0, 1e6, peak_gmacs=1.0) == pytest.approx(2.0)


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
