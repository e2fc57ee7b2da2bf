"""What PyTorch's operators are called in the vocabulary of spaces.

A rule takes the arguments of one traced call by their names in the operator's schema, tensors as `Seen`, and returns
the operator, or `None` where the call does more or less than the vocabulary's one.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from search_spaces.errors import ShapeError
from search_spaces.operators import (
    Activation,
    Add,
    BatchNorm,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    LayerNorm,
    Linear,
    Multiply,
    Operator,
    Pool,
    Shape,
    elements,
)
from search_spaces.sparsity import Sparsity

Arguments = Mapping[str, Any]
Rule = Callable[[Arguments], Operator | None]


@dataclass(frozen=True)
class Seen:
    """A tensor of a traced call: its shape, without the batch axis where it flows; its zeros where it is a parameter.

    flows: it depends on the network's input. parameter: its name among the parameters, `None` where it is none.
    """

    shape: Shape
    flows: bool
    parameter: str | None = None
    zeros: int = 0

    @property
    def sparsity(self) -> Sparsity:
        """The share of zeros that leaves out exactly as many elements; 0 where all or none are zero."""
        count = elements(self.shape)
        return (self.zeros + 0.5) / count if 0 < self.zeros < count else 0.0


def vocabulary(kind: str, arguments: Arguments, shapes: tuple[Shape, ...], out: Shape) -> Operator | None:
    """The operator that the call of `kind` ("conv2d") is, reading `shapes` and giving `out`; `None` for no such one."""
    rule = RULES.get(kind)
    found = None if rule is None else rule(arguments)
    if found is None:
        return None
    try:
        return found if found.infer(shapes) == out else None
    except ShapeError:
        return None


def _spread(value: Any, axes: int) -> tuple[int, ...]:
    """One number per axis, given one for all, as one or as a list."""
    if isinstance(value, int):
        return (value,) * axes
    numbers = tuple(map(int, value))
    return numbers * axes if len(numbers) == 1 else numbers


def _conv(a: Arguments) -> Operator | None:
    weight = a["weight"].shape
    taps = tuple(weight[2:])
    dilation = _spread(a["dilation"], len(taps))
    padding = a["padding"]
    if padding == "same" and all(size % 2 for size in taps):
        padding = [d * (k - 1) // 2 for k, d in zip(taps, dilation, strict=True)]
    elif isinstance(padding, str):
        padding = 0 if padding == "valid" else None
    if padding is None:
        return None
    return Conv(
        weight[0],
        taps,
        _spread(a["stride"], len(taps)),
        _spread(padding, len(taps)),
        dilation,
        weight[1],
        a["bias"] is not None,
        a["weight"].sparsity,
    )


def _linear(a: Arguments) -> Operator | None:
    if len(a["input"].shape) != 1:
        return None
    return Linear(a["weight"].shape[0], a["bias"] is not None, a["weight"].sparsity)


def _batch_norm(a: Arguments) -> Operator | None:
    if a["training"] or any(a[name] is None for name in ("weight", "bias", "running_mean", "running_var")):
        return None
    return BatchNorm(eps=float(a["eps"]), momentum=float(a["momentum"]))


def _layer_norm(a: Arguments) -> Operator | None:
    if len(a["input"].shape) != 1 or a["weight"] is None or a["bias"] is None:
        return None
    return LayerNorm(float(a["eps"]))


def _activation(kind: str) -> Rule:
    return lambda a: Activation(kind) if a.get("approximate", "none") == "none" else None


def _hard_tanh(a: Arguments) -> Operator | None:
    return Activation("relu6") if (a["min_val"], a["max_val"]) == (0, 6) else None


def _flowing(*tensors: Any) -> bool:
    return all(isinstance(tensor, Seen) and tensor.flows for tensor in tensors)


def _add(a: Arguments) -> Operator | None:
    return Add() if a.get("alpha", 1) == 1 and _flowing(a["self"], a["other"]) else None


def _multiply(a: Arguments) -> Operator | None:
    return Multiply() if _flowing(a["self"], a["other"]) else None


def _concat(a: Arguments) -> Operator | None:
    return Concat() if a["dim"] == 1 and _flowing(*a["tensors"]) else None


def _pool(a: Arguments) -> Pool | None:
    axes = len(a["self"].shape) - 1
    kernel = _spread(a["kernel_size"], axes)
    stride = _spread(a["stride"], axes) if a["stride"] else kernel
    padding, ceil = _spread(a["padding"], axes), bool(a["ceil_mode"])
    if "count_include_pad" not in a:
        plain = all(size == 1 for size in _spread(a["dilation"], axes))
        return Pool("max", kernel, stride, padding, ceil) if plain else None
    divided = a.get("divisor_override") is not None
    return None if divided else Pool("average", kernel, stride, padding, ceil, bool(a["count_include_pad"]))


def _adaptive_pool(a: Arguments) -> Operator | None:
    return GlobalPool() if all(size == 1 for size in _spread(a["output_size"], 1)) else None


def _mean(a: Arguments) -> Operator | None:
    axes = len(a["self"].shape) + 1
    over: Sequence[int] = a.get("dim") or ()
    spatial = sorted(int(axis) % axes for axis in over) == list(range(2, axes))
    return GlobalPool() if spatial and a["keepdim"] else None


def _flatten(a: Arguments) -> Operator | None:
    return Flatten()


def _dropout(a: Arguments) -> Operator | None:
    return None if a["train"] else Dropout(float(a["p"]))


RULES: dict[str, Rule] = {
    **dict.fromkeys(("conv1d", "conv2d", "conv3d"), _conv),
    "linear": _linear,
    "batch_norm": _batch_norm,
    "layer_norm": _layer_norm,
    "relu": _activation("relu"),
    "relu6": _activation("relu6"),
    "hardswish": _activation("hard_swish"),
    "silu": _activation("silu"),
    "gelu": _activation("gelu"),
    "sigmoid": _activation("sigmoid"),
    "hardsigmoid": _activation("hard_sigmoid"),
    "hardtanh": _hard_tanh,
    "add": _add,
    "mul": _multiply,
    "cat": _concat,
    **dict.fromkeys(("max_pool1d", "max_pool2d", "max_pool3d"), _pool),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d", "avg_pool3d"), _pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"), _adaptive_pool),
    "mean": _mean,
    **dict.fromkeys(("flatten", "view", "reshape"), _flatten),
    "dropout": _dropout,
}
"""By the name of an operator of ATen, without the overload and the underscore of those that work in place."""
