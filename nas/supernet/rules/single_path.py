"""Uniform single path (Guo et al. 2020): each step trains one random subnet on the labels."""

from collections.abc import Sequence
from dataclasses import dataclass

from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules.base import Moment, State
from nas.supernet.sampling.base import Sampler, told


@dataclass(frozen=True)
class SinglePath:
    """One drawn subnet a step; the cheapest step of all rules."""

    sampler: Sampler
    seed: int = 0

    @property
    def listens(self) -> bool:
        """As the sampler does."""
        return self.sampler.listens

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The drawn subnet, on the labels."""
        return (Lesson(self.sampler.draw(moment.rng(self.seed)), labels=1.0),)

    def shrinks_at(self, steps: int) -> int | None:
        """Widths vary from the start."""
        return None

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Pass the loss on to the sampler."""
        told(self.sampler, outcomes, baseline=None)

    def state(self) -> State:
        """The sampler's."""
        return self.sampler.state()

    def restore(self, state: State) -> None:
        """The sampler's."""
        self.sampler.restore(state)
