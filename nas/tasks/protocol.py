"""What training, recalibration, search and export ask of a task."""

from collections.abc import Iterator, Mapping
from typing import Any, Protocol, Self

import torch
from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Inputs float32 [n, C, *spatial], normalised, and their targets [n, ...]."""


class Task(Protocol):
    """Data, loss and metric. Only `test_batches` reads the test part."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        """(C, *spatial) of the batches; callers resize to the resolution of their network."""

    @property
    def classes(self) -> int:
        """How many channels the network's output has."""

    @property
    def fingerprint(self) -> str:
        """Hash of the data, the split and the augmentation: equal means the same batches."""

    def to(self, device: torch.device | str) -> Self:
        """Return the same task with its data on `device`."""

    def steps_per_epoch(self, batch_size: int) -> int:
        """Return how many batches `train_batches` yields from its start."""

    def train_batches(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the shuffled, augmented batches of one epoch, from step `start` on.

        Batch k depends on (batch_size, seed, epoch, k) alone, so that training resumes at any step.
        """

    def calibration_batches(self, count: int, size: int) -> Iterator[Batch]:
        """Yield up to `count` fixed, unaugmented training batches of `size`."""

    def validation_batches(self, size: int) -> Iterator[Batch]:
        """Yield the whole validation part, always in the same order; its first batches stand for all of it."""

    def test_batches(self, size: int) -> Iterator[Batch]:
        """Yield the whole test part in order."""

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Return the mean loss of a batch, a scalar that gradients flow through."""

    def metric(self, output: Tensor, target: Tensor) -> float:
        """Return the errors of a batch, summed over it: divided by the images, the error.

        A task whose answers are not just right or wrong has it as `own_metric` too, a callable to hand to workers.
        """


def loss_of(task: Any, outputs: Mapping[str, Tensor], target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
    """Loss of a network's outputs: the task's `joint_loss` where it has one and there are several, else of the first.

    A task with a `joint_loss` (outputs, target, label_smoothing) knows what outputs that serve training only are for.
    """
    joint = getattr(task, "joint_loss", None) if len(outputs) > 1 else None
    if joint is not None:
        loss: Tensor = joint(outputs, target, label_smoothing=label_smoothing)
        return loss
    first: Tensor = task.loss(next(iter(outputs.values())), target, label_smoothing=label_smoothing)
    return first


def class_output(task: Any) -> str | None:
    """Name of the output that has a channel for each class, where that is not the first one used at inference."""
    name: str | None = getattr(task, "class_output", None)
    return name
