"""Operators of attention decoders: pooling and softmax over channels, shifted and blended maps."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from search_spaces.errors import ShapeError
from search_spaces.operators.base import Layout, Plain, Shape, Weight, equal_shapes, single_shape


@dataclass(frozen=True, slots=True)
class ChannelPool(Plain):
    """Mean or maximum over the channels of each position."""

    kind: Literal["mean", "max"]
    label: ClassVar[str] = "pool"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "ChannelPool")
        if self.kind not in ("mean", "max"):
            raise ShapeError(f"unknown pooling over channels {self.kind!r}; known: mean, max")
        if len(shape) < 2:
            raise ShapeError(f"ChannelPool takes a map, got a flat tensor of {shape[0]} features")
        return (1, *shape[1:])

    def layout(self, name: str, layouts: tuple[Layout, ...], shape: Shape) -> Layout:
        return ((name, 1),)

    def saves(self) -> tuple[str, ...]:
        return ("in", "out") if self.kind == "max" else ()


@dataclass(frozen=True, slots=True)
class ChannelSoftmax(Plain):
    """Softmax over the channels of each position."""

    label: ClassVar[str] = "softmax"

    def saves(self) -> tuple[str, ...]:
        return ("out",)


@dataclass(frozen=True, slots=True)
class Shift(Plain):
    """A map moved by whole positions along each spatial axis; zeros move in."""

    offset: tuple[int, ...]
    label: ClassVar[str] = "shift"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "Shift")
        if len(self.offset) != len(shape) - 1 or any(abs(o) > n for o, n in zip(self.offset, shape[1:], strict=True)):
            raise ShapeError(f"Shift cannot move a map of size {shape[1:]} by {self.offset}")
        return shape


@dataclass(frozen=True, slots=True)
class Blend(Plain):
    """Two tensors of one shape mixed per channel: w x + (1 - w) y, with w learned and started at `init`."""

    init: float = 0.5
    label: ClassVar[str] = "blend"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = equal_shapes(shapes, "Blend")
        if len(shapes) != 2:
            raise ShapeError(f"Blend takes two inputs, got {len(shapes)}")
        return shape

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {"weight": Weight((shapes[0][0],), ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in", "gate")
