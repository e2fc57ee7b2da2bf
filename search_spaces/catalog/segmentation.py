"""Segmentation networks: MACMD's multi-dilated attention decoder, and a plain U-Net, over any classification space."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from search_spaces.blocks.attention_decoder import macmd_decoder
from search_spaces.blocks.basic import conv_norm_act
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.errors import SpaceError, unknown_name
from search_spaces.features import features
from search_spaces.space import SearchSpace

DILATION_SETS = ("1,1,1,1", "1,2,3,4", "1,2,3,5")
LEVELS = 4


def _encoder(name: str, input_shape: tuple[int, ...], options: Mapping[str, Any] | None) -> SearchSpace:
    from search_spaces.catalog import CATALOG

    if options is None:
        options = _mobile_options(input_shape[1]) if name == "mobile" else {}

    if name not in CATALOG:
        raise unknown_name("encoder", name, CATALOG)
    return CATALOG[name](input_shape, 2, **options)


def _mobile_options(size: int) -> dict[str, Any]:
    """A mobile encoder of four halvings from the stem on, five for images of 64 pixels and more."""
    widths = ((16, 24), (24, 32), (32, 48, 64), (64, 96))
    strides = (2 if size >= 64 else 1, 2, 2, 2)
    return {"resolutions": (size,), "stem_stride": 2, "widths": widths, "strides": strides}


def _maps(net: NetworkBuilder, encoder: SearchSpace, pick: Pick) -> list[Tensor]:
    """The four coarsest maps of the encoder, the largest first, each half as large as the one before."""
    maps = features(net, encoder, pick)[-LEVELS:]
    halved = all(tuple(2 * n for n in small.spatial) == large.spatial for large, small in pairwise(maps))
    if len(maps) < LEVELS or not halved:
        sizes = ", ".join("×".join(map(str, x.spatial)) for x in maps)
        raise SpaceError(
            f"encoder {encoder.name!r} gives maps of {sizes}; a decoder needs {LEVELS}, each half the one before"
        )
    return maps


def _answers(net: NetworkBuilder, x: Tensor, classes: int, size: tuple[int, ...], *, name: str) -> Tensor:
    return net.resize(net.conv(x, classes, kernel=1, bias=True, name=name), size, name=f"{name}_resized")


def macmd(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    encoder: str = "mobile",
    encoder_options: Mapping[str, Any] | None = None,
    dilation_sets: Sequence[str] = DILATION_SETS,
    kernels: Sequence[int] = (3, 5, 9),
    last_widths: Sequence[int] = (16, 32),
    deep_supervision: bool = True,
) -> SearchSpace:
    """MACMD's decoder over the four coarsest maps of an encoder, for images of shape (channels, height, width).

    Varied: what the encoder's space varies, the dilations of the gates of each map ("1,2,3,5"), the depthwise kernel of
    each upward block and the width of the last map. `encoder` is a name of the catalogue, `encoder_options` its
    arguments (unset: those that suit a mobile encoder); its four coarsest maps halve each other, and their widths are
    multiples of 4. With deep supervision, two coarser maps answer too while training.
    """
    space = _encoder(encoder, input_shape, encoder_options)

    def function(net: NetworkBuilder, pick: Pick) -> Mapping[str, Tensor]:
        maps = _maps(net, space, pick)
        sets = [pick(f"gate{i}.dilations", tuple(dilation_sets)) for i in range(LEVELS)]
        chosen = [pick(f"up{i}.kernel", tuple(kernels)) for i in reversed(range(LEVELS))]
        last = pick("last.width", tuple(last_widths))
        fine, first, second = macmd_decoder(
            net,
            maps,
            dilations=[tuple(map(int, text.split(","))) for text in sets],
            kernels=chosen,
            last_width=last,
        )
        size = tuple(input_shape[1:])
        answers = {"output": _answers(net, fine, classes, size, name="classes")}
        if deep_supervision:
            for name, x in (("side1", first), ("side2", second)):
                answers[name] = net.conv(x, classes, kernel=1, bias=True, name=name)
        return answers

    sides = ("side1", "side2") if deep_supervision else ()
    return SearchSpace(function, name="macmd", training_only=sides)


def unet(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    widths: Sequence[Sequence[int]] = ((8, 16, 24, 32), (16, 32, 48), (32, 64, 96), (64, 128)),
    depths: Sequence[int] = (1, 2),
    act: str = "relu",
) -> SearchSpace:
    """The plain U-Net (Ronneberger et al. 2015) over inputs of shape (channels, *spatial).

    Varied: width per level and number of 3x3 convolutions per stage. Max pooling goes down, linear resizing up.
    """
    levels = len(widths)
    if any(size % 2 ** (levels - 1) for size in input_shape[1:]):
        raise SpaceError(
            f"unet: {2 ** (levels - 1)} does not divide inputs {tuple(input_shape)}, as {levels} levels ask"
        )

    def function(net: NetworkBuilder, pick: Pick) -> Tensor:
        chosen = [pick(f"level{i}.width", tuple(options)) for i, options in enumerate(widths)]
        counts = [pick(f"level{i}.depth", tuple(depths)) for i in range(levels)]

        def stage(x: Tensor, i: int, name: str) -> Tensor:
            with net.scope(name):
                for j in range(counts[i]):
                    x = conv_norm_act(net, x, chosen[i], act=act, name=f"conv{j}")
            return x

        x = net.input(*input_shape)
        skips = []
        for i in range(levels):
            x = stage(x if i == 0 else net.pool(x, "max", kernel=2), i, f"down{i}")
            skips.append(x)
        for i in reversed(range(levels - 1)):
            x = net.concat(net.resize(x, skips[i].spatial), skips[i], name=f"join{i}")
            x = stage(x, i, f"up{i}")
        return net.conv(x, classes, kernel=1, bias=True, name="classes")

    return SearchSpace(function, name="unet")
