"""Batch statistics of one subnet, recalibrated, and its error with them."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from nas.modules import Mode, Weights, execute
from nas.tasks.protocol import Batch, Task
from nas.tasks.transforms import resize
from search_spaces.network import Network
from search_spaces.operators import BatchNorm

Statistics = dict[str, dict[str, Tensor]]


def calibrate(network: Network, weights: Weights, batches: Iterable[Batch]) -> Statistics:
    """Running statistics of every batch norm of `network`: the average over `batches`, started from zero.

    Returns {weight path: {"running_mean": [channels], "running_var": [channels]}}; empty, without running
    anything, for a network that has no batch statistics.
    """
    statistics: Statistics = {}
    for node in network.nodes:
        if isinstance(node.op, BatchNorm):
            scale = weights[node.weights_path]["weight"]
            statistics[node.weights_path] = {
                "running_mean": torch.zeros_like(scale, requires_grad=False),
                "running_var": torch.zeros_like(scale, requires_grad=False),
            }
    if not statistics:
        return {}
    joined = with_statistics(weights, statistics)
    with torch.inference_mode():
        for number, (images, _) in enumerate(batches, start=1):
            execute(network, joined, fitted(images, network), mode=Mode(batch_statistics=True, momentum=1 / number))
    return statistics


def with_statistics(weights: Weights, statistics: Weights) -> dict[str, dict[str, Tensor]]:
    """`weights` with the running `statistics` beside them."""
    return {path: {**tensors, **statistics.get(path, {})} for path, tensors in weights.items()}


def fitted(images: Tensor, network: Network) -> Tensor:
    """`images` [n, C, *spatial] resized to the resolution of `network`."""
    return resize(images, network.input.shape[1])


def error_of(network: Network, weights: Weights, task: Task, batches: Iterable[Batch]) -> float:
    """Share of wrong answers of `network`, whose `weights` hold running statistics, over `batches`."""
    wrong, total = 0.0, 0
    with torch.inference_mode():
        for images, target in batches:
            outputs: dict[str, Any] = execute(network, weights, fitted(images, network))
            wrong += task.metric(next(iter(outputs.values())), target)
            total += len(target)
    return wrong / total
