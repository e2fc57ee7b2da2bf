"""Merged networks against the networks that they were merged from."""

from collections.abc import Callable

import numpy as np
import pytest
import torch

from nas.merging import merged_weights
from nas.modules import execute
from nas.runtimes.onnx_graph import random_weights
from predictors.counts import count_network
from predictors.tables import CostTables
from search_spaces.blocks import classifier, conv_norm_act, dilated_reparam, universal_large_kernel
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog import CATALOG, unireplknet
from search_spaces.merging import merged
from search_spaces.network import Network
from search_spaces.operators import Conv, ResponseNorm
from search_spaces.space import SearchSpace


def gap(network: Network, *, seed: int = 0) -> float:
    """Largest difference of the merged network from the other in float32, relative to the largest output."""
    drawn = random_weights(network, np.random.default_rng(seed))
    weights = {path: {name: torch.from_numpy(value) for name, value in of.items()} for path, of in drawn.items()}
    x = torch.randn(2, *network.input.shape, generator=torch.Generator().manual_seed(seed))
    used = merged(network)
    assert used.folds
    with torch.no_grad():
        wanted = execute(network, weights, x)
        found = execute(used.network, merged_weights(used, weights), x)
    return max(float((found[name] - value).abs().max() / value.abs().max()) for name, value in wanted.items())


def built(body: Callable[[NetworkBuilder, Tensor], Tensor], *, channels: int = 8, side: int = 15) -> Network:
    net = NetworkBuilder(lambda _name, options: options[0])
    return net.finish(body(net, net.conv(net.input(3, side, side), channels, name="first")))


@pytest.mark.parametrize("kernel", [5, 7, 9, 11, 13, 15, 17])
def test_dilated_branches_are_one_kernel(kernel: int) -> None:
    network = built(lambda net, x: dilated_reparam(net, x, kernel=kernel))
    used = merged(network).network
    assert [type(node.op).__name__ for node in used.nodes] == ["Input", "Conv", "Conv"]
    op = used.nodes[-1].op
    assert isinstance(op, Conv)
    assert (op.kernel, op.dilation, op.bias) == ((kernel, kernel), (1, 1), True)
    assert gap(network) <= 1e-5


def test_unireplknet_answers_as_in_training() -> None:
    space = unireplknet((3, 64, 64), 10)
    assert gap(space.build(space.repair({}))) <= 1e-5


def test_what_follows_is_folded_and_a_response_norm_loses_its_bias() -> None:
    network = built(lambda net, x: universal_large_kernel(net, x, kernel=7, scale_init=0.5))
    used = merged(network).network
    kinds = [type(node.op).__name__ for node in used.nodes]
    assert "BatchNorm" not in kinds
    assert "Scale" not in kinds
    assert [node.op.bias for node in used.nodes if isinstance(node.op, ResponseNorm)] == [False]
    assert gap(network) <= 1e-5


def test_what_something_else_reads_stays() -> None:
    def body(net: NetworkBuilder, x: Tensor) -> Tensor:
        y = dilated_reparam(net, x, kernel=7)
        z = net.conv(y, 8, kernel=1)
        normed = net.batch_norm(z, name="behind")
        return net.add(normed, z, net.scale(y, init=0.5))

    network = built(body)
    assert gap(network) <= 1e-5
    names = {node.name for node in merged(network).network.nodes}
    assert {"behind", "scale"} <= names


@pytest.mark.parametrize("change", ["source", "groups", "taps"])
def test_sums_that_are_no_convolution_stay(change: str) -> None:
    def body(net: NetworkBuilder, x: Tensor) -> Tensor:
        if change == "taps":
            even = net.conv(x, 8, kernel=4, padding=1, group_size=1, name="even")
            return net.add(even, net.conv(x, 8, kernel=2, padding=0, group_size=1, name="smaller"))
        first = conv_norm_act(net, x, 8, group_size=1, act=None, name="one")
        other = net.activation(x, "relu") if change == "source" else x
        group_size = 2 if change == "groups" else 1
        return net.add(first, conv_norm_act(net, other, 8, group_size=group_size, act=None, name="two"))

    network = built(body, side=16)
    assert merged(network).network is network


def test_shared_weights_stay_shared() -> None:
    def body(net: NetworkBuilder, x: Tensor) -> Tensor:
        y = dilated_reparam(net, x, kernel=7)
        y = net.conv(y, 8, name="twice")
        y = net.batch_norm(net.conv(y, 8, name="again", weights="twice"))
        return net.add(y, x)

    network = built(body)
    used = merged(network).network
    assert {node.weights_path for node in used.nodes if node.name in ("twice", "again")} == {"twice"}
    assert gap(network) <= 1e-5


@pytest.mark.parametrize("name", sorted(CATALOG.keys() - {"unireplknet"}))
def test_other_catalogue_networks_stay_as_they_are(name: str) -> None:
    space = CATALOG[name]((3, 32, 32), 10)
    network = space.build(space.repair({}))
    assert merged(network).network is network


def test_costs_are_those_of_the_merged_network(rng: np.random.Generator) -> None:
    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = conv_norm_act(net, net.input(3, 12, 12), pick("width", (4, 8)), name="stem")
        for i in range(pick("depth", (1, 2))):
            x = universal_large_kernel(net, x, kernel=pick(f"kernel{i}", (3, 5, 7, 9)), expand=2, name=f"block{i}")
        return classifier(net, x, 3)

    found = SearchSpace(space)
    tables = CostTables(found.compile())
    rows = tables.compiled.sample(rng, 20)
    scores = tables.score(rows)
    for i, row in enumerate(rows):
        network = found.build(found.compile().decode(row))
        total = count_network(merged(network).network).total
        assert {name: scores[name][i] for name in total} == total


def test_exports_are_merged(tmp_path_factory: pytest.TempPathFactory) -> None:
    from nas.export.folder import export_network, read_about

    space = unireplknet((3, 32, 32), 4, width_multipliers=(0.2,), fewer_blocks=(1,), kernels=(7,))
    architecture = space.repair({})
    network = space.build(architecture)
    drawn = random_weights(network, np.random.default_rng(0))
    weights = {path: {name: torch.from_numpy(value) for name, value in of.items()} for path, of in drawn.items()}
    folder = tmp_path_factory.mktemp("exports") / "one"
    report = export_network(
        network,
        weights,
        folder,
        architecture=architecture,
        figures={},
        provenance={},
        normalisation=None,
        formats=("pytorch",),
        reference=lambda x: execute(network, weights, x),
    )
    assert report.equality["merged"] <= 1e-5
    assert report.equality["merged reference"] <= 1e-4
    assert read_about(folder)["id"] == network.id
    text = (folder / "model.py").read_text()
    assert "dilation" not in text
    assert "BatchNorm" not in text
