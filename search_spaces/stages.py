"""The declarative form: stage-wise networks written as data, sugar over a space function."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from search_spaces import blocks
from search_spaces.blocks import classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder, OpenScope, Pick, Tensor, Value
from search_spaces.errors import SpaceError, unknown_name
from search_spaces.space import SearchSpace

Option = Value | Sequence[Value]
BLOCKS: dict[str, Callable[..., Tensor]] = {
    "basic_residual": blocks.basic_residual,
    "bottleneck": blocks.bottleneck,
    "conv_norm_act": blocks.conv_norm_act,
    "inception_next": blocks.inception_next,
    "large_kernel": blocks.large_kernel,
    "mbconv": blocks.mbconv,
    "multi_dilated": blocks.multi_dilated,
    "omni_scale": blocks.omni_scale,
    "one_shot_aggregation": blocks.one_shot_aggregation,
    "universal_large_kernel": blocks.universal_large_kernel,
}


@dataclass(frozen=True, slots=True)
class Stage:
    """A row of equal blocks; only the first one has the stride.

    `block` is a name of `BLOCKS`. `width` and `depth` (number of blocks, 0 allowed) are single values or options,
    picked per stage; so are the block's own parameters in `arguments`, picked per block unless named in
    `per_stage`. A single value is fixed, a sequence is a choice.
    """

    block: str
    width: Option
    depth: Option = 1
    stride: int = 1
    arguments: Mapping[str, Option] = field(default_factory=dict)
    per_stage: Sequence[str] = ()

    @classmethod
    def from_table(cls, table: Mapping[str, Any]) -> "Stage":
        """Stage from one `[[space.stages]]` table; keys beyond the stage's own are block parameters."""
        own = {key: table[key] for key in ("block", "width", "depth", "stride", "per_stage") if key in table}
        missing = {"block", "width"} - own.keys()
        if missing:
            raise SpaceError(f"a stage needs {' and '.join(sorted(missing))}; got {', '.join(table)}")
        rest = {key: value for key, value in table.items() if key not in own}
        return cls(**own, arguments=rest)


def _options(option: Option) -> tuple[Value, ...] | None:
    return tuple(option) if isinstance(option, (list, tuple)) else None


def _pick_or_fixed(scope: OpenScope, name: str, option: Option) -> Any:
    options = _options(option)
    return option if options is None else scope.pick(name, options)


