"""MACMD's decoder: published counts, what its convolution sees, and spaces over any encoder."""

import numpy as np
import pytest

from predictors.counts import count_network
from predictors.tables import CostTables, compile_for_costs
from search_spaces import NetworkBuilder, SpaceError
from search_spaces.blocks.attention_decoder import hybrid_dilated, macmd_decoder
from search_spaces.catalog import macmd, unet
from search_spaces.errors import NasError, ShapeError
from search_spaces.network import Network

SMALL = {
    "resolutions": (32,),
    "stem_width": 16,
    "stem_stride": 2,
    "widths": ((16,), (16, 32), (32,), (48,)),
    "depths": ((1,), (1, 2), (1,), (1,)),
    "strides": (1, 2, 2, 2),
    "kernels": (3,),
    "expands": (2,),
    "group_sizes": (1,),
    "dilations": (1,),
    "sparsities": (0.0,),
}


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def decoder(channels: tuple[int, ...], size: int) -> Network:
    net = builder()
    x = net.input(3, size, size)
    with net.scope("maps"):
        maps = [net.conv(net.resize(x, size // 2**i), width, kernel=1) for i, width in enumerate(channels)]
    fine, first, second = macmd_decoder(net, maps)
    return net.finish({"output": fine, "first": first, "second": second})


@pytest.mark.parametrize(
    ("channels", "params", "macs"), [((64, 128, 320, 512), 9.7509e6, 2060.8e6), ((32, 64, 160, 256), 2.4767e6, 534.0e6)]
)
def test_decoder_counts_are_the_published_ones(channels: tuple[int, ...], params: float, macs: float) -> None:
    network = decoder(channels, 56)
    rows = [row for row in count_network(network).operators if row.name.startswith("decoder.")]
    up = [row for row in rows if row.name.startswith("decoder.pooled.up")]
    first, second, third, fourth = channels
    never_run = 2 * (fourth + 2 * third + 2 * second + 2 * first)
    total = sum(row.counts.params for row in rows) - sum(row.counts.params for row in up) + never_run
    assert total == pytest.approx(params, abs=60)
    assert sum(row.counts.params for row in up) == 3 * (9 * first + first + 2 * first + first * first + first)
    counted = sum(row.counts.macs for row in rows) - sum(row.counts.macs for row in up)
    assert counted == pytest.approx(macs, rel=0.01)
    shapes = {name: network.nodes[index].shape for name, index in network.outputs}
    assert shapes == {"output": (32, 112, 112), "first": (first, 56, 56), "second": (second, 28, 28)}


def test_hybrid_dilated_has_the_weights_of_one_dense_convolution() -> None:
    net = builder()
    network = net.finish(hybrid_dilated(net, net.input(8, 9, 9), 8))
    total = count_network(network).total
    assert total["params"] == 608
    assert total["macs"] == 8 * 8 * 9 * 81
    net = builder()
    x = net.input(6, 9, 9)
    with pytest.raises(ShapeError, match="4 dilations do not divide 6 and 8 channels"):
        hybrid_dilated(net, x, 8)


def test_any_classification_space_is_an_encoder() -> None:
    rng = np.random.default_rng(0)
    space = macmd((3, 32, 32), 4, encoder_options=SMALL)
    names = set()
    for _ in range(20):
        network = space.build(space.sample(rng))
        outputs = dict(network.outputs)
        assert network.nodes[outputs["output"]].shape == (4, 32, 32)
        assert network.training_only == {"side1", "side2"}
        assert not any(node.name.startswith("encoder.classifier") for node in network.nodes)
        names |= {choice.name for choice in space.trace(lambda _name, options: options[0]).choices}
    assert {"stage1.width", "gate3.dilations", "up0.kernel", "last.width"} <= names
    with pytest.raises(NasError, match="unknown encoder 'mobil'"):
        macmd((3, 32, 32), 4, encoder="mobil")
    flat = macmd((3, 32, 32), 4, encoder_options={**SMALL, "strides": (1, 1, 2, 2)})
    with pytest.raises(SpaceError, match=r"gives maps of .*; a decoder needs 4"):
        flat.repair({})


def test_tables_count_what_networks_count() -> None:
    tables = CostTables(compile_for_costs(macmd((1, 32, 32), 2, encoder_options=SMALL, kernels=(3, 5))))
    assert tables.names


def test_the_plain_unet_answers_everywhere() -> None:
    space = unet((1, 16, 24), 3, widths=((4, 8), (8,), (16,)))
    for architecture in space.enumerate():
        network = space.build(architecture)
        assert network.nodes[network.outputs[0][1]].shape == (3, 16, 24)
    with pytest.raises(SpaceError, match="8 does not divide inputs"):
        unet((1, 12, 12), 2)
