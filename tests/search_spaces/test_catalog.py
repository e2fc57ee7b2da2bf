"""Published networks and tables that the catalogue must reproduce."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from predictors.counts import count_network
from search_spaces import Architecture, SearchSpace, Value
from search_spaces.catalog import (
    CATALOG,
    convnext,
    efficientnet,
    inceptionnext,
    mobilenet_v1,
    mobilenet_v2,
    nas_bench_macro,
    osnet,
    osnet_ain,
    resnet,
    resnext_groups,
    unireplknet,
    vovnet,
)
from search_spaces.catalog.nas_bench_macro import from_code
from search_spaces.catalog.osnet import AIN, IBN, placement_picks
from search_spaces.errors import NasError
from search_spaces.operators import Conv

IMAGE, PERSON = (3, 224, 224), (3, 256, 128)
IDENTITIES = 751


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
        (resnet(IMAGE, 1000, layers=50, attentions=(True,)), {}, 25.55711, 4089.24),
        (efficientnet(IMAGE, 1000), {}, 5.2885, 385.8),
        (convnext(IMAGE, 1000), {}, 28.589, 4455.5),
        (inceptionnext(IMAGE, 1000), {}, 28.0557, 4188.6),
        (inceptionnext(IMAGE, 1000, variant="base"), {}, 86.6721, 14841.1),
        (inceptionnext(IMAGE, 1000, variant="atto"), {}, 4.1565, 503.0),
        (vovnet(IMAGE, 1000), {}, 22.600, 7072.2),
        (vovnet(IMAGE, 1000, layers=57), {}, 36.640, 8930.1),
        (unireplknet(IMAGE, 1000), {}, 4.6491, 674.68),
        (unireplknet(IMAGE, 1000).used_form(), {}, 4.4373, 639.84),
        (unireplknet(IMAGE, 1000, variant="P").used_form(), {}, 10.7417, 1573.06),
        (unireplknet(IMAGE, 1000, variant="N").used_form(), {}, 18.3186, 2766.50),
        (unireplknet(IMAGE, 1000, variant="T").used_form(), {}, 31.0380, 4898.99),
        (unireplknet(IMAGE, 1000, variant="S").used_form(), {}, 55.6460, 9093.99),
        (osnet(PERSON, IDENTITIES), {}, 2.1695, 978.875),
        (osnet(PERSON, IDENTITIES, width_multipliers=(0.75,)), {}, 1.2858, 571.752),
        (osnet(PERSON, IDENTITIES, width_multipliers=(0.25,)), {}, 0.20186, 82.315),
        (osnet(PERSON, IDENTITIES, instance_norms=("none", "after")), placement_picks(IBN), 2.1705, 978.875),
        (osnet_ain(PERSON, IDENTITIES), placement_picks(AIN), 2.1695, 978.875),
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


def test_channel_gates_add_eighty_parameters_to_resnet_50() -> None:
    plain, gated = (resnet(IMAGE, 1000, layers=50, attentions=(on,)) for on in (False, True))
    counts = [count_network(space.build(space.repair({}))).total["params"] for space in (plain, gated)]
    assert counts[1] - counts[0] == 80


def test_activations_of_osnet() -> None:
    space = osnet(PERSON, IDENTITIES)
    assert count_network(space.build(space.repair({}))).total["activations"] == pytest.approx(11.931e6, rel=1e-4)


def test_osnet_ain_has_every_placement_once() -> None:
    assert osnet_ain(PERSON, IDENTITIES).size().value == 4096


def test_constant_group_size_moves_less_than_constant_group_count_at_matched_macs() -> None:
    def moved(space: SearchSpace) -> float:
        return count_network(space.build(space.repair({}))).total["moved_elements"] / 1e6

    assert moved(mobilenet_v1(IMAGE, 1000, group_sizes=(8,))) == pytest.approx(14.709, abs=2e-3)
    assert moved(mobilenet_v1(IMAGE, 1000, group_counts=(32,))) == pytest.approx(15.137, abs=2e-3)


@pytest.mark.parametrize("build", [mobilenet_v1, resnext_groups])
def test_group_sizes_may_differ_by_network_stage_or_layer(build: Callable[..., SearchSpace]) -> None:
    options: dict[str, object] = {"constant": "size"} if build is resnext_groups else {}
    found = {}
    for per in ("network", "stage", "layer"):
        trace = build(IMAGE, 1000, group_sizes=(4, 8), per=per, **options).trace(lambda _name, options: options[-1])
        found[per] = [choice.name for choice in trace.choices if choice.name.endswith("group_size")]
        assert trace.network is not None
        sizes = {node.op.group_size for node in trace.network.nodes if isinstance(node.op, Conv)}
        assert 8 in sizes
    assert found["network"] == ["group_size"]
    stages, layers = (5, 13) if build is mobilenet_v1 else (4, 16)
    assert (len(found["stage"]), len(found["layer"])) == (stages, layers)


def test_only_group_sizes_that_divide_are_offered() -> None:
    space = mobilenet_v1(IMAGE, 1000, width_multipliers=(0.25,), group_sizes=(1, 8, 16, 64), per="layer")
    offered = {choice.name: choice.options for choice in space.trace(lambda _name, options: options[0]).choices}
    assert offered["stage0.layer0.group_size"] == (1, 8)
    assert offered["stage4.layer12.group_size"] == (1, 8, 16, 64)
    none = mobilenet_v1(IMAGE, 1000, width_multipliers=(0.25,), group_sizes=(3,), per="layer")
    with pytest.raises(NasError, match=r"none of the group_size options \(3,\) divides \[8\] channels"):
        none.repair({})


def test_a_place_of_picks_that_is_none_is_refused() -> None:
    with pytest.raises(NasError, match="per is 'block'; known: network, stage, layer"):
        mobilenet_v1(IMAGE, 1000, per="block")  # type: ignore[arg-type]


def test_mobilenet_keeps_small_images_large_enough() -> None:
    small = mobilenet_v1((3, 32, 32), 10, strides_kept_out=2, resolutions=(24, 32), fewer_layers=(0, 3))
    for picks, side, layers in (({}, 3, 13), ({"resolution": 32, "fewer_layers": 3}, 4, 10)):
        network = small.build(small.repair(picks))
        ends = {node.name: node.shape for node in network.nodes if node.name.endswith("pointwise.conv")}
        assert ends["layer12.pointwise.conv"] == (1024, side, side)
        assert len(ends) == layers


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
    assert network.nodes[dict(network.outputs).get("identity", network.outputs[0][1])].shape[0] == 7
    assert space.build(Architecture.from_json(architecture.to_json())).id == network.id
