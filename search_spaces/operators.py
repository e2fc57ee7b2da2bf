"""The operator vocabulary: one small frozen class each.

Every operator shows the same faces: `infer` (shape rule), `layout` (channel segments of its output),
`counts`, `weights` (named tensors with the role of each axis, from which slicing follows) and `saves` (what the
backward pass needs). Its torch rule and its source text are registered under the class in `nas`. A shape is
`(channels, *spatial)` without the batch axis, so one convolution serves one to three dimensions.

Counting conventions: one multiply-add is one MAC; MACs are counted for convolutions, linear layers and matrix
products only; parameters are all learnable ones, norm affine and biases included. Moved elements are those that
convolutions and linear layers read and write, weights included, each once, and what a concatenation copies.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

from search_spaces.errors import ShapeError
from search_spaces.sparsity import Sparsity, kept_elements, stored_bytes

Shape = tuple[int, ...]
Layout = tuple[tuple[str, int], ...]
Role = Literal["out", "in", "tap"]
VALUE_BYTES = 4


@dataclass(frozen=True, slots=True)
class Weight:
    """One tensor of an operator: its shape and what each axis runs over.

    `out` runs over the operator's output channels, `in` over its input channels (of one group for grouped
    convolutions), `tap` over kernel positions.
    """

    shape: Shape
    axes: tuple[Role, ...]
    learnable: bool = True
    sparsity: Sparsity = 0.0


@dataclass(frozen=True, slots=True)
class Counts:
    """Exact counts of one operator or a sum of them, for one input sample."""

    macs: int = 0
    macs_effective: int = 0
    params: int = 0
    nonzero_params: int = 0
    weight_bytes: int = 0
    activations: int = 0
    moved_elements: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.macs + other.macs,
            self.macs_effective + other.macs_effective,
            self.params + other.params,
            self.nonzero_params + other.nonzero_params,
            self.weight_bytes + other.weight_bytes,
            self.activations + other.activations,
            self.moved_elements + other.moved_elements,
        )


class Operator(Protocol):
    """What every operator shows; `label` is its default node name."""

    label: ClassVar[str]

    def infer(self, shapes: tuple[Shape, ...]) -> Shape: ...
    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout: ...
    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]: ...
    def counts(self, shapes: tuple[Shape, ...]) -> Counts: ...
    def saves(self) -> tuple[str, ...]: ...


def elements(shape: Shape) -> int:
    """Number of elements of `shape`."""
    return math.prod(shape)


def _parameter_counts(weights: dict[str, Weight]) -> Counts:
    params = nonzero = stored = 0
    for weight in weights.values():
        if weight.learnable:
            count = elements(weight.shape)
            params += count
            nonzero += kept_elements(count, weight.sparsity)
            stored += stored_bytes(count, weight.sparsity, VALUE_BYTES)
    return Counts(params=params, nonzero_params=nonzero, weight_bytes=stored)


def _single(shapes: tuple[Shape, ...], operator: str) -> Shape:
    if len(shapes) != 1:
        raise ShapeError(f"{operator} takes one input, got {len(shapes)}")
    return shapes[0]


class _Plain:
    """Defaults of operators that have no weights and change neither shape nor channel layout."""

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        return _single(shapes, type(self).__name__)

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return layouts[0]

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {}

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        return _parameter_counts(self.weights(shapes))

    def saves(self) -> tuple[str, ...]:
        return ()


@dataclass(frozen=True, slots=True)
class Input(_Plain):
    """The network's input of `shape` (channels, *spatial)."""

    shape: Shape
    label: ClassVar[str] = "input"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if shapes:
            raise ShapeError(f"Input takes no inputs, got {len(shapes)}")
        if len(self.shape) < 1 or min(self.shape) < 1:
            raise ShapeError(f"Input needs positive sizes, got {self.shape}")
        return self.shape

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return ((name, shape[0]),)