def _grouped_layers(stage: Stage, x: Tensor, width: int, chosen: Mapping[str, Any]) -> list[tuple[int, int]]:
    """(input, output) channels of the convolutions that the group size of this block applies to."""
    if stage.block == "mbconv":
        hidden = x.channels * int(chosen.get("expand", 6))
        return [(hidden, hidden)]
    if stage.block == "bottleneck":
        return [(width // 4, width // 4)]
    if stage.block == "large_kernel":
        return [(width, width)]
    if stage.block == "multi_dilated":
        return [(x.channels, width // len(chosen.get("dilations", (1, 2, 3, 5))))]
    second = [(width, width)] if stage.block == "basic_residual" else []
    return [(x.channels, width), *second]


def _narrowed(
    name: str, options: tuple[Value, ...], stage: Stage, x: Tensor, width: int, chosen: Mapping[str, Any]
) -> tuple[Value, ...]:
    """The options that fit here: group sizes that divide, dilations whose outermost taps still meet the map."""
    if name == "group_size":
        layers = _grouped_layers(stage, x, width, chosen)
        return tuple(g for g in options if all(i % int(g) == 0 and o % (i // int(g)) == 0 for i, o in layers))
    if name == "dilation":
        reach = int(chosen.get("kernel", 3)) // 2
        return tuple(d for d in options if int(d) * reach < min(x.spatial)) or options[:1]
    return options


def _arguments(
    net: NetworkBuilder, here: OpenScope, outer: OpenScope, stage: Stage, x: Tensor, width: int
) -> dict[str, Any]:
    """Pick the block's parameters; those whose options depend on others come last."""
    chosen: dict[str, Any] = {}
    for name in sorted(stage.arguments, key=lambda name: ("group_size", "dilation").count(name)):
        options = _options(stage.arguments[name])
        asked = outer if name in stage.per_stage else here
        if options is None:
            chosen[name] = stage.arguments[name]
        else:
            fitting = _narrowed(name, options, stage, x, width, chosen)
            net.require(
                bool(fitting),
                f"{here.path}: none of the {name} options {options} fits {x.channels} -> {width} channels",
            )
            chosen[name] = asked.pick(name, fitting)
    return chosen


@cache
def _parameters(block: str) -> frozenset[str]:
    return frozenset(inspect.signature(BLOCKS[block]).parameters)


def _transition(net: NetworkBuilder, x: Tensor, stage: Stage, width: int, stride: int) -> Tensor:
    """The convolution in front of a block that cannot change width or stride itself, where one is needed."""
    parameters = _parameters(stage.block)
    widens = "out_channels" not in parameters and x.channels != width
    if "stride" in parameters or not (stride != 1 or widens):
        return x
    return conv_norm_act(net, x, width, stride=stride, act=None, name="transition")


def _apply(net: NetworkBuilder, x: Tensor, stage: Stage, width: int, stride: int, chosen: Mapping[str, Any]) -> Tensor:
    function, parameters = BLOCKS[stage.block], _parameters(stage.block)
    if "stride" in parameters:
        return function(net, x, width, stride=stride, **chosen)
    return function(net, x, width, **chosen) if "out_channels" in parameters else function(net, x, **chosen)


def _check(stages: Sequence[Stage]) -> None:
    if not stages:
        raise SpaceError("a stage-wise space needs at least one stage")
    for i, stage in enumerate(stages):
        if stage.block not in BLOCKS:
            raise SpaceError(f"stage {i}: {unknown_name('block', stage.block, BLOCKS)}")
        known = _parameters(stage.block) - {"net", "x", "out_channels", "stride", "name"}
        for name in stage.arguments:
            if name not in known:
                raise SpaceError(f"stage {i}: {unknown_name(f'parameter of {stage.block}', name, known)}")
        for name in stage.per_stage:
            if name not in stage.arguments:
                raise SpaceError(f"stage {i}: {unknown_name('per_stage entry', name, stage.arguments)}")


def stagewise(
    input_shape: tuple[int, ...],
    classes: int,
    *,
    stages: Sequence[Stage],
    resolutions: Sequence[int] | None = None,
    stem_width: Option = 16,
    stem_stride: int = 1,
    head_width: Option = 0,
    dropout: float = 0.0,
    act: str = "relu",
    name: str = "stagewise",
) -> SearchSpace:
    """Stem, stages, optional 1x1 head, classifier, over inputs of shape (channels, height, width).

    Stem and head may have several widths too, to be picked; a head of width 0 is left out. Choices are called
    `resolution`, `stem.width`, `head.width`, `stage<i>.width`, `stage<i>.depth` and `stage<i>.block<j>.<parameter>`.
    """
    _check(stages)
    channels, size = input_shape[0], input_shape[1]
    sizes = tuple(resolutions) if resolutions is not None else (size,)

    def space(net: NetworkBuilder, pick: Pick) -> Tensor:
        side = pick("resolution", sizes)
        x = net.input(channels, side, side)
        stem = _pick_or_fixed(OpenScope("stem", pick), "width", stem_width)
        x = conv_norm_act(net, x, stem, stride=stem_stride, act=act, name="stem")
        for i, stage in enumerate(stages):
            outer = OpenScope(f"stage{i}", pick)
            width = _pick_or_fixed(outer, "width", stage.width)
            depth = _pick_or_fixed(outer, "depth", stage.depth)
            for j in range(depth):
                stride = stage.stride if j == 0 else 1
                with net.scope(f"stage{i}.block{j}") as here:
                    x = _transition(net, x, stage, width, stride)
                    chosen = _arguments(net, here, outer, stage, x, width)
                    x = _apply(net, x, stage, width, stride, chosen)
        head = _pick_or_fixed(OpenScope("head", pick), "width", head_width)
        if head:
            x = conv_norm_act(net, x, head, kernel=1, act=act, name="head")
        return classifier(net, x, classes, dropout=dropout)

    return SearchSpace(space, name=name)
