"""Training of the supernet: schedule, optimiser, checkpoints, exact resume, and the training curve.

Random subnets, batches, augmentation and dropout depend on (seed, step) alone, so that a training
that was killed goes on from its last checkpoint as if nothing had happened.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nas.allocator import keep_freed_memory
from nas.supernet.calibrate import calibrate, error_of, with_statistics
from nas.supernet.checkpoint import joined, load_checkpoint, save_checkpoint, split
from nas.supernet.interrupts import deferred_interrupt
from nas.supernet.sandwich import Draw, Sandwich, Subnets
from nas.supernet.weights import Supernet
from nas.tasks.protocol import Batch, Task
from search_spaces.errors import NasError
from search_spaces.network import Network

__all__ = ["Draw", "Subnets", "TrainSettings", "Trainer", "learning_rate", "load_trained"]

LOGGER = logging.getLogger("nas.supernet")
CHECKPOINT_SECONDS = 60.0
LEARNING_RATE_FLOOR = 0.05
PROBED_STEPS = 2
WORTHWHILE = 0.95
QUICK_IMAGES = 1000
WATCHED = 3
QUICK_CALIBRATION = (1, 256)


@dataclass(frozen=True)
class TrainSettings:
    """How the supernet is trained.

    Rates are those of SGD with Nesterov momentum: linear warm-up, then a cosine that does not fall
    below 5 % of the peak. `weight_decay` spares biases and norms. `clip_norm` bounds the norm of the
    summed gradients. `ema` is the decay of a moving average of the weights. `precision` is "fp32",
    "bf16", or "auto": bf16 where a few timed steps gain from it.
    """

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


@dataclass
class _State:
    """What a checkpoint holds beside tensors."""

    epoch: int = 0
    step: int = 0
    bf16: bool | None = None
    seconds: float = 0.0
    loss_sum: float = 0.0
    finished: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    curve: list[dict[str, float | int]] = field(default_factory=list)


class Trainer:
    """One training, from its start or from its last checkpoint in `folder`.

    Raises `NasError` when that checkpoint was trained with other settings, data or space.
    """

    def __init__(
        self,
        supernet: Supernet,
        subnets: Subnets,
        task: Task,
        settings: TrainSettings,
        folder: Path,
    ) -> None:
        keep_freed_memory()
        self.supernet, self.subnets, self.task = supernet, subnets, task
        self.settings, self.folder = settings, folder
        self.sandwich = Sandwich(
            subnets,
            task,
            random_subnets=settings.random_subnets,
            label_smoothing=settings.label_smoothing,
            seed=settings.seed,
        )
        self.optimiser = torch.optim.SGD(
            _parameter_groups(supernet, settings.weight_decay),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            foreach=True,
        )
        self.average: dict[str, Tensor] = {}
        self.state = _State(settings=asdict(settings), data=task.fingerprint)
        self._stepping = False
        self._restore()

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return self.task.steps_per_epoch(self.settings.batch_size)

    @property
    def curve(self) -> Sequence[Mapping[str, float | int]]:
        """Per finished epoch: epoch, seconds, loss, error_largest, error_middle, error_smallest."""
        return tuple(self.state.curve)

    @property
    def steps_done(self) -> int:
        """Optimiser steps behind the present weights."""
        return self.state.epoch * self.steps_per_epoch + self.state.step

    def trained_tensors(self) -> dict[str, Tensor]:
        """The weights to use: their moving average where one is kept."""
        return self.average or self.supernet.tensors

    def run(self, *, advance: Callable[[float, str], None], deadline: float | None = None) -> bool:
        """Train to the end, or until `deadline` (`time.monotonic()`); tell whether the end was reached.

        `advance(steps, note)` hears of progress. Ctrl-C ends the step under way, saves, and raises
        `KeyboardInterrupt`. Raises `NasError` when loss or gradients are no longer finite; the last
        checkpoint stays.
        """
        if self.state.finished:
            return True
        if self.state.bf16 is None:
            self.choose_precision()
            self.save()
        saved = time.monotonic()
        with deferred_interrupt() as interrupted:
            while self.state.epoch < self.settings.epochs:
                for batch in self._batches():
                    loss = self._step(batch)
                    advance(1.0, f"epoch {self.state.epoch + 1}/{self.settings.epochs}, loss {loss:.3f}")
                    late = deadline is not None and time.monotonic() > deadline
                    if late or interrupted():
                        self.save()
                        if late:
                            return False
                        raise KeyboardInterrupt
                    if time.monotonic() - saved > CHECKPOINT_SECONDS:
                        self.save()
                        saved = time.monotonic()
                self._end_epoch()
                self.save()
                saved = time.monotonic()
        return True

    def choose_precision(self) -> str:
        """Settle on "fp32" or "bf16" as the settings say, by timed steps for "auto", and tell which."""
        self.state.bf16 = self._wants_bf16()
        return "bf16" if self.state.bf16 else "fp32"

    def step_seconds(self, steps: int = 3) -> float:
        """Seconds of one training step, its batch included, timed without changing any weight."""
        times = []
        started = time.perf_counter()
        for step, batch in zip(range(steps + 1), self._batches(), strict=False):
            self._gradients(batch, position=step)
            now = time.perf_counter()
            times.append(now - started)
            started = now
        self.optimiser.zero_grad(set_to_none=True)
        return sum(times[1:] or times) / len(times[1:] or times)

    def epoch_end_seconds(self) -> float:
        """Seconds of what is looked at after each epoch, timed with the present weights."""
        started = time.perf_counter()
        self._quick_error(self.subnets.middle)
        return WATCHED * (time.perf_counter() - started)

    def save(self) -> None:
        """Write a checkpoint of the present state; nothing in the middle of a step."""
        if self._stepping:
            LOGGER.warning("stopped in the middle of a step: the last checkpoint stays")
            return
        momentum = {
            name: self.optimiser.state[tensor]["momentum_buffer"]
            for name, tensor in self.supernet.tensors.items()
            if self.optimiser.state.get(tensor, {}).get("momentum_buffer") is not None
        }
        tensors = joined(weights=self.supernet.tensors, momentum=momentum, average=self.average)
        save_checkpoint(self.folder, tensors, asdict(self.state))

    def _batches(self) -> Any:
        return self.task.train_batches(
            self.settings.batch_size,
            seed=self.settings.seed,
            epoch=self.state.epoch,
            start=self.state.step,
        )

    def _step(self, batch: Batch) -> float:
        self._stepping = True
        started = time.monotonic()
        position = self.steps_done
        rate = learning_rate(self.settings, position, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, norm = self._gradients(batch, position=position)
        if not (math.isfinite(loss) and bool(norm.isfinite())):
            raise self._diverged(loss)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.settings.ema is not None:
            self._track_average(self.settings.ema, position)
        self.state.step += 1
        self.state.loss_sum += loss
        self.state.seconds += time.monotonic() - started
        self._stepping = False
        return loss

    def _gradients(self, batch: Batch, *, position: int) -> tuple[float, Tensor]:
        """Fill the gradients of step `position`, clipped; the loss, and the norm before clipping."""
        loss = self.sandwich.gradients(self.supernet, batch, step=position, bf16=bool(self.state.bf16))
        tensors = list(self.supernet.tensors.values())
        return loss, torch.nn.utils.clip_grad_norm_(tensors, self.settings.clip_norm, foreach=True)

    def _diverged(self, loss: float) -> NasError:
        what = "the gradients are not finite" if math.isfinite(loss) else f"the loss is {loss}"
        return NasError(
            f"training diverged: {what} in epoch {self.state.epoch + 1}, step {self.state.step + 1}. Lower "
            f"supernet.learning_rate (now {self.settings.learning_rate:g}) or raise supernet.warmup_epochs (now "
            f"{self.settings.warmup_epochs:g}); the last checkpoint in {self.folder} is intact"
        )

    def _wants_bf16(self) -> bool:
        """What `precision` says; for "auto", whether steps in bf16 take at most 95 % of the time."""
        if self.settings.precision != "auto":
            return self.settings.precision == "bf16"
        seconds = {False: math.inf, True: math.inf}
        for precision in (False, True, False, True):
            self.state.bf16 = precision
            seconds[precision] = min(seconds[precision], self.step_seconds(PROBED_STEPS))
        LOGGER.info("a step takes %.3f s in fp32, %.3f s in bf16", seconds[False], seconds[True])
        return seconds[True] < WORTHWHILE * seconds[False]

    def _track_average(self, decay: float, position: int) -> None:
        """Move the average; young averages forget faster, so that they do not remember the start."""
        decay = min(decay, (1 + position) / (10 + position))
        with torch.no_grad():
            for name, tensor in self.supernet.tensors.items():
                known = self.average.get(name)
                if known is None:
                    self.average[name] = tensor.detach().clone()
                else:
                    known.lerp_(tensor.detach(), 1 - decay)

    def _end_epoch(self) -> None:
        row: dict[str, float | int] = {
            "epoch": self.state.epoch + 1,
            "seconds": round(self.state.seconds, 1),
            "loss": self.state.loss_sum / max(1, self.state.step),
            "error_largest": self._quick_error(self.subnets.largest),
            "error_middle": self._quick_error(self.subnets.middle),
            "error_smallest": self._quick_error(self.subnets.smallest),
        }
        self.state.curve.append(row)
        LOGGER.info("epoch %s", row)
        self.state.epoch += 1
        self.state.step, self.state.loss_sum = 0, 0.0
        self.state.finished = self.state.epoch >= self.settings.epochs

    def _quick_error(self, network: Network) -> float:
        """Validation error of `network` on the first 1,000 images, with the weights to be used."""
        with torch.no_grad():
            weights = self.supernet.weights_for(network, tensors=self.trained_tensors())
        batches = self.task.calibration_batches(*QUICK_CALIBRATION)
        ready = with_statistics(weights, calibrate(network, weights, batches))
        first = next(iter(self.task.validation_batches(QUICK_IMAGES)))
        return error_of(network, ready, self.task, [first])

    def _restore(self) -> None:
        found = load_checkpoint(self.folder)
        if found is None:
            return
        tensors, state = found
        now = asdict(self.settings)
        changed = [key for key in now if state["settings"].get(key) != now[key]]
        if changed or state["data"] != self.task.fingerprint:
            what = f"supernet.{', supernet.'.join(changed)}" if changed else "the data"
            raise NasError(
                f"the checkpoint in {self.folder} was trained with other settings ({what}): restore them, or "
                "choose another --name"
            )
        self.supernet.load(split(tensors, "weights"))
        for name, buffer in split(tensors, "momentum").items():
            shared = self.supernet.tensors[name]
            self.optimiser.state[shared]["momentum_buffer"] = buffer.to(shared)
        self.average = {
            name: tensor.to(self.supernet.tensors[name]) for name, tensor in split(tensors, "average").items()
        }
        self.state = _State(**state)


def learning_rate(settings: TrainSettings, position: int, steps_per_epoch: int) -> float:
    """Rate of optimiser step `position`: linear warm-up, then a cosine with a floor at 5 % of the peak."""
    total = settings.epochs * steps_per_epoch
    warm = min(total - 1, round(settings.warmup_epochs * steps_per_epoch))
    if position < warm:
        return settings.learning_rate * (position + 1) / warm
    share = (position - warm) / max(1, total - warm)
    cosine = 0.5 * (1 + math.cos(math.pi * share))
    return settings.learning_rate * max(LEARNING_RATE_FLOOR, cosine)


def _parameter_groups(supernet: Supernet, weight_decay: float) -> list[dict[str, Any]]:
    decayed = [tensor for tensor in supernet.tensors.values() if tensor.ndim > 1]
    spared = [tensor for tensor in supernet.tensors.values() if tensor.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": spared, "weight_decay": 0.0}]
    return [group for group in groups if group["params"]]


def load_trained(supernet: Supernet, folder: Path) -> bool:
    """Load the trained weights of `folder` into `supernet`; whether training had reached its end.

    The moving average stands in for the weights where one was kept. Raises `NasError` when there is
    no checkpoint, or it belongs to another space.
    """
    found = load_checkpoint(folder)
    if found is None:
        raise NasError(f"{folder} holds no trained weights; run `nas train` first")
    tensors, state = found
    supernet.load(split(tensors, "average") or split(tensors, "weights"))
    return bool(state["finished"])
