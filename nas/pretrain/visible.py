"""A network run on the visible parts of images alone, by dense operators.

After every operator what is hidden is set to zero at that resolution, so that no convolution carries anything across
the edge of the mask and its pattern stays what it was; norms and averages look at visible positions only (Tian et al.
2023). Weights are those of the network itself, unchanged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from nas.modules import TORCH, Mode, Weights
from nas.pretrain.masking import mask_at, random_masks
from search_spaces.errors import NasError
from search_spaces.network import Network, Node
from search_spaces.operators import BatchNorm, GlobalPool, GroupNorm


@dataclass(frozen=True)
class Pyramid:
    """Where a network's maps of each resolution end: node indices, the finest first."""

    nodes: tuple[int, ...]

    @property
    def last(self) -> int:
        """The node of the coarsest map."""
        return self.nodes[-1]


def pyramid_of(network: Network, *, levels: int = 4) -> Pyramid:
    """The last map of each of the `levels` coarsest resolutions with more than one position per axis.

    Raises `NasError` for a network that has no two resolutions.
    """
    found: dict[tuple[int, ...], int] = {}
    rank = len(network.input.shape)
    for index in network.inference_nodes:
        shape = network.nodes[index].shape
        if len(shape) == rank and min(shape[1:]) > 1 and shape[1:] != network.input.shape[1:]:
            found[shape[1:]] = index
    nodes = sorted(found.values())[-levels:]
    if not nodes:
        raise NasError("masked pretraining needs a network whose maps get smaller, to at least 2 positions an axis")
    return Pyramid(tuple(nodes))


def visible_maps(
    network: Network, weights: Weights, x: Tensor, mask: Tensor, pyramid: Pyramid, *, mode: Mode
) -> tuple[Tensor, ...]:
    """The maps of `pyramid` for images x [n, C, *spatial] whose hidden cells (False in mask [n, 1, *grid]) are zero.

    Exactly zero where hidden, at every resolution.
    """
    masks: dict[tuple[int, ...], Tensor] = {}
    values: dict[int, Tensor] = {}
    last_reader = {source: i for i in range(pyramid.last + 1) for source in network.nodes[i].inputs}
    for i in _needed(network, pyramid):
        node = network.nodes[i]
        inputs = [values[source] for source in node.inputs] or [x]
        size = tuple(inputs[0].shape[2:])
        seen = masks.setdefault(size, mask_at(mask, size)) if _masked(size, mask) else None
        out = _run(node, inputs, weights, seen, mode)
        made = tuple(out.shape[2:])
        if _masked(made, mask):
            out = out * masks.setdefault(made, mask_at(mask, made)).to(out.dtype)
        values[i] = out
        for source in node.inputs:
            if last_reader[source] == i and source not in pyramid.nodes:
                values.pop(source, None)
    return tuple(values[i] for i in pyramid.nodes)


def _needed(network: Network, pyramid: Pyramid) -> Sequence[int]:
    needed: set[int] = set()
    pending = list(pyramid.nodes)
    while pending:
        index = pending.pop()
        if index not in needed:
            needed.add(index)
            pending += network.nodes[index].inputs
    return sorted(needed)


def _masked(size: tuple[int, ...], mask: Tensor) -> bool:
    """Whether maps of this size have hidden positions; gates of one position have not."""
    return len(size) == mask.ndim - 2 and all(n >= cells for n, cells in zip(size, mask.shape[2:], strict=True))


def _run(node: Node, x: Sequence[Tensor], weights: Weights, seen: Tensor | None, mode: Mode) -> Tensor:
    own = weights.get(node.weights_path, {})
    if seen is not None and isinstance(node.op, BatchNorm):
        return _visible_batch_norm(node, x[0], seen, weights, mode)
    if seen is not None and isinstance(node.op, GroupNorm):
        return _visible_group_norm(node.op, x[0], seen, own["weight"], own["bias"])
    if seen is not None and isinstance(node.op, GlobalPool):
        axes = tuple(range(2, x[0].ndim))
        return x[0].sum(axes, keepdim=True) / seen.sum(axes, keepdim=True).to(x[0].dtype)
    return TORCH[type(node.op)](node.op, x, own, mode)


def _visible_batch_norm(node: Node, x: Tensor, seen: Tensor, weights: Weights, mode: Mode) -> Tensor:
    """Batch norm whose statistics are those of the visible positions; zero where hidden."""
    where = seen[:, 0]
    rows = x.movedim(1, -1)[where]
    normed = TORCH[BatchNorm](node.op, [rows], weights.get(node.weights_path, {}), mode)
    out = torch.zeros_like(x.movedim(1, -1))
    out[where] = normed.to(out.dtype)
    return out.movedim(-1, 1)


def _visible_group_norm(op: GroupNorm, x: Tensor, seen: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Group norm over the visible positions of each sample."""
    shares = seen.flatten(2).to(x.dtype)
    grouped = x.reshape(len(x), op.groups, x.shape[1] // op.groups, -1)
    count = shares.sum(2)[:, :, None, None] * grouped.shape[2]
    mean = grouped.sum((2, 3), keepdim=True) / count
    centred = (grouped - mean) * shares[:, :, None]
    variance = centred.square().sum((2, 3), keepdim=True) / count
    normed = (centred * torch.rsqrt(variance + op.eps)).flatten(1, 2).view_as(x)
    broadcast = (-1, *(1,) * (x.ndim - 2))
    out: Tensor = normed * weight.view(broadcast) + bias.view(broadcast)
    return out


def leak_test(layers: int, *, grid: int = 7, size: int = 56, again: bool, seed: int = 0) -> float:
    """Share of the cells of a masked map that are not zero after so many 3x3 convolutions, by default 20 of 49 before.

    again: set hidden positions to zero after every convolution. Without it the mask's pattern dissolves.
    """
    generator = torch.Generator().manual_seed(seed)
    mask = random_masks(1, (grid, grid), ratio=0.6, generator=generator)
    wide = mask_at(mask, (size, size)).float()
    x = wide.clone()
    kernel = torch.ones(1, 1, 3, 3)
    for _ in range(layers):
        x = (functional.conv2d(x, kernel, padding=1) > 0).float()
        if again:
            x = x * wide
    return float((x != 0).float().mean())
