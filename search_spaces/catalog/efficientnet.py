"""EfficientNet as a space around the published B0."""

from collections.abc import Sequence

from search_spaces.catalog.bignas import SMALL
from search_spaces.catalog.scaling import make_divisible
from search_spaces.space import SearchSpace
from search_spaces.stages import Stage, stagewise

ROWS = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
"""Expansion, width, depth, stride and kernel of each stage of B0."""


def efficientnet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    width_multipliers: Sequence[float] = (1.0,),
    fewer_blocks: Sequence[int] = (0,),
    kernels: Sequence[int] = (),
    expands: Sequence[int] = (6,),
    se_ratio: float = 0.25,
    dropout: float = 0.2,
) -> SearchSpace:
    """EfficientNet-B0 (Tan and Le 2019); width and blocks left out are picked per stage, the others per block.

    `kernels` are offered everywhere in place of the published ones. Inputs below 64 pixels keep their size in the stem
    and in the second stage.
    """
    small = input_shape[1] < SMALL
    stages = [
        Stage(
            "mbconv",
            tuple(dict.fromkeys(make_divisible(width * multiplier) for multiplier in width_multipliers)),
            tuple(dict.fromkeys(max(1, depth - fewer) for fewer in fewer_blocks)),
            1 if small and i == 1 else stride,
            {
                "kernel": tuple(kernels) or kernel,
                "expand": tuple(expands) if expand > 1 else 1,
                "se_ratio": se_ratio,
                "act": "silu",
            },
        )
        for i, (expand, width, depth, stride, kernel) in enumerate(ROWS)
    ]
    return stagewise(
        input_shape,
        classes,
        stages=stages,
        stem_width=32,
        stem_stride=1 if small else 2,
        head_width=1280,
        dropout=dropout,
        act="silu",
        name="efficientnet",
    )
