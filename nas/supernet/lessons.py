"""One step of training: the lessons that a rule gives, and the gradients that follow from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from nas.modules import Mode, ZeroRule
from nas.supernet.calibrate import fitted
from nas.supernet.choices.mix import Mix
from nas.supernet.distillation import Distillation, soft_labels
from nas.supernet.subnets import Subnet
from nas.supernet.weights import Supernet
from nas.tasks.protocol import Batch, class_output, loss_of


class Judge(Protocol):
    """As much of a task as training takes."""

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss of a batch, a scalar."""

    def metric(self, output: Tensor, target: Tensor) -> float:
        """Errors of a batch, summed over it."""


@dataclass(frozen=True)
class Lesson:
    """One subnet of a step and what it learns from.

    labels: weight of the loss on labels; a subnet that sees labels drops elements, others do not. soft: weight of the
    loss on the soft answers of the step's first lesson, which are constants. member: which set of weights. mix: run in
    place of the subnet, its base, with all options of some choices at once.
    """

    subnet: Subnet
    labels: float = 0.0
    soft: float = 0.0
    member: int = 0
    mix: Mix | None = None


@dataclass(frozen=True)
class Outcome:
    """How a lesson went: loss on the labels, without smoothing, and the share of wrong answers."""

    lesson: Lesson
    loss: float
    error: float


@dataclass(frozen=True)
class Teaching:
    """How lessons become gradients. Dropped elements depend on (seed, step).

    zeros: how gradients pass the zeros of sparse weights, `None` for the plain mask.
    """

    task: Judge
    distil: Distillation = soft_labels
    label_smoothing: float = 0.0
    seed: int = 0

    def gradients(
        self,
        supernet: Supernet,
        lessons: Sequence[Lesson],
        batch: Batch,
        *,
        step: int,
        bf16: bool = False,
        zeros: ZeroRule | None = None,
        report: bool = False,
    ) -> tuple[float, tuple[Outcome, ...]]:
        """Add the gradients of all lessons to those of the shared tensors; the first one's loss, and the outcomes.

        bf16: convolutions and products run in bfloat16. A first loss that is not finite adds nothing. Outcomes are
        empty unless `report` asks for them.
        """
        images, target = batch
        first, *others = lessons
        outcomes: list[Outcome] = []
        labelled = Mode(batch_statistics=True, dropout=True, zeros=zeros)
        plain = Mode(batch_statistics=True, zeros=zeros)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence([self.seed, step]).generate_state(1)[0]))
            outputs = _answers(supernet, first, images, labelled, bf16)
            output = next(iter(outputs.values()))
            loss = loss_of(self.task, outputs, target, label_smoothing=self.label_smoothing)
            value = float(loss.detach())
            if not np.isfinite(value):
                return value, ()
            _weighted(loss, first.labels).backward()  # type: ignore[no-untyped-call]
            soft = self._taught(outputs).detach().softmax(1) if any(lesson.soft for lesson in others) else None
            if report:
                outcomes.append(self._outcome(first, output.detach(), target))
            del output, outputs, loss
            for lesson in others:
                answers = _answers(supernet, lesson, images, labelled if lesson.labels else plain, bf16)
                answer = next(iter(answers.values()))
                terms = []
                if lesson.soft and soft is not None:
                    terms.append(_weighted(self.distil(self._taught(answers), soft), lesson.soft))
                if lesson.labels:
                    labels = loss_of(self.task, answers, target, label_smoothing=self.label_smoothing)
                    terms.append(_weighted(labels, lesson.labels))
                if report:
                    outcomes.append(self._outcome(lesson, answer.detach(), target))
                total = terms[0] if len(terms) == 1 else torch.stack(terms).sum()
                total.backward()  # type: ignore[no-untyped-call]
        return value, tuple(outcomes)

    def _taught(self, outputs: Mapping[str, Tensor]) -> Tensor:
        """The output with a channel for each class, from which others learn; without one of a name, the first."""
        name = class_output(self.task)
        return outputs[name] if name is not None and name in outputs else next(iter(outputs.values()))

    def _outcome(self, lesson: Lesson, answer: Tensor, target: Tensor) -> Outcome:
        with torch.no_grad():
            loss = float(self.task.loss(answer, target))
            return Outcome(lesson, loss, float(self.task.metric(answer, target)) / len(target))


def _weighted(loss: Tensor, weight: float) -> Tensor:
    return loss if weight == 1 else weight * loss


def _answers(supernet: Supernet, lesson: Lesson, images: Tensor, mode: Mode, bf16: bool) -> dict[str, Tensor]:
    network = lesson.subnet.network
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
        x = fitted(images, network)
        if lesson.mix is None:
            outputs = supernet.forward(x, network, mode=mode, member=lesson.member)
        else:
            outputs = lesson.mix.forward(supernet, x, mode=mode)
    return {name: out.float() if out.dtype == torch.bfloat16 else out for name, out in outputs.items()}
