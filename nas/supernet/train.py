"""Training of the supernet: schedule, optimiser, checkpoints, exact resume, and the training curve.

Batches, augmentation and dropout depend on (seed, step) alone, the subnets of a step also on what the rule has learnt
so far, which is part of every checkpoint: a training that was killed goes on as if nothing had happened.
"""

import itertools
import json
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
from nas.supernet.distillation import DISTILLATIONS
from nas.supernet.interrupts import deferred_interrupt
from nas.supernet.lessons import Outcome, Teaching
from nas.supernet.members import Assignment
from nas.supernet.rules import Moment, make_rule
from nas.supernet.rules.gumbel import learnt
from nas.supernet.settings import TrainSettings, learning_rate
from nas.supernet.slicing import is_transform
from nas.supernet.sorting import sort_channels
from nas.supernet.sparse import zeros_at
from nas.supernet.subnets import Draw, Subnets
from nas.supernet.timing import kinds_of_steps
from nas.supernet.weights import Supernet
from nas.tasks.protocol import Batch, Task, class_output
from search_spaces.errors import NasError, unknown_name
from search_spaces.network import Network

__all__ = ["Draw", "Subnets", "TrainSettings", "Trainer", "learning_rate", "load_trained"]

LOGGER = logging.getLogger("nas.supernet")
CHECKPOINT_SECONDS = 60.0
PROBED_STEPS = 2
WORTHWHILE = 0.95
QUICK_IMAGES = 1000
WATCHED = 3
QUICK_CALIBRATION = (1, 256)
FIRST_STEPS = 5
TOO_HIGH, PATIENCE = 4.0, 20
"""Training has diverged when so many steps in a row lose so many times what the first steps lost."""


@dataclass
class _State:
    """What a checkpoint holds beside tensors."""

    epoch: int = 0
    step: int = 0
    bf16: bool | None = None
    seconds: float = 0.0
    loss_sum: float = 0.0
    first_losses: list[float] = field(default_factory=list)
    high_steps: int = 0
    rule: dict[str, Any] = field(default_factory=dict)
    finished: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    data: str = ""
    curve: list[dict[str, float | int]] = field(default_factory=list)


