"""Operators, blocks and choices in words."""

from collections.abc import Sequence
from typing import Any

from search_spaces.opaque import Opaque
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

_PLAIN: dict[type, str] = {
    BatchNorm: "batch norm",
    InstanceNorm: "instance norm",
    LayerNorm: "layer norm",
    ResponseNorm: "response norm",
    Add: "add",
    Multiply: "gate",
    Concat: "concat",
    GlobalPool: "global average pool",
    Flatten: "flatten",
    Scale: "layer scale",
    Dropout: "dropout",
    ChannelSoftmax: "softmax over channels",
    Blend: "blend",
}
_QUIET = frozenset({"out_channels", "act", "zero_init", "name", "shared"})


def taps_text(size: Any) -> str:
    """A kernel size as "3×3"; tuples give one number per axis, a number stands for two equal axes."""
    sizes = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    return "×".join(map(str, sizes))


def sparsity_text(sparsity: Any) -> str:
    """A sparsity as "50 % zeros" or "2:4 zeros"; empty when dense."""
    if isinstance(sparsity, str):
        return f"{sparsity} zeros"
    return f"{100 * sparsity:g} % zeros" if sparsity else ""


def _several(size: Sequence[int], label: str) -> str:
    if all(value == 1 for value in size):
        return ""
    return f"{label} {size[0] if len(set(size)) == 1 else taps_text(tuple(size))}"


def operator_text(op: Operator, shapes: tuple[Shape, ...]) -> str:
    """What `op` does to inputs of `shapes`, such as "conv 3×3, stride 2, depthwise"."""
    if isinstance(op, Conv):
        channels = shapes[0][0]
        grouping = "" if op.group_size == channels else f"groups of {op.group_size}"
        if grouping and op.group_size == 1:
            grouping = "depthwise"
        parts = [
            f"conv {taps_text(op.kernel)}",
            _several(op.stride, "stride"),
            _several(op.dilation, "dilation"),
            grouping,
            sparsity_text(op.sparsity),
        ]
        return ", ".join(part for part in parts if part)
    if isinstance(op, Linear):
        return ", ".join(part for part in ("linear", sparsity_text(op.sparsity)) if part)
    if isinstance(op, Pool):
        stride = "" if op.stride == (1,) * len(op.stride) else f", stride {op.stride[0]}"
        return f"{op.kind} pool {taps_text(op.kernel)}{stride}"
    if isinstance(op, ChannelPool):
        return f"{op.kind} over channels"
    if isinstance(op, Shift):
        return f"shift by {', '.join(map(str, op.offset))}"
    if isinstance(op, GroupNorm):
        return f"group norm, {op.groups} groups"
    if isinstance(op, Resize):
        return f"resize to {taps_text(op.size)}, {op.kind}"
    if isinstance(op, Activation):
        return op.kind.replace("_", " ")
    if isinstance(op, ChannelConv):
        return f"conv {op.kernel} along channels"
    if isinstance(op, Slice):
        return f"channels {op.start} to {op.start + op.channels - 1}"
    if isinstance(op, Opaque):
        return op.what
    return _PLAIN.get(type(op), op.label)


def argument_words(arguments: Sequence[tuple[str, Any]]) -> tuple[str, ...]:
    """Arguments of a block in words, those that change nothing left out."""
    words = []
    for name, value in arguments:
        text = _argument(name, value)
        if text:
            words.append(text)
    return tuple(words)


def _argument(name: str, value: Any) -> str:
    if name in _QUIET or value is None or value is False or value == 0:
        return ""
    if name == "kernel":
        return f"kernel {taps_text(value)}"
    if name == "expand":
        return f"expand ×{value}"
    if name == "group_size":
        return "depthwise" if value == 1 else f"groups of {value}"
    if name == "sparsity":
        return sparsity_text(value)
    if name == "classes":
        return f"{value} classes"
    if name in ("stride", "dilation") and value == 1:
        return ""
    label = name.replace("_", " ")
    if value is True:
        return label
    if isinstance(value, float):
        return f"{label} {value:g}"
    if isinstance(value, (tuple, list)):
        return f"{label} {', '.join(map(str, value))}"
    return f"{label} {value}"


def value_text(dimension: str, value: Any) -> str:
    """One value of a choice for a table: kernels as "3×3", sparsities in percent, others plainly."""
    if dimension == "kernel" and isinstance(value, int):
        return taps_text(value)
    if dimension == "sparsity" and isinstance(value, (int, float)) and not isinstance(value, bool):
        return f"{100 * value:g} %"
    return f"{value:g}" if isinstance(value, float) else str(value)
