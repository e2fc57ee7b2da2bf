"""Normalisations and learned factors per channel."""

from dataclasses import dataclass
from typing import ClassVar

from search_spaces.operators.base import Plain, Shape, Weight


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
class Scale(Plain):
    """Learned factor per channel (layer scale), started at `init`."""

    init: float = 1e-6
    label: ClassVar[str] = "scale"

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        return {"weight": Weight((shapes[0][0],), ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)
