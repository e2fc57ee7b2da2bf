"""ConvNeXt and InceptionNeXt: four stages of large-kernel blocks on patches."""

from collections.abc import Sequence

from search_spaces.blocks import inception_next, large_kernel
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import unknown_name
from search_spaces.space import SearchSpace

DEPTHS, WIDTHS = (3, 3, 9, 3), (96, 192, 384, 768)
INCEPTION_VARIANTS = {
    "atto": ((2, 2, 6, 2), (40, 80, 160, 320), 9, 0.25),
    "tiny": (DEPTHS, WIDTHS, 11, 0.125),
    "small": ((3, 3, 27, 3), WIDTHS, 11, 0.125),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024), 11, 0.125),
}
"""Depths, widths, length of the bands and share of each branch."""
EXPANDS = (4, 4, 4, 3)


def _patches(net: NetworkBuilder, x: Tensor, width: int, *, side: int) -> Tensor:
    """Patches of `side` x `side` pixels, `width` channels each."""
    return net.conv(x, width, kernel=side, stride=side, padding=0, bias=True, name="patches")


def _patch_side(spatial: Sequence[int]) -> int:
    return 4 if min(spatial) >= 64 else 2


def convnext(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width_multipliers: Sequence[float] = (1.0,),
    fewer_blocks: Sequence[int] = (0,),
    kernels: Sequence[int] = (7,),
    group_sizes: Sequence[int] = (1,),
    expands: Sequence[int] = (4,),
) -> SearchSpace:
    """ConvNeXt-T (Liu et al. 2022); width and blocks left out are picked per stage, the others per block.

    Inputs below 64 pixels are cut into patches of 2 pixels instead of 4.
    """
    channels, *spatial = input_shape

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(channels, *spatial)
        for i, (base, depth) in enumerate(zip(WIDTHS, DEPTHS, strict=True)):
            with net.scope(f"stage{i}") as stage:
                width = round(base * stage.pick("width_multiplier", tuple(width_multipliers)))
                fewer = stage.pick("fewer_blocks", tuple(n for n in fewer_blocks if n < depth))
                if i == 0:
                    x = net.layer_norm(_patches(net, x, width, side=_patch_side(spatial)))
                else:
                    x = _patches(net, net.layer_norm(x), width, side=2)
                for j in range(depth - fewer):
                    with net.scope(f"block{j}") as here:
                        x = large_kernel(
                            net,
                            x,
                            kernel=here.pick("kernel", tuple(kernels)),
                            group_size=here.pick("group_size", tuple(group_sizes)),
                            expand=here.pick("expand", tuple(expands)),
                        )
        return net.linear(net.layer_norm(net.flatten(net.global_pool(x))), classes)

    return SearchSpace(space, name="convnext")


def inceptionnext(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    variant: str = "tiny",
    width_multipliers: Sequence[float] = (1.0,),
    fewer_blocks: Sequence[int] = (0,),
    bands: Sequence[int] = (),
    branch_ratios: Sequence[float] = (),
) -> SearchSpace:
    """InceptionNeXt atto, tiny, small or base (Yu et al. 2024).

    Width and blocks left out are picked per stage, length of the bands and share of each branch per block; `bands` and
    `branch_ratios` stand in for the published ones. Inputs below 64 pixels are cut into patches of 2 pixels.
    """
    if variant not in INCEPTION_VARIANTS:
        raise unknown_name("variant of inceptionnext", variant, INCEPTION_VARIANTS)
    depths, widths, band, ratio = INCEPTION_VARIANTS[variant]
    channels, *spatial = input_shape

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(channels, *spatial)
        for i, (base, depth, expand) in enumerate(zip(widths, depths, EXPANDS, strict=True)):
            with net.scope(f"stage{i}") as stage:
                width = round(base * stage.pick("width_multiplier", tuple(width_multipliers)))
                fewer = stage.pick("fewer_blocks", tuple(n for n in fewer_blocks if n < depth))
                if i == 0:
                    x = net.batch_norm(_patches(net, x, width, side=_patch_side(spatial)))
                else:
                    x = _patches(net, net.batch_norm(x), width, side=2)
                for j in range(depth - fewer):
                    with net.scope(f"block{j}") as here:
                        x = inception_next(
                            net,
                            x,
                            band=here.pick("band", tuple(bands) or (band,)),
                            branch_ratio=here.pick("branch_ratio", tuple(branch_ratios) or (ratio,)),
                            expand=expand,
                        )
        x = net.flatten(net.global_pool(x))
        x = net.activation(net.linear(x, 3 * x.channels, name="hidden"), "gelu")
        return net.linear(net.layer_norm(x), classes)

    return SearchSpace(space, name=f"inceptionnext_{variant}")
