"""The BigNAS space: EfficientNet-like stages whose widths, depths and kernels vary (Yu et al. 2020)."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.space import SearchSpace
from search_spaces.stages import Stage, stagewise


@dataclass(frozen=True, slots=True)
class _Row:
    """One stage of inverted residuals as published."""

    widths: tuple[int, ...]
    depths: tuple[int, ...]
    kernels: tuple[int, ...]
    expand: int
    stride: int


STEM_WIDTHS, HEAD_WIDTHS = (32, 40), (1280, 1408)
RESOLUTIONS = (192, 224, 288, 320)
ROWS = (
    _Row((16, 24), (1, 2), (3,), 1, 1),
    _Row((24, 32), (2, 3), (3,), 6, 2),
    _Row((40, 48), (2, 3), (3, 5), 6, 2),
    _Row((80, 88), (2, 3, 4), (3, 5), 6, 2),
    _Row((112, 120, 128), (2, 3, 4, 5, 6), (3, 5), 6, 1),
    _Row((192, 200, 208, 216), (2, 3, 4, 5, 6), (3, 5), 6, 2),
    _Row((320, 352), (1, 2), (3, 5), 6, 1),
)
SMALL = 64
"""Inputs below this many pixels keep their size in the stem and in the second stage."""


def bignas(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    resolutions: Sequence[int] | None = None,
    se_ratio: float = 0.25,
    dropout: float = 0.2,
    act: str = "silu",
) -> SearchSpace:
    """Widths, depths and kernels of seven stages, of stem and head, and the input resolution.

    One kernel per stage. `resolutions` are the published 192 to 320 for inputs of at least 192 pixels, else the
    input's own size. Source of the table: xfey/pytorch-BigNAS, after Yu et al., ECCV 2020.
    """
    size = input_shape[1]
    small = size < SMALL
    published = RESOLUTIONS if size >= RESOLUTIONS[0] else (size,)
    return stagewise(
        input_shape,
        classes,
        stages=[
            Stage(
                "mbconv",
                row.widths,
                row.depths,
                1 if small and i == 1 else row.stride,
                {
                    "kernel": row.kernels if len(row.kernels) > 1 else row.kernels[0],
                    "expand": row.expand,
                    "se_ratio": se_ratio,
                    "act": act,
                },
                per_stage=("kernel",),
            )
            for i, row in enumerate(ROWS)
        ],
        resolutions=published if resolutions is None else resolutions,
        stem_width=STEM_WIDTHS,
        stem_stride=1 if small else 2,
        head_width=HEAD_WIDTHS,
        dropout=dropout,
        act=act,
        name="bignas",
    )
