"""Batch statistics of one subnet, recalibrated, and its error with them."""

from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from nas.masks import masked
from nas.modules import Mode, Weights, execute
from nas.tasks.protocol import Batch
from nas.tasks.transforms import resize
from search_spaces.network import Network
from search_spaces.operators import BatchNorm, Conv, Linear

Statistics = dict[str, dict[str, Tensor]]
"""{weight path: {"running_mean": [channels], "running_var": [channels]}}."""


class Judge(Protocol):
    """As much of a task as judging answers takes."""

    @property
    def metric(self) -> Callable[[Tensor, Tensor], float]:
        """(output, target) of a batch to its errors, summed up."""


def calibrate(network: Network, weights: Weights, batches: Iterable[Batch]) -> Statistics:
    """Running statistics of every batch norm of `network`: the average over `batches`, from zero.

    A batch norm that several nodes share takes the average over them, too.

    Empty, without running anything, for a network that has no batch statistics.
    """
    statistics: Statistics = {}
    for node in network.nodes:
        if isinstance(node.op, BatchNorm) and node.weights_path in statistics:
            statistics[node.weights_path].setdefault("uses", torch.zeros(()))
        elif isinstance(node.op, BatchNorm):
            scale = weights[node.weights_path]["weight"]
            statistics[node.weights_path] = {
                "running_mean": torch.zeros_like(scale, requires_grad=False),
                "running_var": torch.zeros_like(scale, requires_grad=False),
            }
    if not statistics:
        return {}
    with torch.inference_mode():
        ready = with_statistics(_with_zeros(network, weights), statistics)
        for number, (images, _) in enumerate(batches, start=1):
            mode = Mode(batch_statistics=True, momentum=1 / number, zeros_applied=True)
            execute(network, ready, fitted(images, network), mode=mode)
    return {path: {name: t for name, t in of.items() if name != "uses"} for path, of in statistics.items()}


def with_statistics(weights: Weights, statistics: Weights) -> dict[str, dict[str, Tensor]]:
    """`weights` with the running `statistics` beside them."""
    return {path: {**tensors, **statistics.get(path, {})} for path, tensors in weights.items()}


def fitted(images: Tensor, network: Network) -> Tensor:
    """Images [n, C, *spatial] at the resolution of `network`; planar ones in channels_last memory."""
    if images.ndim != 4:
        return images
    height, width = network.input.shape[1:]
    return resize(images, (height, width)).contiguous(memory_format=torch.channels_last)


def error_of(network: Network, weights: Weights, task: Judge, batches: Iterable[Batch]) -> float:
    """Share of wrong answers of `network`, whose `weights` hold running statistics, over `batches`."""
    wrong, total = 0.0, 0
    with torch.inference_mode():
        ready = _with_zeros(network, weights)
        mode = Mode(zeros_applied=True)
        for images, target in batches:
            outputs = execute(network, ready, fitted(images, network), mode=mode)
            wrong += task.metric(next(iter(outputs.values())), target)
            total += len(target)
    return wrong / total


def _with_zeros(network: Network, weights: Weights) -> dict[str, dict[str, Tensor]]:
    """`weights` as plain dense tensors, zero where sparsity drops them: what is the same for all batches."""
    ready = {path: dict(tensors) for path, tensors in weights.items()}
    for node in network.nodes:
        if isinstance(node.op, (Conv, Linear)) and node.name == node.weights_path:
            own = ready[node.weights_path]
            own["weight"] = masked(own["weight"], node.op.sparsity).contiguous()
    return ready
