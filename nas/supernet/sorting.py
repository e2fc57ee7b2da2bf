"""Channels in the order of their importance, so that narrower subnets keep those that matter most (Cai et al. 2020)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from nas.supernet.shapes import SharedShape
from nas.supernet.weights import Supernet
from search_spaces.network import Network, Node
from search_spaces.operators import (
    Activation,
    Add,
    BatchNorm,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    InstanceNorm,
    LayerNorm,
    Linear,
    Multiply,
    Pool,
    ResponseNorm,
    Scale,
)

_KEEPS_CHANNELS = (
    Activation,
    BatchNorm,
    Dropout,
    GlobalPool,
    InstanceNorm,
    LayerNorm,
    Pool,
    ResponseNorm,
    Scale,
)
Place = tuple[str, int]
"""Name of a shared tensor and the axis that counts channels."""


@dataclass
class _Axes:
    """Channel axes that must be permuted alike: one number per node's output, joined where operators tie them."""

    parent: list[int]
    fixed: set[int] = field(default_factory=set)
    writes: list[tuple[int, Place]] = field(default_factory=list)
    reads: list[tuple[int, Place]] = field(default_factory=list)

    def root(self, axis: int) -> int:
        while self.parent[axis] != axis:
            axis = self.parent[axis]
        return axis

    def tie(self, first: int, second: int) -> None:
        self.parent[self.root(first)] = self.root(second)

    def fix(self, *axes: int) -> None:
        self.fixed.update(axes)


def orders(
    network: Network, shapes: Mapping[tuple[str, str], SharedShape], tensors: Mapping[str, Tensor]
) -> Iterator[tuple[Tensor, tuple[Place, ...]]]:
    """Per set of tied channel axes: the channels by falling importance, and the tensors to be put into that order.

    Importance is the sum of absolute weights that read a channel. Left as they are: inputs and outputs of the network,
    channels of group convolutions and of concatenations, and of weights that several nodes share.
    """
    axes = _tied(network, shapes)
    fixed = {axes.root(axis) for axis in axes.fixed}
    for axis in sorted({axes.root(i) for i in range(len(network.nodes))} - fixed):
        readers = [place for of, place in axes.reads if axes.root(of) == axis]
        if not readers:
            continue
        count = network.nodes[axis].shape[0]
        importance = torch.zeros(count, dtype=torch.float64)
        for name, position in readers:
            weight = tensors[name].detach().movedim(position, 0)[:count]
            importance += weight.abs().flatten(1).sum(1).double().cpu()
        writers = [place for of, place in axes.writes if axes.root(of) == axis]
        yield importance.argsort(descending=True, stable=True), tuple(dict.fromkeys([*readers, *writers]))


def sort_channels(supernet: Supernet, network: Network, followers: tuple[Mapping[str, Tensor], ...] = ()) -> None:
    """Sort the channels of all layers of `network`, the largest, in place.

    What it computes stays the same, unless N:M patterns choose its zeros along the channels that are sorted.

    followers: other tensors by the same names, such as momentum, that are put into the same order.
    """
    with torch.no_grad():
        for order, places in list(orders(network, supernet.shapes, supernet.tensors)):
            for name, position in places:
                for tensors in (supernet.tensors, *followers):
                    if name in tensors:
                        part = tensors[name].narrow(position, 0, len(order))
                        part.copy_(part.index_select(position, order.to(part.device)).clone())


def _tied(network: Network, shapes: Mapping[tuple[str, str], SharedShape]) -> _Axes:
    axes = _Axes(list(range(len(network.nodes))))
    axes.fix(*(index for _, index in network.outputs))
    shared = {node.weights_path for node in network.nodes if node.weights_path != node.name}
    for index, node in enumerate(network.nodes):
        shape = shapes.get((node.weights_path, type(node.op).__name__))
        if node.weights_path in shared or (shape is not None and len(shape.segments.sizes) != 1):
            axes.fix(index, *node.inputs)
        elif isinstance(node.op, Conv | Linear) and shape is not None:
            _convolution(axes, network, index, shape)
        elif isinstance(node.op, _KEEPS_CHANNELS):
            axes.tie(index, node.inputs[0])
            if shape is not None:
                axes.writes += [(index, (f"{shape.prefix}.{name}", 0)) for name, _ in shape.tensors]
        elif isinstance(node.op, Add | Multiply) and _same_channels(network, node):
            for source in node.inputs:
                axes.tie(index, source)
        elif isinstance(node.op, Flatten) and node.shape[0] == network.nodes[node.inputs[0]].shape[0]:
            axes.tie(index, node.inputs[0])
        else:
            axes.fix(index, *node.inputs)
    return axes


def _convolution(axes: _Axes, network: Network, index: int, shape: SharedShape) -> None:
    node = network.nodes[index]
    source = node.inputs[0]
    channels = network.nodes[source].shape[0]
    group_size = node.op.group_size if isinstance(node.op, Conv) else channels
    dense = group_size == channels
    depthwise = group_size == 1 and node.shape[0] == channels
    weight = f"{shape.prefix}.weight"
    if shape.block == (1, 1) and depthwise:
        axes.tie(index, source)
    elif (shape.block is None and depthwise) or (dense and _stored_whole(shape)):
        axes.reads.append((source, (weight, 1)))
        if depthwise and not dense:
            axes.tie(index, source)
    else:
        axes.fix(index, source)
    axes.writes += [(index, (f"{shape.prefix}.{name}", 0)) for name, _ in shape.tensors]


def _stored_whole(shape: SharedShape) -> bool:
    """Whether the storage holds every pair of output and input."""
    return shape.block is None or shape.block[1] == sum(shape.segments.sizes)


def _same_channels(network: Network, node: Node) -> bool:
    return all(network.nodes[source].shape[0] == node.shape[0] for source in node.inputs)
