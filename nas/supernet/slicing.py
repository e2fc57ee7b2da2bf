"""What a subnet takes of a shared tensor: views under autograd, planned once per use."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from nas.supernet.shapes import SharedShape, Use
from search_spaces.errors import NasError
from search_spaces.operators import Conv, Weight

Range = tuple[int, int]
"""Start and length."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Steps from a shared tensor to that of a subnet; steps that change nothing are `None`.

    window: ranges per axis, as slices. parts: an axis in segments, and their ranges. nested: outputs
    and inputs per group, of storage and of the subnet. diagonal: groups, outputs and inputs per
    group to take from dense storage. rows: outputs to keep in the end.
    """

    window: tuple[slice, ...] | None = None
    parts: tuple[int, tuple[Range, ...]] | None = None
    nested: tuple[tuple[int, int], tuple[int, int]] | None = None
    diagonal: tuple[int, int, int] | None = None
    rows: int | None = None

    def __call__(self, shared: Tensor) -> Tensor:
        """The subnet's tensor, a view where it can be."""
        taken = shared if self.window is None else shared[self.window]
        if self.parts is not None:
            axis, ranges = self.parts
            taken = torch.cat([taken.narrow(axis, *each) for each in ranges], axis)
        if self.nested is not None:
            taken = _sub_blocks(taken, *self.nested)
        if self.diagonal is not None:
            taken = _block_diagonal(taken, *self.diagonal)
        return taken if self.rows is None else taken[: self.rows]


def in_member(name: str, member: int) -> str:
    """The name of a tensor in one of several sets of weights."""
    return f"{member}/{name}" if member else name


@dataclass(frozen=True, slots=True)
class Transform:
    """A kernel made smaller step by step: the centre of the larger one, mixed by a learned matrix (Cai et al. 2020).

    steps: per step the name of the matrix [taps, taps], shared by all channels, and the side of the smaller kernel.
    """

    steps: tuple[tuple[str, int], ...]

    def __call__(self, weight: Tensor, tensors: Mapping[str, Tensor], member: int = 0) -> Tensor:
        """[out, in, *large taps] to [out, in, *small taps]; `member`: whose matrices of `tensors` are used."""
        for name, side in self.steps:
            start = (weight.shape[2] - side) // 2
            centre = weight[(slice(None), slice(None), *[slice(start, start + side)] * (weight.ndim - 2))]
            weight = (centre.flatten(2) @ tensors[in_member(name, member)]).view(centre.shape)
        return weight


def transforms(shared: SharedShape) -> dict[str, int]:
    """Names of the matrices that lead from each kernel size to the next smaller one, and the side of that one."""
    pairs = zip(shared.kernels[1:], shared.kernels, strict=False)
    return {f"{shared.prefix}.kernel{large}to{small}": small for large, small in pairs}


def is_transform(name: str) -> bool:
    """Whether a shared tensor is the matrix of a kernel transform."""
    return re.search(r"\.kernel\d+to\d+$", name) is not None


def plan(shared: SharedShape, use: Use) -> dict[str, Cut]:
    """How `use` takes each of its tensors; raises `NasError` where the shared ones have no room."""
    rooms = dict(shared.tensors)
    ranges = shared.segments.ranges(use.layout)
    cuts: dict[str, Cut] = {}
    for name, weight in use.weights.items():
        room = rooms.get(name)
        if room is None or ranges is None or not _fits(shared, use, room, weight):
            raise NasError(
                f"{shared.prefix}.{name}: the supernet has no room for {use.op} on channels "
                f"{use.layout}; it was made for another search space"
            )
        if isinstance(use.op, Conv) and name == "weight":
            cuts[name] = _convolution(shared, use, use.op, room)
        else:
            cuts[name] = _plain(room, weight, ranges)
    return cuts


def _fits(shared: SharedShape, use: Use, room: Weight, weight: Weight) -> bool:
    for axis, role in enumerate(weight.axes):
        if role != "in" and weight.shape[axis] > room.shape[axis]:
            return False
    if shared.block is None or not isinstance(use.op, Conv):
        return True
    outputs, inputs = shared.block
    same_ratio = use.op.out_channels * inputs == use.channels * outputs
    return same_ratio and inputs % use.op.group_size == 0


def _plain(room: Weight, weight: Weight, ranges: tuple[Range, ...]) -> Cut:
    """Leading rows, centre taps, and the segments of the input axis."""
    window: list[slice] = []
    parts = None
    for axis, role in enumerate(weight.axes):
        have, want = room.shape[axis], weight.shape[axis]
        if role == "in" and len(ranges) > 1:
            window.append(slice(None))
            parts = None if want == have else (axis, ranges)
        elif role == "in":
            window.append(_slice(*ranges[0], have))
        else:
            window.append(_slice((have - want) // 2 if role == "tap" else 0, want, have))
    return Cut(_window(window), parts)


def _convolution(shared: SharedShape, use: Use, op: Conv, room: Weight) -> Cut:
    groups = op.groups(use.channels)
    per_group = op.out_channels // groups
    taps = [_slice((have - want) // 2, want, have) for have, want in zip(room.shape[2:], op.kernel, strict=True)]
    rows = room.shape[0]
    if shared.block is None:
        dense = Weight((op.out_channels, use.channels, *op.kernel), room.axes)
        ranges = shared.segments.ranges(use.layout) or ()
        cut = _plain(room, dense, ranges)
        diagonal = None if groups == 1 else (groups, per_group, op.group_size)
        return Cut(cut.window, cut.parts, diagonal=diagonal)
    if op.group_size == shared.block[1] or groups == 1:
        window = [_slice(0, op.out_channels, rows), _slice(0, op.group_size, room.shape[1])]
        return Cut(_window(window + taps))
    used = -(-op.out_channels // shared.block[0]) * shared.block[0]
    kept = None if used == op.out_channels else op.out_channels
    window = [_slice(0, used, rows), slice(None), *taps]
    return Cut(_window(window), nested=(shared.block, (per_group, op.group_size)), rows=kept)


def _slice(start: int, length: int, available: int) -> slice:
    return slice(None) if length == available else slice(start, start + length)


def _window(slices: list[slice]) -> tuple[slice, ...] | None:
    return None if all(each == slice(None) for each in slices) else tuple(slices)


def _sub_blocks(stored: Tensor, largest: tuple[int, int], taken: tuple[int, int]) -> Tensor:
    """[rows, largest inputs, *taps] to [rows, inputs, *taps]: the sub-block around each output."""
    (outputs, inputs), (few_outputs, few_inputs) = largest, taken
    blocks, parts, taps = stored.shape[0] // outputs, inputs // few_inputs, stored.shape[2:]
    split = stored.view(blocks, parts, few_outputs, parts, few_inputs, *taps)
    inner = split.diagonal(dim1=1, dim2=3).movedim(-1, 1)
    return inner.reshape(stored.shape[0], few_inputs, *taps)


def _block_diagonal(dense: Tensor, groups: int, outputs: int, inputs: int) -> Tensor:
    """[groups × outputs, groups × inputs, *taps] to [groups × outputs, inputs, *taps]."""
    split = dense.view(groups, outputs, groups, inputs, *dense.shape[2:])
    inner = split.diagonal(dim1=0, dim2=2).movedim(-1, 0)
    return inner.reshape(groups * outputs, inputs, *dense.shape[2:])
