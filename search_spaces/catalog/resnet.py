"""ResNet and ResNeXt as spaces around the published networks."""

from collections.abc import Sequence
from typing import Literal

from search_spaces.blocks import basic_residual, bottleneck, classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog.grouping import Grouping, Per
from search_spaces.errors import NasError, SpaceError
from search_spaces.space import SearchSpace

DEPTHS = {
    18: ("basic", (2, 2, 2, 2)),
    34: ("basic", (3, 4, 6, 3)),
    50: ("bottleneck", (3, 4, 6, 3)),
    101: ("bottleneck", (3, 4, 23, 3)),
}
STAGE_WIDTHS = (64, 128, 256, 512)


def _stem(net: NetworkBuilder, channels: int, spatial: Sequence[int]) -> Tensor:
    x = net.input(channels, *spatial)
    if min(spatial) < 64:
        return conv_norm_act(net, x, 64, name="stem")
    x = conv_norm_act(net, x, 64, kernel=7, stride=2, name="stem")
    return net.pool(x, "max", kernel=3, stride=2, padding=1)


def resnet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    layers: int = 50,
    width_multipliers: Sequence[float] = (1.0,),
    depth_reductions: Sequence[int] = (0,),
    kernels: Sequence[int] = (3,),
    attentions: Sequence[bool] = (False,),
) -> SearchSpace:
    """ResNet-18/34/50/101 (He et al. 2016); width, blocks left out and kernel are picked per stage.

    So is, of 50 and 101 layers, whether blocks end in a channel gate (ECA, Wang et al. 2020).

    Inputs below 64 pixels get a 3x3 stem without pooling.
    """
    if layers not in DEPTHS:
        raise NasError(f"resnet: layers is {layers}; known: {', '.join(map(str, DEPTHS))}")
    channels, *spatial = input_shape
    kind, depths = DEPTHS[layers]

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = _stem(net, channels, spatial)
        for i, (base, depth) in enumerate(zip(STAGE_WIDTHS, depths, strict=True)):
            with net.scope(f"stage{i}") as stage:
                width = round(base * stage.pick("width_multiplier", tuple(width_multipliers)))
                kernel = stage.pick("kernel", tuple(kernels))
                fewer = stage.pick("fewer_blocks", tuple(n for n in depth_reductions if n < depth))
                gated = kind == "bottleneck" and stage.pick("attention", tuple(attentions))
                for j in range(depth - fewer):
                    stride = 2 if i > 0 and j == 0 else 1
                    if kind == "basic":
                        x = basic_residual(net, x, width, kernel=kernel, stride=stride, name=f"block{j}")
                    else:
                        x = bottleneck(
                            net,
                            x,
                            4 * width,
                            width=width,
                            kernel=kernel,
                            stride=stride,
                            attention=gated,
                            name=f"block{j}",
                        )
        return classifier(net, x, classes)

    return SearchSpace(space, name=f"resnet{layers}")


def resnext_groups(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    constant: Literal["size", "count", "both"] = "both",
    group_sizes: Sequence[int] = (4, 8, 16, 32),
    group_counts: Sequence[int] = (8, 16, 32, 64),
    per: Per = "network",
    depths: Sequence[int] = (3, 4, 6, 3),
    widths: Sequence[int] = (128, 256, 512, 1024),
) -> SearchSpace:
    """ResNeXt-50 (Xie et al. 2017) whose 3x3 layers are given by their group size or by their group count.

    `constant` offers one of the two rules or both; the published 32x4d is `rule="count"`, 32 groups. Sizes or counts
    are picked once for the network, per stage or per layer.
    """
    channels, *spatial = input_shape
    rules = {"size": ("size",), "count": ("count",), "both": ("size", "count")}
    if constant not in rules:
        raise SpaceError(f"resnext_groups: constant is {constant!r}; known: size, count, both")
    groupings = {
        "size": Grouping.of("resnext_groups", group_sizes, (), per),
        "count": Grouping.of("resnext_groups", (), group_counts, per),
    }
    reads = {f"stage{i}.block{j}": widths[i] for i, depth in enumerate(depths) for j in range(depth)}

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        grouping = groupings[pick("rule", rules[constant])]
        x = _stem(net, channels, spatial)
        for i, (width, depth) in enumerate(zip(widths, depths, strict=True)):
            for j in range(depth):
                path = f"stage{i}.block{j}"
                x = bottleneck(
                    net,
                    x,
                    2 * width,
                    width=width,
                    stride=2 if i > 0 and j == 0 else 1,
                    group_size=grouping.group_size(net, pick, path, reads),
                    name=path,
                )
        return classifier(net, x, classes)

    return SearchSpace(space, name="resnext_groups")
