"""Torch rules of the operators of dense prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.nn import functional

from search_spaces.operators import GroupNorm, Resize

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What torch calls linear interpolation in one to three dimensions."""


def group_norm(op: GroupNorm, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Any) -> Tensor:
    """Each sample over groups of channels and all positions."""
    return functional.group_norm(x[0], op.groups, weights["weight"], weights["bias"], op.eps)


def resize(op: Resize, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Any) -> Tensor:
    """The map at its new size."""
    if op.kind == "nearest":
        return functional.interpolate(x[0], size=op.size, mode="nearest")
    return functional.interpolate(x[0], size=op.size, mode=LINEAR[len(op.size)], align_corners=False)
