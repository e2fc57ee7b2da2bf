"""VoVNet: stages of one-shot aggregation."""

from collections.abc import Sequence
from dataclasses import dataclass

from search_spaces.blocks import classifier, conv_norm_act, one_shot_aggregation
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import NasError
from search_spaces.space import SearchSpace


@dataclass(frozen=True, slots=True)
class _Variant:
    """Blocks per stage, convolutions per block, their widths and the stages' outputs."""

    blocks: tuple[int, ...]
    layers: int
    widths: tuple[int, ...] = (128, 160, 192, 224)
    outputs: tuple[int, ...] = (256, 512, 768, 1024)


VARIANTS = {
    27: _Variant((1, 1, 1, 1), 5, (64, 80, 96, 112), (128, 256, 384, 512)),
    39: _Variant((1, 1, 2, 2), 5),
    57: _Variant((1, 1, 4, 3), 5),
}


def vovnet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    layers: int = 39,
    width_multipliers: Sequence[float] = (1.0,),
    block_layers: Sequence[int] = (),
    kernels: Sequence[int] = (3,),
) -> SearchSpace:
    """VoVNet-27, 39 or 57 (Lee et al. 2019); width, convolutions per block and kernel are picked per stage.

    `block_layers` stand in for the published number of convolutions per block. Inputs below 64 pixels are not made
    smaller by the stem.
    """
    if layers not in VARIANTS:
        raise NasError(f"vovnet: layers is {layers}; known: {', '.join(map(str, VARIANTS))}")
    variant = VARIANTS[layers]
    channels, *spatial = input_shape
    step = 2 if min(spatial) >= 64 else 1

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        x = net.input(channels, *spatial)
        for i, (width, stride) in enumerate(((64, step), (64, 1), (128, step))):
            x = conv_norm_act(net, x, width, stride=stride, name=f"stem{i}")
        for i, (blocks, base, out) in enumerate(zip(variant.blocks, variant.widths, variant.outputs, strict=True)):
            with net.scope(f"stage{i}") as stage:
                multiplier = stage.pick("width_multiplier", tuple(width_multipliers))
                count = stage.pick("layers", tuple(block_layers) or (variant.layers,))
                kernel = stage.pick("kernel", tuple(kernels))
                if i > 0:
                    x = net.pool(x, "max", kernel=3, stride=2, ceil=True)
                for j in range(blocks):
                    x = one_shot_aggregation(
                        net,
                        x,
                        round(out * multiplier),
                        layer_width=round(base * multiplier),
                        layers=count,
                        kernel=kernel,
                        name=f"block{j}",
                    )
        return classifier(net, x, classes)

    return SearchSpace(space, name=f"vovnet{layers}")
