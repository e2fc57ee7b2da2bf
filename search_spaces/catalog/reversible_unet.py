"""A U-Net of reversible MBConv stages, for maps and volumes: depth and width under a limit on training memory."""

from collections.abc import Sequence

from search_spaces.blocks.reversible import conv_group_norm_act, coupled, mbconv_branch
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace

DEFAULT_WIDTHS = ((8, 16, 24), (16, 32, 48), (32, 64, 96))


def reversible_unet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    widths: Sequence[Sequence[int]] = DEFAULT_WIDTHS,
    depths: Sequence[int] = (1, 2, 3, 4),
    decoder_depths: Sequence[int] = (1, 2),
    kernels: Sequence[int] = (3, 5),
    expands: Sequence[int] = (2, 4),
    reversible: Sequence[bool] = (False, True),
    norm_groups: int = 4,
    act: str = "relu",
) -> SearchSpace:
    """Levels of halved resolution and back, over inputs of shape (channels, *spatial), answering for every position.

    Varied: width per level, depth per stage (one stage a level down, one a level up), kernel and expansion of its
    MBConv branches, and, for all stages together, whether training computes their activations again (`reversible`).
    Two convolutions make the halves of each stage. `widths` has one entry per level; widths are multiples of twice
    `norm_groups`, and spatial sizes divide by two at every level but the first. After Pendse et al. (2021).
    """
    levels = len(widths)
    halvings = 2 ** (levels - 1)
    if levels < 2 or any(size % halvings for size in input_shape[1:]) or len(input_shape) < 2:
        raise SpaceError(
            f"reversible_unet: {levels} levels of widths over inputs {tuple(input_shape)}; at least 2 levels are "
            f"needed, and spatial sizes that {halvings} divides"
        )
    for options in widths:
        for width in options:
            if width % (2 * norm_groups):
                raise SpaceError(
                    f"reversible_unet: width {width} is no multiple of {2 * norm_groups}, twice norm_groups; take "
                    f"{width // (2 * norm_groups) * 2 * norm_groups or 2 * norm_groups}"
                )

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        recompute = pick("reversible", tuple(reversible))

        def stage(x: Tensor, name: str, width: int, options: Sequence[int], *, stride: int = 1) -> Tensor:
            depth, kernel = pick(f"{name}.depth", tuple(options)), pick(f"{name}.kernel", tuple(kernels))
            expand = pick(f"{name}.expand", tuple(expands))

            def branch(net: NetworkBuilder, x: Tensor, name: str) -> Tensor:
                return mbconv_branch(net, x, kernel=kernel, expand=expand, norm_groups=norm_groups, act=act, name=name)

            size = 1 if stride == 1 else 3
            with net.scope(name):
                left, right = (
                    conv_group_norm_act(
                        net, x, width // 2, kernel=size, stride=stride, norm_groups=norm_groups, act=act, name=half
                    )
                    for half in ("left", "right")
                )
                a, b = coupled(net, left, right, branch, depth=depth, recompute=recompute, name="stack")
                return net.concat(a, b)

        chosen = [pick(f"level{i}.width", tuple(options)) for i, options in enumerate(widths)]
        x = net.input(*input_shape)
        x = conv_group_norm_act(net, x, chosen[0], norm_groups=norm_groups, act=act, name="stem")
        skips = []
        for i, width in enumerate(chosen):
            x = stage(x, f"down{i}", width, depths, stride=1 if i == 0 else 2)
            skips.append(x)
        for i in reversed(range(levels - 1)):
            x = net.resize(x, skips[i].spatial, name=f"resize{i}")
            x = net.concat(x, skips[i], name=f"join{i}")
            x = stage(x, f"up{i}", chosen[i], decoder_depths)
        return net.conv(x, classes, kernel=1, bias=True, name="classes")

    return SearchSpace(space, name="reversible_unet")
