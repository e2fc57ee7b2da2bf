"""Published networks and tables that the catalogue must reproduce."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from predictors.counts import count_network
from search_spaces import Architecture, SearchSpace, Value
from search_spaces.catalog import CATALOG, mobilenet_v1, mobilenet_v2, nas_bench_macro, resnet, resnext_groups
from search_spaces.catalog.nas_bench_macro import from_code

IMAGE = (3, 224, 224)


@pytest.mark.parametrize(
    ("space", "picks", "params_m", "macs_m"),
    [
        (mobilenet_v1(IMAGE, 1000), {}, 4.2320, 568.740),
        (mobilenet_v1(IMAGE, 1000, group_sizes=(2,)), {}, 4.2766, 586.13),
        (mobilenet_v1(IMAGE, 1000, group_sizes=(4,)), {}, 4.3659, 620.90),
        (mobilenet_v1(IMAGE, 1000, group_sizes=(8,)), {}, 4.5445, 690.44),
        (mobilenet_v1(IMAGE, 1000, group_sizes=(32,)), {}, 5.6158, 1107.71),
        (mobilenet_v1(IMAGE, 1000, group_counts=(32,)), {}, 4.9721, 685.02),
        (mobilenet_v1(IMAGE, 1000, group_counts=(8,)), {}, 7.3265, 1086.03),
        (mobilenet_v2(IMAGE, 1000), {}, 3.5049, 300.77),
        (resnet(IMAGE, 1000, layers=18), {}, 11.6895, 1814.07),
        (resnet(IMAGE, 1000, layers=34), {}, 21.7977, 3663.76),
        (resnet(IMAGE, 1000, layers=50), {}, 25.557, 4089.18),
        (resnext_groups(IMAGE, 1000), {"rule": "count", "group_count": 32}, 25.029, 4230.48),
        (resnext_groups(IMAGE, 1000), {"rule": "size", "group_size": 4}, 23.886, 4098.62),
        (resnext_groups(IMAGE, 1000), {"rule": "size", "group_size": 8}, 24.158, 4197.97),
        (resnext_groups(IMAGE, 1000), {"rule": "size", "group_size": 16}, 24.702, 4396.66),
        (resnext_groups(IMAGE, 1000), {"rule": "size", "group_size": 32}, 25.789, 4794.06),
    ],
)
def test_published_counts(space: SearchSpace, picks: dict[str, Value], params_m: float, macs_m: float) -> None:
    total = count_network(space.build(space.repair(picks))).total
    assert total["params"] / 1e6 == pytest.approx(params_m, rel=1e-4)
    assert total["macs"] / 1e6 == pytest.approx(macs_m, rel=1e-4)


def test_constant_group_size_moves_less_than_constant_group_count_at_matched_macs() -> None:
    def moved(space: SearchSpace) -> float:
        return count_network(space.build(space.repair({}))).total["moved_elements"] / 1e6

    assert moved(mobilenet_v1(IMAGE, 1000, group_sizes=(8,))) == pytest.approx(14.709, abs=2e-3)
    assert moved(mobilenet_v1(IMAGE, 1000, group_counts=(32,))) == pytest.approx(15.137, abs=2e-3)


def test_nas_bench_macro_matches_its_table_exactly() -> None:
    data = os.environ.get("NAS_DATA")
    if data is None:
        pytest.skip("NAS_DATA is unset: the published table is not here")
    table = json.loads((Path(data) / "nas-bench-macro_cifar10.json").read_text())
    space = nas_bench_macro((3, 32, 32), 10)
    fingerprints = set()
    for code, row in table.items():
        network = space.build(from_code(code))
        total = count_network(network).total
        assert (total["params"], total["macs"]) == (row["params"], row["flops"]), code
        fingerprints.add(network.fingerprint)
    assert len(table) == 6561
    assert len(fingerprints) == 3969


def test_nas_bench_macro_twins_share_a_fingerprint_but_not_an_id() -> None:
    space = nas_bench_macro((3, 32, 32), 10)
    first, second = space.build(from_code("01101000")), space.build(from_code("01110000"))
    assert first.fingerprint == second.fingerprint
    assert first.id != second.id


@pytest.mark.parametrize("name", CATALOG)
def test_every_catalogue_space_builds_for_small_images(name: str) -> None:
    build: Callable[..., SearchSpace] = CATALOG[name]
    space = build((1, 32, 32), 7)
    architecture = space.repair({})
    network = space.build(architecture)
    assert network.nodes[network.outputs[0][1]].shape == (7,)
    assert space.build(Architecture.from_json(architecture.to_json())).id == network.id
