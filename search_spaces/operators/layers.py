"""Layers that multiply by weights: convolutions over positions or along channels, and linear layers."""

import math
from dataclasses import dataclass
from typing import ClassVar

from search_spaces.errors import ShapeError
from search_spaces.operators.base import (
    Counts,
    Layout,
    Plain,
    Role,
    Shape,
    Weight,
    divisors,
    elements,
    parameter_counts,
    single_shape,
    window_outputs,
)
from search_spaces.sparsity import Sparsity, kept_elements


@dataclass(frozen=True, slots=True)
class Conv(Plain):
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
        channels, *spatial = single_shape(shapes, "Conv")
        if not len(spatial) == len(self.kernel) == len(self.stride):
            raise ShapeError(f"Conv with kernel {self.kernel} cannot take a map of size {spatial}")
        if self.out_channels < 1 or self.group_size < 1:
            raise ShapeError(
                f"Conv needs positive channels and group size, got {self.out_channels} and {self.group_size}"
            )
        self.groups(channels)
        out = tuple(
            window_outputs(*axis, False)
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
        return parameter_counts(self.weights(shapes)) + Counts(
            macs=per_position * positions,
            macs_effective=kept_elements(per_position, self.sparsity) * positions,
            activations=elements(out),
            moved_elements=per_position + (self.out_channels if self.bias else 0) + elements(shapes[0]) + elements(out),
        )

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class Linear(Plain):
    """Fully connected layer over a flat input `(features,)`."""

    out_channels: int
    bias: bool = True
    sparsity: Sparsity = 0.0
    label: ClassVar[str] = "linear"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "Linear")
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
        return parameter_counts(self.weights(shapes)) + Counts(
            macs=size,
            macs_effective=kept_elements(size, self.sparsity),
            activations=self.out_channels,
            moved_elements=size + (self.out_channels if self.bias else 0) + shapes[0][0] + self.out_channels,
        )

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class ChannelConv(Plain):
    """Convolution along the channels of a pooled map, one `kernel` of odd size for all of them (Wang et al. 2020)."""

    kernel: int
    label: ClassVar[str] = "conv"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "ChannelConv")
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ShapeError(f"ChannelConv needs an odd kernel, got {self.kernel}")
        if elements(shape[1:]) != 1:
            raise ShapeError(f"ChannelConv takes one value per channel, got a map of shape {shape}; pool it first")
        return shape

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {"weight": Weight((self.kernel,), ("tap",))}

    def counts(self, shapes: tuple[Shape, ...]) -> Counts:
        channels = shapes[0][0]
        macs = self.kernel * channels
        return parameter_counts(self.weights(shapes)) + Counts(
            macs=macs,
            macs_effective=macs,
            activations=channels,
            moved_elements=self.kernel + 2 * channels,
        )

    def saves(self) -> tuple[str, ...]:
        return ("in",)
