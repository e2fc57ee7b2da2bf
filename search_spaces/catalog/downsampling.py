"""Where a residual network halves its maps: the positions of its strides (Javan et al. 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.blocks import basic_residual, bottleneck, classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder, OpenScope, Pick, Tensor
from search_spaces.errors import NasError
from search_spaces.space import Architecture, SearchSpace


@dataclass(frozen=True, slots=True)
class _Form:
    """A residual network: block, width of the stem, width and number of blocks per published stage."""

    block: str
    stem: int
    stages: tuple[tuple[int, int], ...]

    @property
    def widths(self) -> tuple[int, ...]:
        """Width of every block in order."""
        return tuple(width for width, blocks in self.stages for _ in range(blocks))


FORMS = {
    18: _Form("basic", 64, ((64, 2), (128, 2), (256, 2), (512, 2))),
    20: _Form("basic", 16, ((16, 3), (32, 3), (64, 3))),
    50: _Form("bottleneck", 64, ((64, 3), (128, 4), (256, 6), (512, 3))),
}


def downsampling(input_shape: tuple[int, ...], classes: int, *, layers: int = 20) -> SearchSpace:
    """ResNet-20, -18 or -50 for small images, as 10, 9 or 17 layers (the stem and each block) cut into stages.

    Picked is the number of layers of every stage but the last, so that enumeration is in the order of the published
    table: 36, 56 and 560 networks. The first layer of a stage, but for the first, has stride 2. A layer's width does
    not move with the strides. The balanced mixture of supernets (Javan, Toews, Pedersoli 2023) was made for this space.
    """
    if layers not in FORMS:
        raise NasError(f"downsampling: layers is {layers}; known: {', '.join(map(str, FORMS))}")
    form = FORMS[layers]
    channels, *spatial = input_shape

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        strided = _starts(pick, layers=1 + len(form.widths), stages=len(form.stages))
        x = net.input(channels, *spatial)
        x = conv_norm_act(net, x, form.stem, name="stem")
        for layer, width in enumerate(form.widths, start=1):
            stride = 2 if layer in strided else 1
            if form.block == "basic":
                x = basic_residual(net, x, width, stride=stride, name=f"layer{layer}")
            else:
                x = bottleneck(net, x, 4 * width, width=width, stride=stride, name=f"layer{layer}")
        return classifier(net, x, classes)

    return SearchSpace(space, name=f"downsampling{layers}")


def _starts(pick: Pick, *, layers: int, stages: int) -> set[int]:
    """First layer of every stage but the first, the layers counted from 0."""
    found: set[int] = set()
    start = 0
    for stage in range(stages - 1):
        most = layers - start - (stages - 1 - stage)
        start += OpenScope(f"stage{stage}", pick).pick("layers", tuple(range(1, most + 1)))
        found.add(start)
    return found


def from_lengths(lengths: Sequence[int]) -> Architecture:
    """The architecture whose stages have these numbers of layers, such as (4, 3, 3) for ResNet-20 itself."""
    return Architecture(tuple((f"stage{i}.layers", length) for i, length in enumerate(lengths[:-1])))
