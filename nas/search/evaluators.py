"""Ways to evaluate an architecture: with shared weights, by the user's function, by training it, or not at all.

All are plain data: arrays travel to workers once, read-only and without copies.
"""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nas.search.problem import Buildable
from nas.search.screening import SHARE, hopeless
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from torch import Tensor

    from nas.modules import Weights
    from nas.supernet.members import Assignment
    from nas.supernet.shapes import Key, SharedShape
    from nas.supernet.weights import Supernet
    from nas.tasks.protocol import Batch, Task

UserFunction = Callable[..., Mapping[str, float]]
Metric = Callable[["Tensor", "Tensor"], float]


@dataclass(frozen=True)
class Arrays:
    """One batch: images [n, *spatial, C] float32, which a torch view turns into channels_last, and targets [n, ...]."""

    images: NDArray[np.float32]
    targets: NDArray[np.int64]

    @classmethod
    def of(cls, batch: "Batch") -> "Arrays":
        """The arrays of a torch batch [n, C, *spatial]."""
        images, targets = batch
        return cls(images.movedim(1, -1).contiguous().numpy(), targets.contiguous().numpy())

    def tensors(self) -> "Batch":
        """The torch batch [n, C, *spatial] that shares this memory."""
        return _tensor(self.images).movedim(-1, 1), _tensor(self.targets)


def arrays_of(batches: "Iterable[Batch]") -> tuple[Arrays, ...]:
    """Batches as arrays, to be put into an evaluator."""
    return tuple(Arrays.of(batch) for batch in batches)


@dataclass(frozen=True)
class SupernetEvaluator:
    """Validation error of a subnet with inherited weights, its batch statistics recalibrated.

    shapes, tensors: of the trained supernet. calibration: fixed training batches. validation: the whole validation
    part. metric: (output, target) to the errors summed over a batch. assignment: which of several sets of weights
    serves a network.
    """

    space: Buildable
    shapes: "Mapping[Key, SharedShape]"
    tensors: Mapping[str, NDArray[np.float32]]
    calibration: tuple[Arrays, ...]
    validation: tuple[Arrays, ...]
    metric: Metric | None = None
    assignment: "Assignment | None" = None

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_supernet"}

    def setup(self) -> None:
        """Make the supernet around the shared arrays."""
        from nas.allocator import keep_freed_memory

        keep_freed_memory()
        assert self._supernet.tensors.keys() == self.tensors.keys()

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """{"error": share of wrong answers}; nothing is random, so `seed` changes nothing."""
        from nas.supernet.calibrate import error_of

        network, weights, judge = self._ready(architecture)
        return {"error": error_of(network, weights, judge, (batch.tensors() for batch in self.validation))}

    def evaluate_until(self, architecture: Architecture, seed: int, bar: float) -> dict[str, float]:
        """The same, or the error on the first batches once it surely is above `bar`, with their share of all images.

        Only answers that are right or wrong can be tested so: with a metric of its own all batches are evaluated.
        """
        from nas.supernet.calibrate import error_of

        if self.metric is not None:
            return self.evaluate(architecture, seed)
        network, weights, judge = self._ready(architecture)
        images = sum(len(batch.targets) for batch in self.validation)
        wrong = seen = 0
        for batch in self.validation:
            count = len(batch.targets)
            wrong += round(count * error_of(network, weights, judge, [batch.tensors()]))
            seen += count
            if seen < images and hopeless(wrong, seen, bar):
                return {"error": wrong / seen, SHARE: seen / images}
        return {"error": wrong / images}

    def _ready(self, architecture: Architecture) -> "tuple[Network, Weights, Any]":
        """The network with its weights and recalibrated statistics, and who judges it."""
        from nas.supernet.calibrate import calibrate, with_statistics

        network = self.space.build(architecture)
        weights = self._supernet.weights_for(network)
        statistics = calibrate(network, weights, (batch.tensors() for batch in self.calibration))
        return network, with_statistics(weights, statistics), _Judge(self.metric or wrong_answers)

    @cached_property
    def _supernet(self) -> "Supernet":
        from nas.supernet.weights import Supernet

        supernet = Supernet({})
        supernet.shapes = dict(self.shapes)
        supernet.tensors = {name: _tensor(array) for name, array in self.tensors.items()}
        supernet.assignment = self.assignment
        return supernet


