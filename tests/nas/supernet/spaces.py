"""Small spaces, each about one dimension of elastic weights, and one about all of them."""

from collections.abc import Callable

import search_spaces as ss
from search_spaces.blocks import classifier, conv_norm_act, large_kernel, multi_dilated, squeeze_excite
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog import mobile, resnext_groups


def width(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = net.input(3, 6, 6)
    for i in range(3):
        x = conv_norm_act(net, x, pick(f"width{i}", (3, 5, 8)), name=f"layer{i}")
    return classifier(net, x, 4)


def kernel(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = net.input(2, 8, 8)
    x = conv_norm_act(net, x, 4, kernel=pick("first", (1, 3, 7)), name="first")
    x = conv_norm_act(net, x, 4, kernel=pick("second", (3, 5)), dilation=pick("dilation", (1, 2)), name="second")
    return classifier(net, x, 3)


def nested_groups(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = conv_norm_act(net, net.input(3, 6, 6), pick("width", (8, 12, 20, 24)), name="stem")
    sizes = [size for size in (1, 2, 4, 8) if x.channels % size == 0]
    x = conv_norm_act(net, x, x.channels, group_size=pick("size", sizes), name="same")
    x = conv_norm_act(net, x, x.channels * 3, group_size=pick("size", sizes), name="wider")
    x = conv_norm_act(net, x, x.channels // 2, group_size=pick("even", (2, 4)), name="narrower")
    return classifier(net, x, 3)


def other_groups(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = conv_norm_act(net, net.input(3, 6, 6), pick("width", (12, 24)), name="stem")
    x = conv_norm_act(net, x, x.channels, group_size=pick("size", (4, 6)), name="not_nesting")
    x = conv_norm_act(net, x, pick("out", (12, 24)), group_size=pick("ratio", (2, 4)), name="ratio_varies")
    dense = x.channels if pick("dense", (False, True)) else 3
    x = conv_norm_act(net, x, x.channels, group_size=dense, name="dense_or_grouped")
    return classifier(net, x, 3)


def joined(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = conv_norm_act(net, net.input(3, 6, 6), pick("stem", (4, 6)), name="stem")
    x = multi_dilated(net, x, pick("width", (4, 8, 12)), dilations=(1, 2), name="always_two")
    left = conv_norm_act(net, x, pick("left", (2, 4)), name="left")
    right = conv_norm_act(net, x, pick("right", (2, 6)), name="right")
    x = net.batch_norm(net.concat(left, right), name="segments")
    x = conv_norm_act(net, x, x.channels, group_size=pick("size", (1, 2)), name="grouped")
    return classifier(net, net.layer_norm(x), 3)


def optional_branches(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = conv_norm_act(net, net.input(3, 6, 6), 4, name="stem")
    dilations = [d for d in (1, 2, 3) if pick(f"use{d}", (True, False))]
    net.require(len(dilations) > 0, "at least one branch")
    branches = [conv_norm_act(net, x, pick("share", (2, 4)), dilation=d, name=f"dilation{d}") for d in dilations]
    y = net.concat(*branches) if len(branches) > 1 else branches[0]
    return classifier(net, conv_norm_act(net, y, 5, kernel=1, name="mix"), 3)


def sparsity(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = conv_norm_act(net, net.input(4, 6, 6), pick("width", (4, 8)), sparsity=pick("first", (0.0, 0.5)), name="a")
    x = conv_norm_act(net, x, 8, kernel=1, sparsity=pick("second", (0.0, 0.75, "2:4")), name="b")
    return classifier(net, x, 3)


def depth_and_kinds(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = conv_norm_act(net, net.input(3, 6, 6), pick("stem", (4, 6)), name="stem")
    for i in range(pick("depth", (0, 1, 2))):
        with net.scope(f"block{i}") as here:
            x = net.conv(x, here.pick("width", (4, 8)), name="conv", bias=here.pick("bias", (False, True)))
            norm = net.layer_norm if here.pick("norm", ("batch", "layer")) == "layer" else net.batch_norm
            x = net.scale(net.activation(norm(x, name="norm"), "relu"), init=0.5)
    x = squeeze_excite(net, large_kernel(net, x, kernel=pick("kernel", (3, 5)), expand=2), hidden=2)
    return classifier(net, x, 3)


def everything(net: NetworkBuilder, pick: Pick) -> Tensor:
    small = mobile(
        (3, 8, 8),
        3,
        resolutions=(6, 8),
        stem_width=4,
        widths=((4, 6), (6, 8)),
        depths=((1, 2), (0, 1, 2)),
        strides=(1, 2),
        kernels=(1, 3, 5),
        expands=(1, 2, 3),
        group_sizes=(1, 2, 4),
        dilations=(1, 2),
        sparsities=(0.0, 0.5, "2:4"),
        se_ratio=0.5,
    )
    outputs = small.function(net, pick)
    assert isinstance(outputs, Tensor)
    return outputs


FUNCTIONS: tuple[Callable[[NetworkBuilder, Pick], Tensor], ...] = (
    width,
    kernel,
    nested_groups,
    other_groups,
    joined,
    optional_branches,
    sparsity,
    depth_and_kinds,
    everything,
)
SPACES = {function.__name__: ss.SearchSpace(function) for function in FUNCTIONS} | {
    "resnext": resnext_groups((3, 8, 8), 4, group_sizes=(4, 8), group_counts=(4, 8), depths=(1, 1), widths=(16, 32))
}
