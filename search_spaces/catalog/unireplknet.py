"""UniRepLKNet in its training form, whose branches merge into one large kernel when it is used."""

from collections.abc import Sequence

from search_spaces.blocks import universal_large_kernel
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import unknown_name
from search_spaces.space import SearchSpace

VARIANTS = {
    "A": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "F": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "P": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "N": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "T": ((3, 3, 18, 3), (80, 160, 320, 640)),
    "S": ((3, 3, 27, 3), (96, 192, 384, 768)),
}
"""Depths and widths."""
LARGE, SMALL = 13, 3
PERIODS = {"T": 2, "S": 3}
"""Of the third stage's blocks every so manieth has the large kernel; all in the other variants."""


def _published_kernel(variant: str, stage: int, block: int) -> int:
    large = stage > 0 and (stage != 2 or block % PERIODS.get(variant, 1) == 0)
    return LARGE if large else SMALL


def unireplknet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    variant: str = "A",
    width_multipliers: Sequence[float] = (1.0,),
    fewer_blocks: Sequence[int] = (0,),
    kernels: Sequence[int] = (),
) -> SearchSpace:
    """UniRepLKNet A, F, P, N, T or S (Ding et al. 2024); kernels are picked per block where the large ones stand.

    `kernels` stand in for the published 13; width and blocks left out are picked per stage. Inputs below 64 pixels
    keep their size in the stem.
    """
    if variant not in VARIANTS:
        raise unknown_name("variant of unireplknet", variant, VARIANTS)
    depths, widths = VARIANTS[variant]
    channels, *spatial = input_shape
    step = 2 if min(spatial) >= 64 else 1

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(channels, *spatial)
        for i, (base, depth) in enumerate(zip(widths, depths, strict=True)):
            with net.scope(f"stage{i}") as stage:
                width = round(base * stage.pick("width_multiplier", tuple(width_multipliers)))
                fewer = stage.pick("fewer_blocks", tuple(n for n in fewer_blocks if n < depth))
                if i == 0:
                    x = net.conv(x, width // 2, stride=step, bias=True, name="halved")
                    x = net.activation(net.layer_norm(x), "gelu")
                x = net.conv(x, width, stride=step if i == 0 else 2, bias=True, name="down")
                x = net.layer_norm(x, name="down_norm")
                for j in range(depth - fewer):
                    with net.scope(f"block{j}") as here:
                        kernel = _published_kernel(variant, i, j)
                        if kernel == LARGE:
                            kernel = here.pick("kernel", tuple(kernels) or (LARGE,))
                        x = universal_large_kernel(net, x, kernel=kernel)
        return net.linear(net.layer_norm(net.flatten(net.global_pool(x))), classes)

    return SearchSpace(space, name=f"unireplknet_{variant.lower()}")
