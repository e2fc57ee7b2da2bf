"""Normalisations and learned factors per channel."""

from dataclasses import dataclass
from typing import ClassVar

from search_spaces.errors import ShapeError
from search_spaces.operators.base import Plain, Shape, Weight, elements, single_shape


@dataclass(frozen=True, slots=True)
class BatchNorm(Plain):
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
class LayerNorm(Plain):
    """Layer normalisation over the channels of each position (channels-first)."""

    eps: float = 1e-6
    label: ClassVar[str] = "norm"

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        channels = (shapes[0][0],)
        return {"weight": Weight(channels, ("in",)), "bias": Weight(channels, ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class InstanceNorm(Plain):
    """Normalisation of each channel of each sample over its positions, the same in training and inference."""

    eps: float = 1e-5
    label: ClassVar[str] = "norm"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "InstanceNorm")
        if elements(shape[1:]) < 2:
            raise ShapeError(f"InstanceNorm needs at least two positions per channel, got a map of shape {shape}")
        return shape

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        channels = (shapes[0][0],)
        return {"weight": Weight(channels, ("in",)), "bias": Weight(channels, ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class ResponseNorm(Plain):
    """Global response normalisation (Woo et al. 2023): y = x (1 + w n) + b, both w and b started at zero.

    n is a channel's root of summed squares over positions, divided by its mean over channels plus `eps`.
    """

    bias: bool = True
    eps: float = 1e-6
    label: ClassVar[str] = "norm"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "ResponseNorm")
        if len(shape) < 2:
            raise ShapeError(f"ResponseNorm takes a map, got a flat tensor of {shape[0]} features")
        return shape

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        weight = Weight((shapes[0][0],), ("in",))
        return {"weight": weight, "bias": weight} if self.bias else {"weight": weight}

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class Scale(Plain):
    """Learned factor per channel (layer scale), started at `init`."""

    init: float = 1e-6
    label: ClassVar[str] = "scale"

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {"weight": Weight((shapes[0][0],), ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)