def supernet_evaluator(
    supernet: "Supernet",
    space: Buildable,
    task: "Task",
    *,
    tensors: "Mapping[str, Tensor] | None" = None,
    calibration: tuple[int, int] = (4, 256),
    validation_batch: int = 256,
    metric: Metric | None = None,
) -> SupernetEvaluator:
    """The evaluator of a trained supernet on the validation part of `task`.

    tensors: the weights to use, by default the supernet's own (its moving average may stand in). calibration: number
    and size of the training batches. metric: `None` for the task's own, else the wrong answers of a classifier.
    """
    used = supernet.tensors if tensors is None else tensors
    return SupernetEvaluator(
        space=space,
        shapes=dict(supernet.shapes),
        tensors={name: tensor.detach().cpu().contiguous().numpy() for name, tensor in used.items()},
        calibration=arrays_of(task.calibration_batches(*calibration)),
        validation=arrays_of(task.validation_batches(validation_batch)),
        metric=getattr(task, "own_metric", None) if metric is None else metric,
        assignment=supernet.assignment,
    )


@dataclass(frozen=True)
class FunctionEvaluator:
    """The user's own function: `evaluate(arch)` to a dict of figures.

    A function that also has parameters called `network` or `seed` is given the built network and the seed by name.
    """

    function: UserFunction
    space: Buildable | None = None

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> Mapping[str, float]:
        """What the function returns."""
        extra: dict[str, Any] = {}
        if "seed" in self._wanted:
            extra["seed"] = seed
        if "network" in self._wanted:
            if self.space is None:
                raise NasError("evaluate asks for the network, but no space was given to build it")
            extra["network"] = self.space.build(architecture)
        return self.function(architecture, **extra)

    @cached_property
    def _wanted(self) -> frozenset[str]:
        try:
            return frozenset(list(inspect.signature(self.function).parameters)[1:])
        except (TypeError, ValueError):
            return frozenset()


@dataclass(frozen=True)
class HardwareOnly:
    """Evaluates nothing: every objective and limit is counted or predicted."""

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """No figures."""
        return {}


@dataclass(frozen=True)
class TrainingEvaluator:
    """Validation error of each architecture after a training of its own, from its own initial weights.

    SGD with Nesterov momentum, one epoch of warm-up (at most a fifth of the training), then a cosine that does not fall
    below 5 % of the rate, as supernets are trained.
    """

    space: Buildable
    task: "Task"
    epochs: int = 3
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    momentum: float = 0.9
    validation_batch: int = 256

    def setup(self) -> None:
        """Make repeated steps cheap for the memory allocator."""
        from nas.allocator import keep_freed_memory

        keep_freed_memory()

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """{"error": share of wrong answers}; `seed` gives the initial weights, the order and the augmentation."""
        from nas.supernet.alone import train_alone
        from nas.supernet.calibrate import error_of
        from nas.supernet.train import TrainSettings

        network = self.space.build(architecture)
        settings = TrainSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
            label_smoothing=self.label_smoothing,
            momentum=self.momentum,
            warmup_epochs=min(1.0, self.epochs / 5),
        )
        weights = train_alone(network, self.task, settings, seed=seed)
        return {"error": error_of(network, weights, self.task, self.task.validation_batches(self.validation_batch))}


def wrong_answers(output: "Tensor", target: "Tensor") -> float:
    """How many of n logits [n, classes] miss labels [n]; those that are not finite are wrong."""
    wrong = (output.argmax(1) != target) | ~output.isfinite().all(1)
    return float(wrong.sum())


@dataclass(frozen=True)
class _Judge:
    """As much of a task as is needed to sum up errors."""

    metric: Metric


def _tensor(array: NDArray[Any]) -> "Tensor":
    """A torch view of an array, which may be read-only: nothing here writes to it."""
    import warnings

    import torch

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
