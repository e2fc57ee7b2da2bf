"""Blocks: what they see, what they share, what they are made of."""

import numpy as np
import pytest

from predictors.counts import count_network
from search_spaces import NetworkBuilder, Tensor
from search_spaces.blocks import inception_depthwise, omni_scale, one_shot_aggregation
from search_spaces.blocks.attention import eca_kernel
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import Conv, InstanceNorm


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def extent(network: Network, name: str) -> int:
    """How many input pixels along one axis the node `name` sees."""
    reach = [0] * len(network.nodes)
    for i, node in enumerate(network.nodes):
        own = (node.op.kernel[0] - 1) * node.op.dilation[0] // 2 if isinstance(node.op, Conv) else 0
        reach[i] = own + max((reach[j] for j in node.inputs), default=0)
    return 2 * reach[network.index[name]] + 1


def test_streams_see_three_five_seven_and_nine_pixels() -> None:
    net = builder()
    network = net.finish(omni_scale(net, net.input(16, 16, 16), 64))
    ends = [f"omni_scale.stream{t}.lite{t - 1}.act" for t in (1, 2, 3, 4)]
    assert [extent(network, name) for name in ends] == [3, 5, 7, 9]


def test_streams_share_one_gate() -> None:
    net = builder()
    network = net.finish(omni_scale(net, net.input(64, 16, 16), 64, gate_reduction=4))
    gates = [node for node in network.nodes if ".gate" in node.name and isinstance(node.op, Conv)]
    assert len(gates) == 8
    assert len({node.weights_path for node in gates}) == 2
    counts = count_network(network)
    rows = [row for row in counts.operators if ".gate" in row.name and row.counts.macs]
    assert sum(row.counts.macs for row in rows) == 4 * 2 * 16 * 4
    assert sum(row.counts.params for row in rows) == 2 * 16 * 4 + 4 + 16


@pytest.mark.parametrize(("place", "names"), [("none", []), ("inside", ["norm"]), ("after", ["norm_after"])])
def test_instance_norms_stand_where_asked(place: str, names: list[str]) -> None:
    net = builder()
    network = net.finish(omni_scale(net, net.input(16, 8, 8), 16, streams=1, instance_norm=place))  # type: ignore[arg-type]
    found = [node.name for node in network.nodes if isinstance(node.op, InstanceNorm)]
    assert found == [f"omni_scale.{name}" for name in names]


def test_an_unknown_place_is_named() -> None:
    net = builder()
    with pytest.raises(NasError, match="unknown instance_norm 'insid': did you mean 'inside'"):
        omni_scale(net, net.input(16, 8, 8), 16, instance_norm="insid")  # type: ignore[arg-type]


def test_kernels_along_channels_follow_the_nearest_odd_number() -> None:
    kernels = {channels: eca_kernel(channels) for channels in (64, 128, 256, 512, 1024, 2048)}
    assert kernels == {64: 3, 128: 5, 256: 5, 512: 5, 1024: 5, 2048: 5}
    for channels in range(2, 5000):
        wanted = np.log2(channels) / 2 + 0.5
        nearest = min(abs(wanted - odd) for odd in range(1, 15, 2))
        assert abs(eca_kernel(channels) - wanted) == pytest.approx(nearest)


@pytest.mark.parametrize("channels", [16, 24, 100])
def test_inception_branches_have_an_eighth_of_the_channels_each(channels: int) -> None:
    net = builder()
    network = net.finish(inception_depthwise(net, net.input(channels, 6, 6)))
    share = channels // 8
    assert network.nodes[-1].shape == (channels, 6, 6)
    assert count_network(network).total["macs"] == 31 * share * 36
    sizes = [size for _, size in network.nodes[-1].layout]
    assert sizes == [channels - 3 * share, share, share, share]


def test_one_shot_aggregation_joins_everything_once() -> None:
    net = builder()
    x: Tensor = net.input(8, 6, 6)
    network = net.finish(one_shot_aggregation(net, x, 8, layer_width=4, layers=3, residual=True))
    joined = [node for node in network.nodes if node.op.label == "concat"]
    assert [node.shape[0] for node in joined] == [8 + 3 * 4]
    assert network.nodes[-1].op.label == "add"
