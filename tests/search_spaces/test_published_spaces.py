"""The BigNAS space and the downsampling positions of ResNet against what was published of them."""

import csv
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predictors.counts import count_network
from search_spaces import Network, SearchSpace
from search_spaces.catalog import bignas, downsampling
from search_spaces.catalog.bignas import ROWS
from search_spaces.catalog.downsampling import from_lengths
from search_spaces.errors import NasError

IMAGE = (3, 224, 224)


def end(space: SearchSpace, position: int) -> Network:
    network = space.trace(lambda _name, options: options[position]).network
    assert network is not None
    return network


def bignas_macs(picks: Mapping[str, Any]) -> Any:
    """MACs of one architecture, or of many at once, from the published table alone: gates left out."""
    side = picks["resolution"] // 2
    channels = picks["stem.width"]
    macs = 27 * channels * side**2
    for i, row in enumerate(ROWS):
        width, depth = picks[f"stage{i}.width"], picks[f"stage{i}.depth"]
        taps = picks.get(f"stage{i}.kernel", 3) ** 2
        for j in range(max(row.depths)):
            stride = row.stride if j == 0 else 1
            hidden, out = row.expand * channels, side // stride
            layer = hidden * channels * side**2 * (row.expand > 1) + hidden * (taps + width) * out**2
            macs = macs + layer * (depth > j)
            side, channels = out, width
    return macs + channels * picks["head.width"] * side**2 + 1000 * picks["head.width"]


def test_bignas_spans_the_published_range() -> None:
    space = bignas(IMAGE, 1000, se_ratio=0.0)
    assert count_network(end(space, 0)).total["macs"] / 1e6 == pytest.approx(206.39, abs=0.005)
    assert count_network(end(space, -1)).total["macs"] / 1e6 == pytest.approx(1841.40, abs=0.005)


def test_uniform_choices_starve_the_large_bignas_networks(rng: np.random.Generator) -> None:
    space = bignas(IMAGE, 1000, se_ratio=0.0)
    for _ in range(5):
        architecture = space.sample(rng)
        assert count_network(space.build(architecture)).total["macs"] == bignas_macs(architecture.values)
    offered = space.trace(lambda _name, options: options[0]).choices
    macs = bignas_macs({choice.name: rng.choice(choice.options, 100_000) for choice in offered})
    ends = (bignas_macs({choice.name: choice.options[i] for choice in offered}) for i in (0, -1))
    counts, _ = np.histogram(macs, np.linspace(*ends, 6))
    assert counts / len(macs) == pytest.approx([0.343, 0.256, 0.300, 0.098, 0.003], abs=0.004)
    assert np.median(macs) / 1e6 == pytest.approx(695.2, rel=0.01)


def test_bignas_keeps_small_images_large_enough() -> None:
    network = end(bignas((3, 32, 32), 10), -1)
    assert network.input.shape == (3, 32, 32)
    assert next(node.shape for node in network.nodes if node.name == "head.conv") == (1408, 4, 4)


@pytest.mark.parametrize(("layers", "gaps", "strides", "count"), [(20, 9, 2, 36), (18, 8, 3, 56), (50, 16, 3, 560)])
def test_downsampling_has_every_set_of_gaps_once(layers: int, gaps: int, strides: int, count: int) -> None:
    space = downsampling((3, 32, 32), 10, layers=layers)
    assert math.comb(gaps, strides) == count
    found = {tuple(architecture.values.values()) for architecture in space.enumerate()}
    assert len(found) == count
    assert all(sum(lengths) <= gaps for lengths in found)


def test_published_stages_are_resnet_20() -> None:
    network = downsampling((3, 32, 32), 10).build(from_lengths((4, 3, 3)))
    total = count_network(network).total
    assert (total["params"], total["macs"]) == (272_474, 40_813_184)


def test_strides_stand_where_they_were_picked() -> None:
    network = downsampling((3, 32, 32), 10).build(from_lengths((1, 8, 1)))
    sizes = {node.name: node.shape for node in network.nodes}
    assert sizes["stem.conv"] == (16, 32, 32)
    assert sizes["layer1.first.conv"] == (16, 16, 16)
    assert sizes["layer8.second.conv"] == (64, 16, 16)
    assert sizes["layer9.second.conv"] == (64, 8, 8)


def test_unknown_depths_of_resnet_are_refused() -> None:
    with pytest.raises(NasError, match="layers is 34; known: 18, 20, 50"):
        downsampling((3, 32, 32), 10, layers=34)


def test_the_table_of_36_is_in_the_order_of_the_space(data_folder: Path) -> None:
    with (data_folder / "pooling36.csv").open() as file:
        table = {int(row["architecture"]): float(row["baseline_avg"]) for row in csv.DictReader(file)}
    space = downsampling((3, 32, 32), 10)
    architectures = list(space.enumerate())
    assert list(table) == list(range(1, len(architectures) + 1))
    accuracy = {architecture: table[number] for number, architecture in enumerate(architectures, start=1)}
    published = {
        (1, 1, 8): 87.447,
        (4, 3, 3): 90.52,
        (4, 2, 4): 90.34,
        (5, 3, 2): 91.55,
        (7, 1, 2): 92.01,
    }
    assert {lengths: accuracy[from_lengths(lengths)] for lengths in published} == pytest.approx(published, abs=0.005)
    assert max(accuracy, key=accuracy.__getitem__) == from_lengths((7, 1, 2))
    assert min(accuracy, key=accuracy.__getitem__) == from_lengths((1, 1, 8))
    assert len({space.build(architecture).fingerprint for architecture in architectures}) == 36
