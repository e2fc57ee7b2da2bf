"""The derived energy model: constant group size against constant group count, and the best group size."""

from collections.abc import Mapping

import numpy as np
import pytest

from predictors.counts import count_network
from predictors.energy import best_group_size, energy_relative, grouped_intensity, legal_group_size
from predictors.grouping import best_group_size_of, grouped_layers
from predictors.target import load_target
from search_spaces import NetworkBuilder, SearchSpace
from search_spaces.builder import Value
from search_spaces.catalog import mobilenet_v1, resnet, resnext_groups
from search_spaces.operators import Conv

IMAGE = (3, 224, 224)


def totals(space: SearchSpace, picks: Mapping[str, Value]) -> dict[str, int]:
    network = space.trace(lambda name, options: picks.get(name, options[0])).network
    assert network is not None
    return count_network(network).total


@pytest.mark.parametrize(
    ("group_size", "group_count", "moved", "ratio"),
    [(8, 32, (14.709, 15.137), 0.978), (32, 8, (15.781, 17.491), 0.930)],
)
def test_constant_group_size_needs_less_energy_at_matched_macs(
    group_size: int, group_count: int, moved: tuple[float, float], ratio: float
) -> None:
    by_size = totals(mobilenet_v1(IMAGE, 1000, group_sizes=(group_size,)), {})
    by_count = totals(mobilenet_v1(IMAGE, 1000, group_counts=(group_count,)), {})
    found = [total["moved_elements"] / 1e6 for total in (by_size, by_count)]
    assert found == pytest.approx(moved, rel=2e-4)
    energy = [energy_relative(total["macs"], total["moved_elements"]) for total in (by_size, by_count)]
    assert energy[0] / energy[1] == pytest.approx(ratio, abs=5e-4)


@pytest.mark.parametrize(
    ("picks", "params", "macs"),
    [
        ({"rule": "count", "group_count": 32}, 25.029, 4230.48),
        ({"rule": "size", "group_size": 8}, 24.158, 4197.97),
    ],
)
def test_resnext_with_constant_count_and_with_constant_size(
    picks: Mapping[str, Value], params: float, macs: float
) -> None:
    total = totals(resnext_groups(IMAGE, 1000), picks)
    assert (total["params"] / 1e6, total["macs"] / 1e6) == pytest.approx((params, macs), rel=1e-3)


def test_activations_of_residual_networks() -> None:
    """Published in millions, with what the maximum pooling of the stem puts out."""
    pooled = 64 * 56 * 56
    plain = totals(resnet(IMAGE, 1000), {})["activations"]
    grouped = totals(resnext_groups(IMAGE, 1000), {"rule": "count", "group_count": 32})["activations"]
    assert plain / 1e6 == pytest.approx(11.115, abs=1e-3)
    assert round((plain + pooled) / 1e6, 1) == 11.3
    assert round((grouped + pooled) / 1e6, 1) == 14.6


@pytest.mark.parametrize(
    ("target", "ridge", "expected"),
    [
        ("nvidia_p100", 25.4, {112: 5.66, 28: 5.84, 14: 6.49, 7: 11.7}),
        ("nvidia_p4000", 43.6, {112: 9.7, 14: 12.5}),
    ],
)
def test_the_best_group_size_of_published_hardware(target: str, ridge: float, expected: dict[int, float]) -> None:
    roofline = load_target(target).roofline
    assert roofline is not None
    assert roofline.waterline == pytest.approx(ridge, abs=0.05)
    for size, best in expected.items():
        assert best_group_size(roofline.waterline, size=size) == pytest.approx(best, rel=5e-3)


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("size", [7, 14, 56])
def test_the_best_group_size_is_where_intensity_meets_the_ridge(kernel: int, size: int) -> None:
    best = best_group_size(20.0, size=size, kernel=kernel)
    assert best is not None
    assert grouped_intensity(best, size=size, kernel=kernel) == pytest.approx(20.0)


def test_the_best_group_size_at_the_ridge_of_the_p100() -> None:
    """25.4, as published to three digits; 25.4 itself gives 5.833."""
    roofline = load_target("nvidia_p100").roofline
    assert roofline is not None
    assert round(roofline.waterline, 1) == 25.4
    assert best_group_size(roofline.waterline, size=28) == pytest.approx(5.84, abs=0.005)
    assert best_group_size(25.4, size=28) == pytest.approx(5.84, abs=0.01)


@pytest.mark.parametrize(("stride", "out"), [(1, 32), (2, 32), (1, 64), (2, 16)])
def test_the_best_group_size_of_a_layer_is_where_its_own_intensity_meets_the_ridge(stride: int, out: int) -> None:
    op = Conv(out, (3, 3), (stride, stride), (1, 1), (1, 1), 8)
    shape = (32, 28, 28)
    ridge = (counts := op.counts((shape,))).macs / counts.moved_elements
    assert best_group_size_of(op, shape, ridge) == pytest.approx(8)
    if stride == 1 and out == 32:
        assert best_group_size_of(op, shape, 25.4) == pytest.approx(best_group_size(25.4, size=28))


def test_group_convolutions_of_a_network() -> None:
    space = mobilenet_v1(IMAGE, 1000, group_sizes=(8,))
    network = space.build(space.repair({}))
    found = grouped_layers(network, ridge=25.4)
    assert [layer.name for layer in found] == [f"layer{i}.spatial.conv" for i in range(13)]
    assert {layer.group_size for layer in found} == {8}
    assert found[4].intensity == pytest.approx(grouped_intensity(8, size=28))
    assert (found[4].best, found[4].legal) == (pytest.approx(5.84, abs=0.01), 8)
    spread = np.std([layer.intensity for layer in found]) / np.mean([layer.intensity for layer in found])
    by_count = mobilenet_v1(IMAGE, 1000, group_counts=(32,))
    other = [layer.intensity for layer in grouped_layers(by_count.build(by_count.repair({})))]
    assert spread == pytest.approx(0.350, abs=1e-3)
    assert np.std(other) / np.mean(other) == pytest.approx(0.643, abs=1e-3)


def test_no_group_size_reaches_a_ridge_above_the_positions() -> None:
    assert best_group_size(49.0, size=7) is None
    assert best_group_size(1.0, size=10**4) == pytest.approx(2 / 9, rel=1e-6)


def test_intensity_is_that_of_the_counted_layer() -> None:
    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(32, 14, 14)
    total = count_network(net.finish(net.conv(x, 32, group_size=8))).total
    assert total["macs"] / total["moved_elements"] == pytest.approx(grouped_intensity(8, size=14))


def test_a_legal_group_size_divides_the_channels() -> None:
    assert legal_group_size(5.84, 64) == 8
    assert legal_group_size(5.84, 36) == 6
    assert legal_group_size(100.0, 36) == 36