def _window(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    steps = -(-span // stride) if ceil else span // stride
    if ceil and steps * stride >= size + padding:
        steps -= 1
    return steps + 1


@dataclass(frozen=True, slots=True)
class Conv(_Plain):
    """Convolution in one to three dimensions; `group_size` is the number of input channels per group."""

    out_channels: int
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    group_size: int
    bias: bool = False
    sparsity: Sparsity = 0.0
    label: ClassVar[str] = "conv"

    def groups(self, in_channels: int) -> int:
        """Number of groups; raises `ShapeError` when the group size does not divide."""
        if in_channels % self.group_size:
            raise ShapeError(
                f"group size {self.group_size} does not divide {in_channels} input channels; "
                f"take one of {divisors(in_channels)}"
            )
        groups = in_channels // self.group_size
        if self.out_channels % groups:
            raise ShapeError(f"{groups} groups do not divide {self.out_channels} output channels")
        return groups

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, *spatial = _single(shapes, "Conv")
        if not len(spatial) == len(self.kernel) == len(self.stride):
            raise ShapeError(f"Conv with kernel {self.kernel} cannot take a map of size {spatial}")
        if self.out_channels < 1 or self.group_size < 1:
            raise ShapeError(
                f"Conv needs positive channels and group size, got {self.out_channels} and {self.group_size}"
            )
        self.groups(channels)
        out = tuple(
            _window(*axis, False)
            for axis in zip(spatial, self.kernel, self.stride, self.padding, self.dilation, strict=True)
        )
        if min(out) < 1:
            raise ShapeError(f"Conv kernel {self.kernel} dilation {self.dilation} does not fit into map {spatial}")
        return (self.out_channels, *out)

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return ((name, self.out_channels),)

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        taps: tuple[Role, ...] = tuple("tap" for _ in self.kernel)
        weights = {
            "weight": Weight(
                (self.out_channels, self.group_size, *self.kernel),
                ("out", "in", *taps),
                sparsity=self.sparsity,
            )
        }
        if self.bias:
            weights["bias"] = Weight((self.out_channels,), ("out",))
        return weights

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        out = self.infer(shapes)
        positions = elements(out[1:])
        per_position = self.out_channels * self.group_size * math.prod(self.kernel)
        return _parameter_counts(self.weights(shapes)) + Counts(
            macs=per_position * positions,
            macs_effective=kept_elements(per_position, self.sparsity) * positions,
            activations=elements(out),
            moved_elements=per_position + (self.out_channels if self.bias else 0) + elements(shapes[0]) + elements(out),
        )

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class Linear(_Plain):
    """Fully connected layer over a flat input `(features,)`."""

    out_channels: int
    bias: bool = True
    sparsity: Sparsity = 0.0
    label: ClassVar[str] = "linear"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = _single(shapes, "Linear")
        if len(shape) != 1:
            raise ShapeError(f"Linear takes a flat input, got {shape}; flatten it first")
        return (self.out_channels,)

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return ((name, self.out_channels),)

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        weights = {"weight": Weight((self.out_channels, shapes[0][0]), ("out", "in"), sparsity=self.sparsity)}
        if self.bias:
            weights["bias"] = Weight((self.out_channels,), ("out",))
        return weights

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        size = self.out_channels * shapes[0][0]
        return _parameter_counts(self.weights(shapes)) + Counts(
            macs=size,
            macs_effective=kept_elements(size, self.sparsity),
            activations=self.out_channels,
            moved_elements=size + (self.out_channels if self.bias else 0) + shapes[0][0] + self.out_channels,
        )

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class BatchNorm(_Plain):
    """Batch normalisation; `zero_init` starts the scale at zero (last norm of a residual branch)."""

    zero_init: bool = False
    eps: float = 1e-5
    momentum: float = 0.1
    label: ClassVar[str] = "norm"

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        channels = (shapes[0][0],)
        return {
            "weight": Weight(channels, ("in",)),
            "bias": Weight(channels, ("in",)),
            "running_mean": Weight(channels, ("in",), learnable=False),
            "running_var": Weight(channels, ("in",), learnable=False),
        }

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class LayerNorm(_Plain):
    """Layer normalisation over the channels of each position (channels-first)."""

    eps: float = 1e-6
    label: ClassVar[str] = "norm"

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        channels = (shapes[0][0],)
        return {"weight": Weight(channels, ("in",)), "bias": Weight(channels, ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)


ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu", "gelu", "sigmoid", "hard_sigmoid")


@dataclass(frozen=True, slots=True)
class Activation(_Plain):
    """Pointwise nonlinearity, one of `ACTIVATIONS`."""

    kind: str = "relu"
    label: ClassVar[str] = "act"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if self.kind not in ACTIVATIONS:
            raise ShapeError(f"unknown activation {self.kind!r}; known: {', '.join(ACTIVATIONS)}")
        return _single(shapes, "Activation")

    def saves(self) -> tuple[str, ...]:
        return ("out",) if self.kind in ("relu", "sigmoid") else ("in",)


def _equal(shapes: tuple[Shape, ...], operator: str) -> Shape:
    if len(shapes) < 2:
        raise ShapeError(f"{operator} takes at least two inputs, got {len(shapes)}")
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(f"{operator} takes inputs of equal shape, got {', '.join(map(str, shapes))}")
    return shapes[0]


@dataclass(frozen=True, slots=True)
class Add(_Plain):
    """Elementwise sum of tensors of equal shape."""

    label: ClassVar[str] = "add"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        return _equal(shapes, "Add")


@dataclass(frozen=True, slots=True)
class Multiply(_Plain):
    """Product of a map and a gate of the same channels whose spatial sizes are equal or one."""

    label: ClassVar[str] = "multiply"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) != 2:
            raise ShapeError(f"Multiply takes a map and a gate, got {len(shapes)} inputs")
        value, gate = shapes
        if len(value) != len(gate) or any(g not in (v, 1) for v, g in zip(value, gate, strict=True)):
            raise ShapeError(f"Multiply cannot apply a gate of shape {gate} to a map of shape {value}")
        return value

    def saves(self) -> tuple[str, ...]:
        return ("in", "gate")


@dataclass(frozen=True, slots=True)
class Concat(_Plain):
    """Concatenation along channels; the output keeps one layout segment per source."""

    label: ClassVar[str] = "concat"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if len(shapes) < 2:
            raise ShapeError(f"Concat takes at least two inputs, got {len(shapes)}")
        if any(shape[1:] != shapes[0][1:] for shape in shapes):
            raise ShapeError(f"Concat takes maps of equal size, got {', '.join(map(str, shapes))}")
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return tuple(segment for layout in layouts for segment in layout)

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        return Counts(moved_elements=2 * elements(self.infer(shapes)))


@dataclass(frozen=True, slots=True)
class Pool(_Plain):
    """Max or average pooling; averages count padded zeros only when `count_padding`."""

    kind: Literal["max", "average"]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    ceil: bool = False
    count_padding: bool = False
    label: ClassVar[str] = "pool"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, *spatial = _single(shapes, "Pool")
        if self.kind not in ("max", "average"):
            raise ShapeError(f"unknown pooling {self.kind!r}; known: max, average")
        if len(spatial) != len(self.kernel):
            raise ShapeError(f"Pool with kernel {self.kernel} cannot take a map of size {spatial}")
        out = tuple(
            _window(size, kernel, stride, padding, 1, self.ceil)
            for size, kernel, stride, padding in zip(spatial, self.kernel, self.stride, self.padding, strict=True)
        )
        if min(out) < 1:
            raise ShapeError(f"Pool kernel {self.kernel} does not fit into map {spatial}")
        return (channels, *out)

    def saves(self) -> tuple[str, ...]:
        return ("in", "index") if self.kind == "max" else ("in",)


@dataclass(frozen=True, slots=True)
class GlobalPool(_Plain):
    """Average over all positions; keeps spatial axes of size one."""

    label: ClassVar[str] = "pool"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, *spatial = _single(shapes, "GlobalPool")
        if not spatial:
            raise ShapeError(f"GlobalPool takes a map, got a flat tensor of {channels} features")
        return (channels, *(1 for _ in spatial))


@dataclass(frozen=True, slots=True)
class Flatten(_Plain):
    """All axes into one, channels outermost; a view of its input."""

    label: ClassVar[str] = "flatten"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        return (elements(_single(shapes, "Flatten")),)

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        channels = sum(size for _, size in layouts[0])
        return tuple((origin, size * (shape[0] // channels)) for origin, size in layouts[0])


@dataclass(frozen=True, slots=True)
class Scale(_Plain):
    """Learned factor per channel (layer scale), started at `init`."""

    init: float = 1e-6
    label: ClassVar[str] = "scale"

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {"weight": Weight((shapes[0][0],), ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class Dropout(_Plain):
    """Drops single elements with probability `rate` while training; nothing otherwise."""

    rate: float
    label: ClassVar[str] = "dropout"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if not 0 <= self.rate < 1:
            raise ShapeError(f"Dropout rate must lie in [0, 1), got {self.rate}")
        return _single(shapes, "Dropout")

    def saves(self) -> tuple[str, ...]:
        return ("out",)


OPERATORS: tuple[type[Operator], ...] = (
    Input,
    Conv,
    Linear,
    BatchNorm,
    LayerNorm,
    Activation,
    Add,
    Multiply,
    Concat,
    Pool,
    GlobalPool,
    Flatten,
    Scale,
    Dropout,
)


def divisors(number: int) -> tuple[int, ...]:
    """All positive divisors of `number` in rising order."""
    return tuple(n for n in range(1, number + 1) if number % n == 0)
