"""The sandwich rule with in-place distillation (BigNAS, Yu et al. 2020): the gradients of one step."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.modules import Mode
from nas.supernet.calibrate import fitted
from nas.supernet.weights import Supernet
from nas.tasks.protocol import Batch
from search_spaces.network import Network

Draw = Callable[[np.random.Generator], Network]
TEACHER = Mode(batch_statistics=True, dropout=True)
STUDENT = Mode(batch_statistics=True)


class Loss(Protocol):
    """As much of a task as training takes."""

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        """Mean loss of a batch, a scalar."""


@dataclass(frozen=True)
class Subnets:
    """The networks of the sandwich; `draw` gives a random one, `middle` is watched beside the extremes."""

    largest: Network
    smallest: Network
    middle: Network
    draw: Draw


@dataclass(frozen=True)
class Sandwich:
    """What one step trains: the largest on the labels, the rest on the largest one's soft answers.

    random_subnets: how many are drawn beside the smallest. The draws and the elements that dropout
    drops, in the largest alone, depend on (seed, step).
    """

    subnets: Subnets
    task: Loss
    random_subnets: int = 2
    label_smoothing: float = 0.0
    seed: int = 0

    def students(self, step: int) -> Iterator[Network]:
        """The networks that learn from the largest in `step`: the random ones, then the smallest."""
        rng = np.random.default_rng([self.seed, step])
        for _ in range(self.random_subnets):
            yield self.subnets.draw(rng)
        yield self.subnets.smallest

    def gradients(self, supernet: Supernet, batch: Batch, *, step: int, bf16: bool = False) -> float:
        """Add the gradients of all subnets to those of the shared tensors; the largest one's loss.

        bf16: convolutions and products run in bfloat16. A loss that is not finite adds nothing.
        """
        images, target = batch
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(np.random.SeedSequence([self.seed, step]).generate_state(1)[0]))
            output = _answer(supernet, self.subnets.largest, images, TEACHER, bf16)
            loss = self.task.loss(output, target, label_smoothing=self.label_smoothing)
            value = float(loss.detach())
            if not np.isfinite(value):
                return value
            loss.backward()  # type: ignore[no-untyped-call]
        soft = functional.softmax(output.detach(), dim=1)
        del output, loss
        for network in self.students(step):
            answer = _answer(supernet, network, images, STUDENT, bf16)
            functional.cross_entropy(answer, soft).backward()  # type: ignore[no-untyped-call]
        return value


def _answer(supernet: Supernet, network: Network, images: Tensor, mode: Mode, bf16: bool) -> Tensor:
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
        outputs = supernet.forward(fitted(images, network), network, mode=mode)
    answer = next(iter(outputs.values()))
    return answer.float() if answer.dtype == torch.bfloat16 else answer
