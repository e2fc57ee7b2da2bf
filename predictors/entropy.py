"""Entropy and effectiveness of a convolutional network, known without weights or data.

Source: Shen et al., DeepMAD: Mathematical Architecture Design for Deep Convolutional Neural Network, CVPR 2023.
The logarithms of square roots are taken, as in the authors' program: half of what the paper's formula gives.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import Conv

LAST_STAGE_WEIGHT = 8.0
"""The weight of the last stage; every earlier one weighs 1 (the authors' configurations)."""


@dataclass(frozen=True, slots=True)
class StageEntropy:
    """A stage with everything before it: its output, depth in convolutions, entropy and effectiveness.

    `entropy` is log(channels x positions) times the sum over convolutions of log sqrt(c k^2 / g);
    `effectiveness` is depth over the geometric mean of c k^2.
    """

    channels: int
    positions: int
    depth: int
    entropy: float
    effectiveness: float


@dataclass(frozen=True, slots=True)
class NetworkEntropy:
    """Weighted sum of the stages' entropies, the worst effectiveness (depth over width), and the stages."""

    entropy: float
    effectiveness: float
    stages: tuple[StageEntropy, ...]

    @property
    def depth(self) -> int:
        """Convolutions on the deepest path."""
        return self.stages[-1].depth


@dataclass(frozen=True, slots=True)
class _Layer:
    channels: int
    positions: int
    entropy: float
    width: float


def stage_weights(stages: int) -> tuple[float, ...]:
    """1 for every stage but the last, which weighs 8."""
    return (1.0,) * (stages - 1) + (LAST_STAGE_WEIGHT,)


def network_entropy(network: Network, *, weights: Sequence[float] | None = None) -> NetworkEntropy:
    """Entropy of the deepest chain of convolutions from the input to an output; shortcuts beside it do not count.

    A stage is what leads to outputs of one size, block by block: the convolution that opens a block with a stride
    belongs to the stage behind the block. `weights` has one entry per stage, `stage_weights` by default. Raises
    NasError for a network without convolutions and for a wrong number of weights.
    """
    layers = _layers(network)
    if not layers:
        raise NasError("entropy is a figure of convolutional networks; this one has no convolution")
    grouped = [list(group) for _, group in groupby(layers, key=lambda layer: layer.positions)]
    chosen = stage_weights(len(grouped)) if weights is None else tuple(weights)
    if len(chosen) != len(grouped):
        raise NasError(f"entropy: {len(chosen)} weights for {len(grouped)} stages; give one weight per stage")
    stages = []
    depth, entropy, width = 0, 0.0, 0.0
    for group in grouped:
        depth += len(group)
        entropy += sum(layer.entropy for layer in group)
        width += sum(layer.width for layer in group)
        channels, positions = group[-1].channels, group[-1].positions
        effectiveness = depth / math.exp(width / depth)
        stages.append(StageEntropy(channels, positions, depth, math.log(channels * positions) * entropy, effectiveness))
    total = sum(weight * stage.entropy for weight, stage in zip(chosen, stages, strict=True))
    return NetworkEntropy(total, max(stage.effectiveness for stage in stages), tuple(stages))


def _layers(network: Network) -> list[_Layer]:
    """The convolutions of the deepest path in order, each with the output of the block it stands in."""
    path = _deepest_path(network)
    blocks = {scope.path for scope in network.scopes if scope.block is not None}
    unit = {i: _unit(network.nodes[i].name, blocks) for i in path}
    shapes = {unit[i]: network.nodes[i].shape for i in path}
    layers = []
    for i in path:
        node = network.nodes[i]
        if isinstance(node.op, Conv):
            (channels_in, *_), *_ = network.input_shapes(node)
            taps = math.prod(node.op.kernel)
            channels, *spatial = shapes[unit[i]]
            entropy = math.log(node.op.group_size * taps) / 2
            layers.append(_Layer(channels, math.prod(spatial), entropy, math.log(channels_in * taps)))
    return layers


def _unit(name: str, blocks: set[str]) -> str:
    """The outermost block around the node called `name`, else the node itself."""
    parts = name.split(".")
    paths = (".".join(parts[:n]) for n in range(1, len(parts)))
    return next((path for path in paths if path in blocks), name)


def _deepest_path(network: Network) -> list[int]:
    """Node indices of the path with most convolutions, of equal ones that with the most entropy."""
    best: dict[int, tuple[int, float]] = {}
    before: dict[int, int] = {}
    for i in network.inference_nodes:
        node = network.nodes[i]
        reached = (0, 0.0)
        if node.inputs:
            before[i] = max(node.inputs, key=best.__getitem__)
            reached = best[before[i]]
        if isinstance(node.op, Conv):
            taps = math.prod(node.op.kernel)
            reached = (reached[0] + 1, reached[1] + math.log(node.op.group_size * taps))
        best[i] = reached
    ends = [index for name, index in network.outputs if name not in network.training_only]
    path = [max(ends, key=best.__getitem__)]
    while path[-1] in before:
        path.append(before[path[-1]])
    return path[::-1]
