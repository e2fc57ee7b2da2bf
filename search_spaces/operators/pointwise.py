"""What works element by element: activations, sums, products, dropout."""

from dataclasses import dataclass
from typing import ClassVar

from search_spaces.errors import ShapeError
from search_spaces.operators.base import Plain, Shape, equal_shapes, single_shape

ACTIVATIONS = ("relu", "relu6", "hard_swish", "silu", "gelu", "sigmoid", "hard_sigmoid")


@dataclass(frozen=True, slots=True)
class Activation(Plain):
    """Pointwise nonlinearity, one of `ACTIVATIONS`."""

    kind: str = "relu"
    label: ClassVar[str] = "act"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if self.kind not in ACTIVATIONS:
            raise ShapeError(f"unknown activation {self.kind!r}; known: {', '.join(ACTIVATIONS)}")
        return single_shape(shapes, "Activation")

    def saves(self) -> tuple[str, ...]:
        return ("out",) if self.kind in ("relu", "sigmoid") else ("in",)


@dataclass(frozen=True, slots=True)
class Add(Plain):
    """Elementwise sum of tensors of equal shape."""

    label: ClassVar[str] = "add"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        return equal_shapes(shapes, "Add")


@dataclass(frozen=True, slots=True)
class Multiply(Plain):
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
class Dropout(Plain):
    """Drops single elements with probability `rate` while training; nothing otherwise."""

    rate: float
    label: ClassVar[str] = "dropout"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        if not 0 <= self.rate < 1:
            raise ShapeError(f"Dropout rate must lie in [0, 1), got {self.rate}")
        return single_shape(shapes, "Dropout")

    def saves(self) -> tuple[str, ...]:
        return ("out",)
