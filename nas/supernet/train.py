"""Sandwich training with in-place distillation (BigNAS, Yu et al. 2020).

Each step trains the largest subnet on the labels and a few random ones and the smallest on the largest one's soft
answers; the gradients add up to one optimiser step. Random subnets, batches and augmentation depend on (seed, step)
alone, so that training resumes exactly.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.supernet.calibrate import calibrate, error_of, fitted, with_statistics
from nas.supernet.checkpoint import joined, load_checkpoint, save_checkpoint, split
from nas.supernet.weights import Supernet
from nas.tasks.protocol import Batch, Task
from search_spaces.errors import NasError
from search_spaces.network import Network

LOGGER = logging.getLogger("nas.supernet")
CHECKPOINT_SECONDS = 60.0
LEARNING_RATE_FLOOR = 0.05
PROBED_STEPS = 2
QUICK_IMAGES = 1000
QUICK_CALIBRATION = (1, 256)
Draw = Callable[[np.random.Generator], Network]


@dataclass(frozen=True)
class TrainSettings:
    """How the supernet is trained; `precision` "auto" takes bf16 where a few timed steps gain from it."""

    epochs: int = 20
    batch_size: int = 128
    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    label_smoothing: float = 0.1
    warmup_epochs: float = 1.0
    random_subnets: int = 2
    momentum: float = 0.9
    clip_norm: float = 5.0
    ema: float | None = None
    precision: str = "auto"
    seed: int = 0


@dataclass(frozen=True)
class Subnets:
    """The networks of the sandwich; `draw` gives a random one, `middle` is watched beside the extremes."""

    largest: Network
    smallest: Network
    middle: Network
    draw: Draw


@dataclass
class _State:
    """What a checkpoint holds beside tensors."""

    epoch: int = 0
    step: int = 0
    bf16: bool = False
    seconds: float = 0.0
    loss_sum: float = 0.0
    finished: bool = False
    settings: dict[str, Any] | None = None
    data: str = ""
    curve: list[dict[str, float | int | None]] = field(default_factory=list)


class Trainer:
    """One training, from its start or from its last checkpoint in `folder`."""

    def __init__(self, supernet: Supernet, subnets: Subnets, task: Task, settings: TrainSettings, folder: Path) -> None:
        self.supernet, self.subnets, self.task = supernet, subnets, task
        self.settings, self.folder = settings, folder
        self.optimiser = torch.optim.SGD(
            _parameter_groups(supernet, settings.weight_decay),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=True,
            foreach=True,
        )
        self.average: dict[str, Tensor] = {}
        self.state = _State(settings=asdict(settings), data=task.fingerprint)
        self._restore()

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return self.task.steps_per_epoch(self.settings.batch_size)

    @property
    def curve(self) -> Sequence[Mapping[str, float | int | None]]:
        """One row per finished epoch: epoch, seconds, loss, and quick validation errors."""
        return tuple(self.state.curve)

    @property
    def steps_done(self) -> int:
        """Optimiser steps behind the present weights."""
        return self.state.epoch * self.steps_per_epoch + self.state.step

    def trained_tensors(self) -> dict[str, Tensor]:
        """The weights to use: their moving average where one is kept."""
        return self.average if self.settings.ema is not None else self.supernet.tensors

    def run(self, *, advance: Callable[[float, str], None], deadline: float | None = None) -> bool:
        """Train to the end, or until `deadline` (`time.monotonic()`); tell whether the end was reached.

        `advance(steps, note)` hears of progress. Raises NasError when the loss is no longer finite; the last
        checkpoint stays.
        """
        if self.state.finished:
            return True
        if self.settings.precision == "auto" and self.state.epoch == self.state.step == 0:
            self.state.bf16 = self._gains_from_bf16()
        elif self.settings.precision != "auto":
            self.state.bf16 = self.settings.precision == "bf16"
        started, base, saved = time.monotonic(), self.state.seconds, time.monotonic()
        while self.state.epoch < self.settings.epochs:
            for batch in self._batches():
                loss = self._step(batch)
                self.state.step += 1
                self.state.loss_sum += loss
                self.state.seconds = base + time.monotonic() - started
                advance(1.0, f"epoch {self.state.epoch + 1}/{self.settings.epochs}, loss {loss:.3f}")
                if deadline is not None and time.monotonic() > deadline:
                    self.save()
                    return False
                if time.monotonic() - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = time.monotonic()
            self._end_epoch()
            self.state.seconds = base + time.monotonic() - started
            self.save()
            saved = time.monotonic()
        self.state.finished = True
        self.save()
        return True

    def step_seconds(self, steps: int = 3) -> float:
        """Seconds of one training step, timed without changing any weight."""
        times = []
        for step, batch in zip(range(steps + 1), self._batches(), strict=False):
            started = time.perf_counter()
            self._gradients(batch, step)
            times.append(time.perf_counter() - started)
        self.optimiser.zero_grad(set_to_none=True)
        return float(np.mean(times[1:] or times))

    def _batches(self) -> Any:
        return self.task.train_batches(
            self.settings.batch_size, seed=self.settings.seed, epoch=self.state.epoch, start=self.state.step
        )

    def _step(self, batch: Batch) -> float:
        position = self.state.epoch * self.steps_per_epoch + self.state.step
        rate = learning_rate(self.settings, position, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss = self._gradients(batch, position)
        torch.nn.utils.clip_grad_norm_(list(self.supernet.tensors.values()), self.settings.clip_norm, foreach=True)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.settings.ema is not None:
            self._track_average(position)
        return loss

    def _gradients(self, batch: Batch, position: int) -> float:
        """Add up the gradients of one sandwich; the loss of the largest subnet."""
        images, target = batch
        output = self._forward(self.subnets.largest, images)
        loss = self.task.loss(output, target, label_smoothing=self.settings.label_smoothing)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise NasError(
                f"training diverged: the loss is {value} in epoch {self.state.epoch + 1}. Lower "
                f"supernet.learning_rate (now {self.settings.learning_rate}) or raise supernet.warmup_epochs (now "
                f"{self.settings.warmup_epochs}); the last checkpoint in {self.folder} is intact"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        soft = functional.softmax(output.detach(), dim=1)
        rng = np.random.default_rng([self.settings.seed, position])
        students = [self.subnets.draw(rng) for _ in range(self.settings.random_subnets)]
        for network in (*students, self.subnets.smallest):
            functional.cross_entropy(self._forward(network, images), soft).backward()  # type: ignore[no-untyped-call]
        return value

    def _forward(self, network: Network, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=self.state.bf16):
            outputs = self.supernet.forward(fitted(images, network), network)
        return next(iter(outputs.values())).float()

    def _gains_from_bf16(self) -> bool:
        seconds = {False: math.inf, True: math.inf}
        for precision in (False, True, False, True):
            self.state.bf16 = precision
            seconds[precision] = min(seconds[precision], self.step_seconds(PROBED_STEPS))
        return seconds[True] < 0.95 * seconds[False]

    def _track_average(self, position: int) -> None:
        decay = min(self.settings.ema or 0.0, (1 + position) / (10 + position))
        with torch.no_grad():
            for name, tensor in self.supernet.tensors.items():
                self.average.setdefault(name, tensor.detach().clone()).lerp_(tensor.detach(), 1 - decay)

    def _end_epoch(self) -> None:
        errors = self._quick_errors()
        row: dict[str, float | int | None] = {
            "epoch": self.state.epoch + 1,
            "seconds": round(self.state.seconds, 1),
            "loss": self.state.loss_sum / max(1, self.state.step),
            **errors,
        }
        self.state.curve.append(row)
        LOGGER.info("epoch %s", row)
        self.state.epoch += 1
        self.state.step, self.state.loss_sum = 0, 0.0

    def _quick_errors(self) -> dict[str, float]:
        """Validation errors of the watched subnets on at most 1,000 images."""
        errors = {}
        for name in ("largest", "middle", "smallest"):
            network: Network = getattr(self.subnets, name)
            with torch.no_grad():
                weights = self.supernet.weights_for(network)
            statistics = calibrate(network, weights, self.task.calibration_batches(*QUICK_CALIBRATION))
            batches = self.task.validation_batches(QUICK_IMAGES)
            first = next(iter(batches))
            errors[f"error_{name}"] = error_of(network, with_statistics(weights, statistics), self.task, [first])
        return errors

    def save(self) -> None:
        """Write a checkpoint of the present state."""
        momentum = {
            name: self.optimiser.state[tensor]["momentum_buffer"]
            for name, tensor in self.supernet.tensors.items()
            if self.optimiser.state.get(tensor, {}).get("momentum_buffer") is not None
        }
        tensors = joined(weights=self.supernet.tensors, momentum=momentum, average=self.average)
        save_checkpoint(self.folder, tensors, asdict(self.state))

    def _restore(self) -> None:
        found = load_checkpoint(self.folder)
        if found is None:
            return
        tensors, state = found
        now = asdict(self.settings)
        changed = [key for key in now if (state["settings"] or {}).get(key) != now[key]]
        if changed or state["data"] != self.task.fingerprint:
            what = f"supernet.{', supernet.'.join(changed)}" if changed else "the data"
            raise NasError(
                f"the checkpoint in {self.folder} was trained with other settings ({what}): restore them, or choose "
                "another --name"
            )
        self.supernet.load(split(tensors, "weights"))
        for name, buffer in split(tensors, "momentum").items():
            self.optimiser.state[self.supernet.tensors[name]]["momentum_buffer"] = buffer
        self.average = split(tensors, "average")
        self.state = _State(**state)


def learning_rate(settings: TrainSettings, position: int, steps_per_epoch: int) -> float:
    """Rate of optimiser step `position`: linear warm-up, then a cosine that ends at 5 % of the peak."""
    total = settings.epochs * steps_per_epoch
    warm = min(total - 1, round(settings.warmup_epochs * steps_per_epoch))
    if position < warm:
        return settings.learning_rate * (position + 1) / warm
    share = (position - warm) / max(1, total - warm)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return settings.learning_rate * max(LEARNING_RATE_FLOOR, cosine)


def _parameter_groups(supernet: Supernet, weight_decay: float) -> list[dict[str, Any]]:
    """Weights of convolutions and products decay; biases and scales do not."""
    decayed = [tensor for tensor in supernet.tensors.values() if tensor.ndim > 1]
    kept = [tensor for tensor in supernet.tensors.values() if tensor.ndim <= 1]
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def load_trained(supernet: Supernet, folder: Path) -> bool:
    """Load the trained weights of `folder` into `supernet`; whether training had reached its end.

    Raises NasError when there is no checkpoint.
    """
    found = load_checkpoint(folder)
    if found is None:
        raise NasError(f"{folder} holds no trained weights; run `nas train` first")
    tensors, state = found
    averaged = split(tensors, "average")
    supernet.load(averaged or split(tensors, "weights"))
    return bool(state["finished"])
