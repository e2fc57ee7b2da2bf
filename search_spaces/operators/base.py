"""What every operator shows, and what operators are counted by."""

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


def divisors(number: int) -> tuple[int, ...]:
    """All positive divisors of `number` in rising order."""
    return tuple(n for n in range(1, number + 1) if number % n == 0)


def parameter_counts(weights: dict[str, Weight]) -> Counts:
    params = nonzero = stored = 0
    for weight in weights.values():
        if weight.learnable:
            count = elements(weight.shape)
            params += count
            nonzero += kept_elements(count, weight.sparsity)
            stored += stored_bytes(count, weight.sparsity, VALUE_BYTES)
    return Counts(params=params, nonzero_params=nonzero, weight_bytes=stored)


def single_shape(shapes: tuple[Shape, ...], operator: str) -> Shape:
    if len(shapes) != 1:
        raise ShapeError(f"{operator} takes one input, got {len(shapes)}")
    return shapes[0]


def equal_shapes(shapes: tuple[Shape, ...], operator: str) -> Shape:
    if len(shapes) < 2:
        raise ShapeError(f"{operator} takes at least two inputs, got {len(shapes)}")
    if any(shape != shapes[0] for shape in shapes):
        raise ShapeError(f"{operator} takes inputs of equal shape, got {', '.join(map(str, shapes))}")
    return shapes[0]


def window_outputs(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil: bool) -> int:
    span = size + 2 * padding - dilation * (kernel - 1) - 1
    steps = -(-span // stride) if ceil else span // stride
    if ceil and steps * stride >= size + padding:
        steps -= 1
    return steps + 1


class Plain:
    """Defaults of operators that have no weights and change neither shape nor channel layout."""

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        return single_shape(shapes, type(self).__name__)

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return layouts[0]

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {}

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        return parameter_counts(self.weights(shapes))

    def saves(self) -> tuple[str, ...]:
        return ()
