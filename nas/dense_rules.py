"""Torch rules of the operators of dense prediction."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from search_spaces.operators import Blend, ChannelPool, ChannelSoftmax, GroupNorm, Resize, Shift

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


def channel_pool(op: ChannelPool, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Any) -> Tensor:
    """One value per position."""
    return x[0].mean(1, keepdim=True) if op.kind == "mean" else x[0].amax(1, keepdim=True)


def channel_softmax(op: ChannelSoftmax, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Any) -> Tensor:
    """Shares per position."""
    return x[0].softmax(1)


def shift(op: Shift, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Any) -> Tensor:
    """Zeros in where the map moved from, positions out where it moved to."""
    padding = [side for offset in reversed(op.offset) for side in (offset, -offset)]
    return functional.pad(x[0], padding)


def blend(op: Blend, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Any) -> Tensor:
    """w x + (1 - w) y."""
    weight = weights["weight"].view(-1, *(1,) * (x[0].ndim - 2))
    return torch.lerp(x[1], x[0], weight)
