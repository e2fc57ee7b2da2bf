"""The mobile space: inverted residuals in which all seven dimensions vary."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.blocks import classifier, conv_norm_act, mbconv
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import SpaceError
from search_spaces.space import SearchSpace
from search_spaces.sparsity import Sparsity


@dataclass(frozen=True, slots=True)
class MobileStage:
    """Options of one stage; the stride belongs to its first block."""

    widths: Sequence[int]
    depths: Sequence[int]
    stride: int


def default_stages(size: int) -> tuple[MobileStage, ...]:
    """Stages for square inputs of `size` pixels: halved while at least four pixels remain."""
    strides = [1, 2, 2] if size < 64 else [2, 2, 2]
    if size < 16:
        strides = [1, 2, 1]
    if size >= 64:
        strides.append(2)
    widths = ((16, 24, 32), (24, 32, 48), (48, 64, 96), (96, 128, 160))
    return tuple(
        MobileStage(widths[i], (1, 2, 3), stride) for i, stride in enumerate(strides)
    )


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
    channels, size = input_shape[0], input_shape[1]
    sizes = tuple(resolutions) if resolutions is not None else default_resolutions(size)
    stages = _stages(size, widths, depths, strides)
    first_stride = stem_stride if stem_stride is not None else (2 if size >= 64 else 1)

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        side = pick("resolution", sizes)
        x = net.input(channels, side, side)
        x = conv_norm_act(net, x, stem_width, stride=first_stride, act=act, name="stem")
        for i, stage in enumerate(stages):
            width = pick(f"stage{i}.width", stage.widths)
            for j in range(pick(f"stage{i}.depth", stage.depths)):
                with net.scope(f"stage{i}.block{j}") as here:
                    kernel = here.pick("kernel", kernels)
                    expand = here.pick("expand", expands)
                    hidden = x.channels * expand
                    reach = kernel // 2
                    x = mbconv(
                        net,
                        x,
                        width,
                        kernel=kernel,
                        stride=stage.stride if j == 0 else 1,
                        expand=expand,
                        group_size=here.pick(
                            "group_size", [g for g in group_sizes if hidden % g == 0] or [1]
                        ),
                        dilation=here.pick(
                            "dilation", [d for d in dilations if d * reach < min(x.spatial)] or [1]
                        ),
                        sparsity=here.pick("sparsity", sparsities),
                        act=act,
                        se_ratio=se_ratio,
                    )
        if head_width:
            x = conv_norm_act(net, x, head_width, kernel=1, act=act, name="head")
        return classifier(net, x, classes, dropout=dropout)

    return SearchSpace(space, name="mobile")


def _stages(
    size: int,
    widths: Sequence[Sequence[int]] | None,
    depths: Sequence[Sequence[int]] | None,
    strides: Sequence[int] | None,
) -> tuple[MobileStage, ...]:
    default = default_stages(size)
    if widths is None and depths is None and strides is None:
        return default
    count = len(next(given for given in (widths, depths, strides) if given is not None))
    widths = widths if widths is not None else [stage.widths for stage in default]
    depths = depths if depths is not None else [(1, 2, 3)] * count
    strides = strides if strides is not None else [stage.stride for stage in default]
    if not len(widths) == len(depths) == len(strides):
        raise SpaceError(
            "mobile: widths, depths and strides need one entry per stage, got "
            f"{len(widths)}, {len(depths)} and {len(strides)}"
        )
    return tuple(MobileStage(*stage) for stage in zip(widths, depths, strides, strict=True))
