"""The mobile space: inverted residuals in which all seven dimensions vary."""

from collections.abc import Mapping, Sequence

from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace
from search_spaces.sparsity import Sparsity
from search_spaces.stages import Option, Stage, stagewise

DEFAULT_WIDTHS = ((16, 24, 32), (24, 32, 48), (48, 64, 96), (96, 128, 160))


def default_strides(size: int) -> tuple[int, ...]:
    """Strides of the stages for square inputs of `size` pixels: a last map of at least four pixels."""
    if size < 16:
        return (1, 2, 1)
    return (1, 2, 2) if size < 64 else (2, 2, 2, 2)


def default_resolutions(size: int) -> tuple[int, ...]:
    """Three quarters, seven eighths and all of `size`."""
    return tuple(sorted({size * 3 // 4, size * 7 // 8, size}))


def mobile(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    resolutions: Sequence[int] | None = None,
    stem_width: int = 16,
    stem_stride: int | None = None,
    widths: Sequence[Sequence[int]] | None = None,
    depths: Sequence[Sequence[int]] | None = None,
    strides: Sequence[int] | None = None,
    kernels: Sequence[int] = (3, 5, 7),
    expands: Sequence[int] = (2, 3, 4, 6),
    group_sizes: Sequence[int] = (1, 2, 4, 8),
    dilations: Sequence[int] = (1, 2),
    sparsities: Sequence[Sparsity] = (0.0, 0.5, 0.75),
    head_width: int = 0,
    se_ratio: float = 0.0,
    dropout: float = 0.0,
    act: str = "relu",
) -> SearchSpace:
    """Stages of inverted residual blocks over inputs of shape (channels, height, width).

    Varied: input resolution; width and depth per stage; kernel, expansion, group size, dilation and sparsity of
    the 1x1 convolutions per block. `widths`, `depths` and `strides` have one entry per stage; a depth of 0 skips
    the stage. A dilation is offered where the outermost taps still meet the map; a group size where it divides.
    """
    size = input_shape[1]
    strides = default_strides(size) if strides is None else strides
    widths = DEFAULT_WIDTHS[: len(strides)] if widths is None else widths
    depths = [(1, 2, 3)] * len(strides) if depths is None else depths
    if not len(widths) == len(depths) == len(strides):
        raise SpaceError(
            "mobile: widths, depths and strides need one entry per stage, got "
            f"{len(widths)}, {len(depths)} and {len(strides)}"
        )
    arguments: Mapping[str, Option] = {
        "kernel": tuple(kernels),
        "expand": tuple(expands),
        "sparsity": tuple(sparsities),
        "group_size": tuple(group_sizes),
        "dilation": tuple(dilations),
        "act": act,
        "se_ratio": se_ratio,
    }
    return stagewise(
        input_shape,
        classes,
        stages=[
            Stage("mbconv", tuple(width), tuple(depth), stride, arguments)
            for width, depth, stride in zip(widths, depths, strides, strict=True)
        ],
        resolutions=default_resolutions(size) if resolutions is None else resolutions,
        stem_width=stem_width,
        stem_stride=stem_stride if stem_stride is not None else (2 if size >= 64 else 1),
        head_width=head_width,
        dropout=dropout,
        act=act,
        name="mobile",
    )
