"""What a training rule is: which lessons a step has."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from nas.supernet.lessons import Lesson, Outcome

State = dict[str, Any]
"""What a rule or a sampler must remember between steps, as JSON."""


@dataclass(frozen=True)
class Moment:
    """Optimiser step `step` of `steps`, counted from 0."""

    step: int
    steps: int

    @property
    def share(self) -> float:
        """Share of training that is done, 0 up to below 1."""
        return self.step / self.steps

    def after(self, share: float) -> int:
        """Steps since `share` of training was done; negative before."""
        return self.step - round(share * self.steps)

    def rng(self, seed: int) -> np.random.Generator:
        """The generator of this step's draws."""
        return np.random.default_rng([seed, self.step])


class Rule(Protocol):
    """Which subnets a step trains, and what each learns from.

    `lessons` depends on the moment and on what was heard before, and changes nothing; `state` and `restore` carry the
    latter over a restart, so that training goes on as if it had not been interrupted.
    """

    @property
    def listens(self) -> bool:
        """Whether `heard` wants outcomes, which cost a look at every answer."""

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """At least one lesson; the first learns from labels, and teaches those that learn from soft answers."""

    def shrinks_at(self, steps: int) -> int | None:
        """The first of `steps` in which widths vary, where they do not from the start."""

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """How the lessons of this moment went."""

    def state(self) -> State:
        """What has been learnt from outcomes; exact through JSON."""

    def restore(self, state: State) -> None:
        """Take over the `state` of an earlier rule with the same settings."""
