"""The source-text rule of each operator: the module or the expression that a person would write for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from nas.export.text import Code
from nas.export.text import Literal as Value
from search_spaces.errors import NasError
from search_spaces.operators import (
    Activation,
    Add,
    BatchNorm,
    Blend,
    ChannelConv,
    ChannelPool,
    ChannelSoftmax,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    GroupNorm,
    Input,
    InstanceNorm,
    LayerNorm,
    Linear,
    Multiply,
    Operator,
    Pool,
    Resize,
    ResponseNorm,
    Scale,
    Shape,
    Shift,
    Slice,
)

Role = Literal["", "in", "out", "groups", "padding", "class", "zero_init"]
IDENTITY = Code("nn.Identity")


@dataclass(frozen=True, slots=True)
class Required:
    """Marks an argument without a default."""


REQUIRED = Required()


@dataclass(frozen=True, slots=True)
class Argument:
    """A constructor argument of a module and its value.

    `role` tells what the value means: channels going in or coming out, a number of groups, a padding, the class to
    construct itself, or whether the scale starts at zero (no argument, but a statement).
    """

    name: str
    value: Value
    default: Value | Required = REQUIRED
    positional: bool = False
    role: Role = ""


@dataclass(frozen=True, slots=True)
class Module:
    """Constructed in `__init__`, called in `forward`; `sparse` is the constructor where `sparsity` is not 0."""

    constructor: str
    arguments: tuple[Argument, ...] = ()
    sparse: str | None = None


@dataclass(frozen=True, slots=True)
class Expression:
    """Computed in `forward`; `{0}`, `{1}` ... stand for the inputs."""

    template: str


Piece = Module | Expression


def source_of(op: Operator, shapes: tuple[Shape, ...]) -> Piece:
    """Source of `op` reading tensors of `shapes`; raises `NasError` for an operator without a rule."""
    rule = SOURCE.get(type(op))
    if rule is None:
        known = ", ".join(kind.__name__ for kind in SOURCE)
        raise NasError(f"operator {type(op).__name__} cannot be exported: no source rule; known: {known}")
    return rule(op, shapes)


def _axes(sizes: tuple[int, ...]) -> int | tuple[int, ...]:
    return sizes[0] if len(set(sizes)) == 1 else sizes


def _conv(op: Conv, shapes: tuple[Shape, ...]) -> Module:
    channels, *spatial = shapes[0]
    return Module(
        f"nn.Conv{len(spatial)}d",
        (
            Argument("in_channels", channels, positional=True, role="in"),
            Argument("out_channels", op.out_channels, positional=True, role="out"),
            Argument("kernel_size", _axes(op.kernel), positional=True),
            Argument("stride", _axes(op.stride), 1),
            Argument("padding", _axes(op.padding), 0, role="padding"),
            Argument("dilation", _axes(op.dilation), 1),
            Argument("groups", op.groups(channels), 1, role="groups"),
            Argument("bias", op.bias, True),
            Argument("sparsity", op.sparsity, 0.0),
        ),
        sparse=f"SparseConv{len(spatial)}d",
    )


def _linear(op: Linear, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        "nn.Linear",
        (
            Argument("in_features", shapes[0][0], positional=True, role="in"),
            Argument("out_features", op.out_channels, positional=True, role="out"),
            Argument("bias", op.bias, True),
            Argument("sparsity", op.sparsity, 0.0),
        ),
        sparse="SparseLinear",
    )


def _batch_norm(op: BatchNorm, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        f"nn.BatchNorm{max(1, len(shapes[0]) - 1)}d",
        (
            Argument("num_features", shapes[0][0], positional=True, role="in"),
            Argument("eps", op.eps, 1e-5),
            Argument("momentum", op.momentum, 0.1),
            Argument("zero_init", op.zero_init, False, role="zero_init"),
        ),
    )


def _channel_conv(op: ChannelConv, shapes: tuple[Shape, ...]) -> Module:
    return Module("ChannelConv", (Argument("kernel_size", op.kernel, positional=True),))


def _instance_norm(op: InstanceNorm, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        f"nn.InstanceNorm{len(shapes[0]) - 1}d",
        (
            Argument("num_features", shapes[0][0], positional=True, role="in"),
            Argument("eps", op.eps, 1e-5),
            Argument("affine", True, False),
        ),
    )


def _response_norm(op: ResponseNorm, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        "ResponseNorm",
        (
            Argument("channels", shapes[0][0], positional=True, role="in"),
            Argument("bias", op.bias, True),
            Argument("eps", op.eps, 1e-6),
        ),
    )


def _layer_norm(op: LayerNorm, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        "nn.LayerNorm" if len(shapes[0]) == 1 else "ChannelNorm",
        (
            Argument("channels", shapes[0][0], positional=True, role="in"),
            Argument("eps", op.eps, 1e-5),
        ),
    )


ACTIVATION_CLASSES = {
    "relu": "nn.ReLU",
    "relu6": "nn.ReLU6",
    "hard_swish": "nn.Hardswish",
    "silu": "nn.SiLU",
    "gelu": "nn.GELU",
    "sigmoid": "nn.Sigmoid",
    "hard_sigmoid": "nn.Hardsigmoid",
}


def _activation(op: Activation, shapes: tuple[Shape, ...]) -> Module:
    return Module("", (Argument("kind", Code(ACTIVATION_CLASSES[op.kind]), role="class"),))


def _add(op: Add, shapes: tuple[Shape, ...]) -> Expression:
    rest = "".join(f".add_({{{i}}})" for i in range(2, len(shapes)))
    return Expression(f"({{0}} + {{1}}){rest}" if rest else "{0} + {1}")


def _multiply(op: Multiply, shapes: tuple[Shape, ...]) -> Expression:
    return Expression("{0} * {1}")


def _concat(op: Concat, shapes: tuple[Shape, ...]) -> Expression:
    return Expression(f"torch.cat(({', '.join(f'{{{i}}}' for i in range(len(shapes)))}), dim=1)")


def _slice(op: Slice, shapes: tuple[Shape, ...]) -> Expression:
    return Expression(f"{{0}}[:, {op.start or ''}:{op.start + op.channels}]")


def _pool(op: Pool, shapes: tuple[Shape, ...]) -> Module:
    kind = "Max" if op.kind == "max" else "Avg"
    arguments = [
        Argument("kernel_size", _axes(op.kernel), positional=True),
        Argument("stride", _axes(op.stride)),
        Argument("padding", _axes(op.padding), 0),
        Argument("ceil_mode", op.ceil, False),
    ]
    if op.kind == "average":
        arguments.append(Argument("count_include_pad", op.count_padding, True))
    return Module(f"nn.{kind}Pool{len(op.kernel)}d", tuple(arguments))


def _global_pool(op: GlobalPool, shapes: tuple[Shape, ...]) -> Module:
    size = Argument("output_size", 1, positional=True)
    return Module(f"nn.AdaptiveAvgPool{len(shapes[0]) - 1}d", (size,))


def _flatten(op: Flatten, shapes: tuple[Shape, ...]) -> Expression:
    return Expression("{0}.flatten(1)")


def _scale(op: Scale, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        "Scale",
        (
            Argument("channels", shapes[0][0], positional=True, role="in"),
            Argument("init", op.init, 1e-6),
        ),
    )


def _group_norm(op: GroupNorm, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        "nn.GroupNorm",
        (
            Argument("num_groups", op.groups, positional=True),
            Argument("num_channels", shapes[0][0], positional=True, role="in"),
            Argument("eps", op.eps, 1e-5),
            Argument("zero_init", op.zero_init, False, role="zero_init"),
        ),
    )


def _channel_pool(op: ChannelPool, shapes: tuple[Shape, ...]) -> Expression:
    return Expression("{0}.mean(1, keepdim=True)" if op.kind == "mean" else "{0}.amax(1, keepdim=True)")


def _channel_softmax(op: ChannelSoftmax, shapes: tuple[Shape, ...]) -> Expression:
    return Expression("{0}.softmax(1)")


def _shift(op: Shift, shapes: tuple[Shape, ...]) -> Expression:
    padding = [side for offset in reversed(op.offset) for side in (offset, -offset)]
    return Expression(f"functional.pad({{0}}, ({', '.join(map(str, padding))}))")


def _blend(op: Blend, shapes: tuple[Shape, ...]) -> Module:
    return Module(
        "Blend",
        (
            Argument("channels", shapes[0][0], positional=True, role="in"),
            Argument("init", op.init, 0.5),
        ),
    )


LINEAR_MODES = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _resize(op: Resize, shapes: tuple[Shape, ...]) -> Module:
    mode = "nearest" if op.kind == "nearest" else LINEAR_MODES[len(op.size)]
    return Module("nn.Upsample", (Argument("size", op.size), Argument("mode", mode, "nearest")))


def _dropout(op: Dropout, shapes: tuple[Shape, ...]) -> Module:
    return Module("nn.Dropout", (Argument("p", op.rate, positional=True),))


def _input(op: Input, shapes: tuple[Shape, ...]) -> Expression:
    return Expression("{0}")


SOURCE: dict[type[Operator], Callable[[Any, tuple[Shape, ...]], Piece]] = {
    Input: _input,
    Conv: _conv,
    Linear: _linear,
    ChannelConv: _channel_conv,
    BatchNorm: _batch_norm,
    InstanceNorm: _instance_norm,
    LayerNorm: _layer_norm,
    ResponseNorm: _response_norm,
    Activation: _activation,
    Add: _add,
    Multiply: _multiply,
    Concat: _concat,
    Slice: _slice,
    Pool: _pool,
    GlobalPool: _global_pool,
    Flatten: _flatten,
    Scale: _scale,
    Dropout: _dropout,
    GroupNorm: _group_norm,
    Resize: _resize,
    ChannelPool: _channel_pool,
    ChannelSoftmax: _channel_softmax,
    Shift: _shift,
    Blend: _blend,
}
