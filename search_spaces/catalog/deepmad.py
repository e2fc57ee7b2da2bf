"""The bottleneck networks of DeepMAD: few stages of many equal blocks, everything picked per stage.

Source: Shen et al., DeepMAD, CVPR 2023; the bounds on widths are those of the authors' `space_k1kxk1`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.blocks import bottleneck, classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder, Pick, Tensor, Value
from search_spaces.errors import SpaceError
from search_spaces.space import Architecture, SearchSpace


@dataclass(frozen=True)
class BottleneckStages:
    """A 3x3 stem with stride 2, stages of equal bottleneck blocks (one stride each), and a classifier.

    Per stage an output width, a bottleneck width, a kernel and a number of blocks are picked. The bottleneck is at
    most as wide as the output and at least a `most_squeeze`-th of it; the output is at most `most_growth` times as
    wide as the input, and no narrower when the widths are `growing`.
    """

    input_shape: tuple[int, ...] = (3, 224, 224)
    classes: int = 1000
    strides: tuple[int, ...] = (2, 2, 2, 1, 2)
    stem_widths: tuple[int, ...] = tuple(range(8, 33, 8))
    widths: tuple[int, ...] = tuple(range(32, 2049, 32))
    bottlenecks: tuple[int, ...] = tuple(range(8, 257, 8))
    kernels: tuple[int, ...] = (3, 5)
    depths: tuple[int, ...] = tuple(range(1, 25))
    most_squeeze: float = 10.0
    most_growth: float = 4.0
    growing: bool = False

    def __post_init__(self) -> None:
        for name in ("stem_widths", "widths", "bottlenecks", "kernels", "depths"):
            options = getattr(self, name)
            if not options or list(options) != sorted(set(options)) or options[0] < 1:
                raise SpaceError(f"deepmad: {name} must be whole numbers from 1 in rising order, got {options}")
        if not self.strides or min(self.strides) < 1:
            raise SpaceError(f"deepmad: strides must hold one stride of at least 1 per stage, got {self.strides}")

    def follows(self, before: int, width: int) -> bool:
        """Whether a stage of output `width` may follow `before` channels."""
        return width <= self.most_growth * before and not (self.growing and width < before)

    def squeezes(self, bottleneck_width: int, width: int) -> bool:
        """Whether blocks of output `width` may have this bottleneck."""
        return bottleneck_width <= width <= self.most_squeeze * bottleneck_width

    def space(self) -> SearchSpace:
        """The stages as a search space."""

        def deepmad(net: NetworkBuilder, pick: Pick) -> Tensor:
            x = net.input(*self.input_shape)
            x = conv_norm_act(net, x, pick("stem.width", self.stem_widths), stride=2, name="stem")
            for i, stride in enumerate(self.strides):
                x = self._stage(net, x, i, stride)
            return classifier(net, x, self.classes)

        return SearchSpace(deepmad, name="deepmad")

    def _stage(self, net: NetworkBuilder, x: Tensor, number: int, stride: int) -> Tensor:
        with net.scope(f"stage{number}") as stage:
            widths = [width for width in self.widths if self.follows(x.channels, width)]
            net.require(bool(widths), f"stage{number}: no width may follow {x.channels} channels")
            width = stage.pick("width", widths)
            narrow = [size for size in self.bottlenecks if self.squeezes(size, width)]
            net.require(bool(narrow), f"stage{number}: no bottleneck fits {width} channels")
            size = stage.pick("bottleneck", narrow)
            kernel = stage.pick("kernel", self.kernels)
            for j in range(stage.pick("depth", self.depths)):
                first = stride if j == 0 else 1
                x = bottleneck(net, x, width, width=size, kernel=kernel, stride=first, name=f"block{j}")
        return x

    def architecture(self, stem: int, stages: Sequence[tuple[int, int, int, int]]) -> Architecture:
        """The architecture with this stem width and (width, bottleneck, kernel, depth) per stage."""
        picks: list[tuple[str, Value]] = [("stem.width", stem)]
        for i, stage in enumerate(stages):
            names = ("width", "bottleneck", "kernel", "depth")
            picks += [(f"stage{i}.{name}", value) for name, value in zip(names, stage, strict=True)]
        return Architecture(tuple(picks))


def deepmad(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    strides: Sequence[int] | None = None,
    stem_widths: Sequence[int] = (16, 32),
    widths: Sequence[int] = (64, 96, 128, 192, 256, 384, 512),
    bottlenecks: Sequence[int] = (16, 24, 32, 48, 64, 96, 128),
    kernels: Sequence[int] = (3, 5),
    depths: Sequence[int] = (1, 2, 4, 6, 8),
    growing: bool = False,
) -> SearchSpace:
    """DeepMAD's bottleneck stages; inputs below 64 pixels get three stages, larger ones the published five."""
    chosen = ((2, 2, 2, 1, 2) if min(input_shape[1:]) >= 64 else (1, 2, 2)) if strides is None else tuple(strides)
    stages = BottleneckStages(
        tuple(input_shape),
        classes,
        chosen,
        stem_widths=tuple(stem_widths),
        widths=tuple(widths),
        bottlenecks=tuple(bottlenecks),
        kernels=tuple(kernels),
        depths=tuple(depths),
        growing=growing,
    )
    return stages.space()
