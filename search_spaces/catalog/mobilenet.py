"""MobileNet V1 and V2 as spaces around the published networks."""

from collections.abc import Sequence

from search_spaces.blocks import classifier, conv_norm_act, mbconv
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.catalog.grouping import Grouping, Per
from search_spaces.catalog.scaling import make_divisible
from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace

V1_LAYERS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *((512, 1),) * 5,
    (1024, 2),
    (1024, 1),
)
EQUAL_LAYERS = range(6, 11)
V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)


def mobilenet_v1(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width_multipliers: Sequence[float] = (1.0,),
    group_sizes: Sequence[int] = (1,),
    group_counts: Sequence[int] = (),
    per: Per = "network",
    kernels: Sequence[int] = (3,),
    resolutions: Sequence[int] = (),
    fewer_layers: Sequence[int] = (0,),
    strides_kept_out: int = 0,
) -> SearchSpace:
    """MobileNet-V1 (Howard et al. 2017) whose depthwise layers may be grouped convolutions.

    Give either `group_sizes` (channels per group) or `group_counts` (groups), picked once for the network, per stage of
    one resolution, or per layer; the first option of each is the published network by default. `fewer_layers` of the
    five equal ones are left out. `resolutions` stand in for the input's. `strides_kept_out` of the first strides are 1
    instead of 2, for small inputs.
    """
    channels, *spatial = input_shape
    grouping = Grouping.of("mobilenet_v1", group_sizes, group_counts, per)
    published = [2, *(stride for _, stride in V1_LAYERS)]
    kept_out = [i for i, stride in enumerate(published) if stride > 1][:strides_kept_out]
    stem, *strides = [1 if i in kept_out else stride for i, stride in enumerate(published)]
    paths = [f"stage{sum(s > 1 for s in strides[: i + 1])}.layer{i}" for i in range(len(V1_LAYERS))]

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        size = (pick("resolution", tuple(resolutions)),) * 2 if resolutions else spatial
        multiplier = pick("width_multiplier", tuple(width_multipliers))
        kernel = pick("kernel", tuple(kernels))
        fewer = pick("fewer_layers", tuple(fewer_layers))
        x = net.input(channels, *size)
        x = conv_norm_act(net, x, make_divisible(32 * multiplier), stride=stem, name="stem")
        widths = [make_divisible(width * multiplier) for width, _ in V1_LAYERS]
        reads = dict(zip(paths, [x.channels, *widths], strict=False))
        for i, (path, width, stride) in enumerate(zip(paths, widths, strides, strict=True)):
            if EQUAL_LAYERS.stop - fewer <= i < EQUAL_LAYERS.stop:
                continue
            group_size = grouping.group_size(net, pick, path, reads)
            with net.scope(path.partition(".")[2]):
                x = conv_norm_act(
                    net, x, x.channels, kernel=kernel, stride=stride, group_size=group_size, name="spatial"
                )
                x = conv_norm_act(net, x, width, kernel=1, name="pointwise")
        return classifier(net, x, classes)

    if group_counts and tuple(group_sizes) != (1,):
        raise SpaceError("mobilenet_v1: give group_sizes or group_counts, not both")
    if not 0 <= max(fewer_layers) <= len(EQUAL_LAYERS):
        raise SpaceError(f"mobilenet_v1: fewer_layers is {fewer_layers}; there are {len(EQUAL_LAYERS)} equal layers")
    return SearchSpace(space, name="mobilenet_v1")


def mobilenet_v2(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width_multipliers: Sequence[float] = (1.0,),
    kernels: Sequence[int] = (3,),
    group_sizes: Sequence[int] = (1,),
) -> SearchSpace:
    """MobileNet-V2 (Sandler et al. 2018); kernel and group size per stage, one width multiplier."""
    channels, *spatial = input_shape

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        multiplier = pick("width_multiplier", tuple(width_multipliers))
        x = net.input(channels, *spatial)
        x = conv_norm_act(net, x, make_divisible(32 * multiplier), stride=2, act="relu6", name="stem")
        for i, (expand, width, depth, stride) in enumerate(V2_STAGES):
            with net.scope(f"stage{i}") as stage:
                kernel = stage.pick("kernel", tuple(kernels))
                group_size = stage.pick("group_size", tuple(group_sizes))
                for j in range(depth):
                    x = mbconv(
                        net,
                        x,
                        make_divisible(width * multiplier),
                        kernel=kernel,
                        stride=stride if j == 0 else 1,
                        expand=expand,
                        group_size=group_size,
                        act="relu6",
                        name=f"block{j}",
                    )
        head = make_divisible(1280 * max(1.0, multiplier))
        x = conv_norm_act(net, x, head, kernel=1, act="relu6", name="head")
        return classifier(net, x, classes)

    return SearchSpace(space, name="mobilenet_v2")
