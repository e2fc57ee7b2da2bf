"""Operators of dense prediction: group normalisation and resizing of maps."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from search_spaces.errors import ShapeError
from search_spaces.operators.base import Plain, Shape, Weight, divisors, single_shape


@dataclass(frozen=True, slots=True)
class GroupNorm(Plain):
    """Normalisation of each sample over `groups` groups of channels and all positions (Wu and He 2018).

    `zero_init` starts the scale at zero (last norm of a residual branch).
    """

    groups: int
    zero_init: bool = False
    eps: float = 1e-5
    label: ClassVar[str] = "norm"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        shape = single_shape(shapes, "GroupNorm")
        if self.groups < 1 or shape[0] % self.groups:
            raise ShapeError(
                f"GroupNorm cannot divide {shape[0]} channels into {self.groups} groups; take one of "
                f"{divisors(shape[0])}"
            )
        return shape

    def weights(self, shapes: tuple[Shape, ...]) -> dict[str, Weight]:
        channels = (shapes[0][0],)
        return {"weight": Weight(channels, ("in",)), "bias": Weight(channels, ("in",))}

    def saves(self) -> tuple[str, ...]:
        return ("in",)


@dataclass(frozen=True, slots=True)
class Resize(Plain):
    """A map brought to the spatial `size`: each value the nearest one, or linear between the nearest.

    Positions are those of pixel centres (`align_corners` off), nothing is smoothed when a map gets smaller.
    """

    size: tuple[int, ...]
    kind: Literal["nearest", "linear"] = "linear"
    label: ClassVar[str] = "resize"

    def infer(self, shapes: tuple[Shape, ...]) -> Shape:
        channels, *spatial = single_shape(shapes, "Resize")
        if self.kind not in ("nearest", "linear"):
            raise ShapeError(f"unknown way to resize {self.kind!r}; known: nearest, linear")
        if len(spatial) != len(self.size) or not spatial or min(self.size) < 1:
            raise ShapeError(f"Resize cannot bring a map of size {tuple(spatial)} to {self.size}")
        return (channels, *self.size)