class Trainer:
    """One training, from its start or from its last checkpoint in `folder`.

    Raises `NasError` when that checkpoint was trained with other settings, data or space, and when the networks do not
    fit the data.
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
        _check_fit(subnets, task)
        self.rule = make_rule(settings, subnets, supernet)
        if settings.distillation not in DISTILLATIONS:
            raise unknown_name("distillation", settings.distillation, DISTILLATIONS)
        distil = DISTILLATIONS[settings.distillation]
        self.teaching = Teaching(task, distil, settings.label_smoothing, settings.seed)
        self.optimiser = torch.optim.SGD(
            _parameter_groups(supernet, settings.weight_decay),
            lr=settings.learning_rate,
            momentum=settings.momentum,
            nesterov=settings.momentum > 0,
            foreach=True,
        )
        self.average: dict[str, Tensor] = {}
        self.state = _State(settings=_plain(settings), data=task.fingerprint)
        self._stepping = False
        self._sorts_at = self.rule.shrinks_at(self.steps) if settings.sort_channels else None
        self._restore()

    @property
    def steps_per_epoch(self) -> int:
        """Optimiser steps of one epoch."""
        return self.task.steps_per_epoch(self.settings.batch_size)

    @property
    def steps(self) -> int:
        """Optimiser steps of the whole training."""
        return self.settings.epochs * self.steps_per_epoch

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
        `KeyboardInterrupt`. Raises `NasError` when loss or gradients are no longer finite, or the loss stays several
        times as high as it was at the start; the last checkpoint from before stays.
        """
        if self.state.finished:
            return True
        if self.state.bf16 is None:
            self.choose_precision()
            self.save()
        saved = time.monotonic()
        with deferred_interrupt() as interrupted:
            while self.state.epoch < self.settings.epochs:
                loss = 0.0
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
                if self.state.high_steps and self.state.epoch + 1 == self.settings.epochs:
                    raise self._diverged(loss)
                self._end_epoch()
                self.save()
                saved = time.monotonic()
        return True

    def choose_precision(self) -> str:
        """Settle on "fp32" or "bf16" as the settings say, by timed steps for "auto", and tell which."""
        self.state.bf16 = self._wants_bf16()
        return "bf16" if self.state.bf16 else "fp32"

    def step_seconds(self, steps: int = 3) -> float:
        """Seconds of one training step, its batch included, timed without changing any weight.

        About `steps` of them, and at least one of each kind, are drawn from all over the training; kinds count as
        often as they come.
        """
        kinds = kinds_of_steps(self.rule, self.subnets.largest, self.steps)
        batches = itertools.chain.from_iterable(self._batches() for _ in itertools.count())
        self._gradients(next(batches), position=kinds[0][0])
        seconds = 0.0
        for positions in kinds:
            share = len(positions) / sum(map(len, kinds))
            timed = positions[: max(1, round(steps * share))]
            started = time.perf_counter()
            for position in timed:
                self._gradients(next(batches), position=position)
            seconds += share * (time.perf_counter() - started) / len(timed)
        self.optimiser.zero_grad(set_to_none=True)
        return seconds

    def epoch_end_seconds(self) -> float:
        """Seconds of what is looked at after each epoch, timed with the present weights."""
        started = time.perf_counter()
        self._quick_error(self.subnets.middle)
        return WATCHED * (time.perf_counter() - started)

    def save(self) -> None:
        """Write a checkpoint of the present state; nothing in the middle of a step, or while the loss is too high."""
        if self._stepping or self.state.high_steps:
            why = "stopped in the middle of a step" if self._stepping else "the loss is far above its start"
            LOGGER.warning("%s: the last checkpoint stays", why)
            return
        self.state.rule = self.rule.state()
        tensors = joined(weights=self.supernet.tensors, momentum=self._momentum(), average=self.average)
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
        if position == self._sorts_at:
            self._sort_channels()
        rate = learning_rate(self.settings, position, self.steps_per_epoch)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        loss, norm, outcomes = self._gradients(batch, position=position)
        if not (math.isfinite(loss) and bool(norm.isfinite())):
            raise self._diverged(loss)
        self._watch(loss)
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)
        if self.rule.listens:
            self.rule.heard(Moment(position, self.steps), outcomes)
        if self.settings.ema is not None:
            self._track_average(self.settings.ema, position)
        self.state.step += 1
        self.state.loss_sum += loss
        self.state.seconds += time.monotonic() - started
        self._stepping = False
        return loss

    def _sort_channels(self) -> None:
        """Sort the largest network's channels by importance; momentum and average follow."""
        sort_channels(self.supernet, self.subnets.largest, (self._momentum(), self.average))

    def _momentum(self) -> dict[str, Tensor]:
        return {
            name: self.optimiser.state[tensor]["momentum_buffer"]
            for name, tensor in self.supernet.tensors.items()
            if self.optimiser.state.get(tensor, {}).get("momentum_buffer") is not None
        }

    def _gradients(self, batch: Batch, *, position: int) -> tuple[float, Tensor, tuple[Outcome, ...]]:
        """Fill the gradients of step `position`, clipped; the loss, the norm before clipping, and the outcomes."""
        moment = Moment(position, self.steps)
        settings = self.settings
        loss, outcomes = self.teaching.gradients(
            self.supernet,
            self.rule.lessons(moment),
            batch,
            step=position,
            bf16=bool(self.state.bf16),
            zeros=zeros_at(
                moment.share,
                gradient=settings.sparsity_gradient,
                schedule=settings.sparsity_schedule,
                start=settings.sparsity_start,
                end=settings.sparsity_end,
            ),
            report=self.rule.listens,
        )
        tensors = list(self.supernet.tensors.values())
        return loss, torch.nn.utils.clip_grad_norm_(tensors, settings.clip_norm, foreach=True), outcomes

    def _watch(self, loss: float) -> None:
        """Count steps in a row whose loss is far above that of the first steps; too many are an error."""
        first = self.state.first_losses
        if len(first) < FIRST_STEPS:
            first.append(loss)
        high = loss > TOO_HIGH * sum(first) / len(first)
        self.state.high_steps = self.state.high_steps + 1 if high else 0
        if self.state.high_steps >= PATIENCE:
            raise self._diverged(loss)

    def _diverged(self, loss: float) -> NasError:
        what = "the gradients are not finite"
        if not math.isfinite(loss):
            what = f"the loss is {loss}"
        elif self.state.high_steps:
            first = sum(self.state.first_losses) / len(self.state.first_losses)
            what = f"the loss is {loss:.3g} after {first:.3g} at the start, and stays high,"
        step = min(self.state.step + 1, self.steps_per_epoch)
        return NasError(
            f"training diverged: {what} in epoch {self.state.epoch + 1}, step {step}. Lower "
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
        now = _plain(self.settings)
        before = {**_plain(TrainSettings()), **state["settings"]}
        changed = [key for key in now if before[key] != now[key]]
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
        self.rule.restore(self.state.rule)


def _plain(settings: TrainSettings) -> dict[str, Any]:
    """Settings as a checkpoint gives them back."""
    plain: dict[str, Any] = json.loads(json.dumps(asdict(settings)))
    return plain


def _check_fit(subnets: Subnets, task: Task) -> None:
    """Raise `NasError` unless networks take the task's inputs and answer for its classes."""
    network = subnets.largest
    shape, wanted = network.input.shape, task.input_shape
    if shape[0] != wanted[0] or len(shape) != len(wanted):
        raise NasError(
            f"the networks of the space take inputs of shape {shape}, but the data has {wanted} (channels, then "
            "extents): build the space for the data's input shape. Only extents may differ; images are resized"
        )
    answers = {name: network.nodes[index].shape[0] for name, index in network.outputs}
    first = next(name for name, _ in network.outputs if name not in network.training_only)
    asked = class_output(task) or first
    if asked not in answers:
        raise NasError(
            f"the networks of the space have outputs {', '.join(answers)}, but the task learns from {asked!r}: take a "
            "space whose networks have it"
        )
    if answers[asked] != task.classes:
        raise NasError(
            f"the networks of the space answer for {answers[asked]} classes, but the data has {task.classes}: build "
            "the space for the data's classes"
        )


def _parameter_groups(supernet: Supernet, weight_decay: float) -> list[dict[str, Any]]:
    free = {name for name, tensor in supernet.tensors.items() if tensor.ndim <= 1 or is_transform(name)}
    decayed = [tensor for name, tensor in supernet.tensors.items() if name not in free]
    spared = [tensor for name, tensor in supernet.tensors.items() if name in free]
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
    assigned = state.get("rule", {}).get("assignment")
    supernet.assignment = None if assigned is None else Assignment.from_json(assigned)
    supernet.likely = learnt(state.get("rule", {}))
    return bool(state["finished"])
