"""The sandwich rule with in-place distillation (BigNAS, Yu et al. 2020)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules.base import Moment, State
from nas.supernet.sampling.base import Sampler, told
from nas.supernet.subnets import Subnet, Subnets


@dataclass(frozen=True)
class Sandwich:
    """The largest learns from the labels, the rest from its soft answers, or without it from the labels too.

    random_subnets: how many are drawn beside the smallest. teacher_every: in how many steps the largest, which costs
    most, takes part once. The paper has two random ones, and the largest in each step.
    """

    subnets: Subnets
    sampler: Sampler
    random_subnets: int = 1
    seed: int = 0
    teacher_every: int = 8

    @property
    def listens(self) -> bool:
        """As the sampler does."""
        return self.sampler.listens

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The largest on the labels; drawn ones and the smallest on its answers, or without it on the labels."""
        students = self.students(moment.rng(self.seed))
        if moment.step % self.teacher_every:
            return tuple(Lesson(each, labels=1.0) for each in students)
        return (Lesson(Subnet(self.subnets.largest), labels=1.0), *(Lesson(each, soft=1.0) for each in students))

    def students(self, rng: np.random.Generator) -> Iterator[Subnet]:
        """Those that learn from the largest: the drawn ones, then the smallest."""
        for _ in range(self.random_subnets):
            yield self.sampler.draw(rng)
        yield Subnet(self.subnets.smallest)

    def shrinks_at(self, steps: int) -> int | None:
        """Widths vary from the start."""
        return None

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Pass on to the sampler by how much drawn subnets lost more than the largest, or than the smallest."""
        reference = outcomes[0] if not moment.step % self.teacher_every else outcomes[-1]
        told(self.sampler, outcomes, baseline=reference.loss)

    def state(self) -> State:
        """The sampler's."""
        return self.sampler.state()

    def restore(self, state: State) -> None:
        """The sampler's."""
        self.sampler.restore(state)
