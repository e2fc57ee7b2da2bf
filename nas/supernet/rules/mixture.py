"""Balanced mixture of supernets (Javan et al. 2023): single paths, each in one of several sets of weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.members import FIRST_TEMPERATURE, LAST_TEMPERATURE, Assignment, group_of
from nas.supernet.rules.base import Moment, State
from nas.supernet.sampling.base import Sampler, told


@dataclass(frozen=True)
class Mixture:
    """Each step trains one drawn subnet in the set of weights drawn for its group, see `Assignment`.

    The temperature of that draw rises over training. Accuracies are those on the training batch before its step, where
    the paper holds out half of the data.
    """

    sampler: Sampler
    assignment: Assignment
    seed: int = 0

    @property
    def listens(self) -> bool:
        """Yes."""
        return True

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The drawn subnet in a drawn set of weights, on the labels."""
        rng = moment.rng(self.seed)
        subnet = self.sampler.draw(rng)
        probabilities = self.assignment.probabilities(group_of(subnet.network))
        return (Lesson(subnet, labels=1.0, member=int(rng.choice(len(probabilities), p=_exact(probabilities)))),)

    def shrinks_at(self, steps: int) -> int | None:
        """Widths vary from the start."""
        return None

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Remember the accuracy, and sharpen the preferences for the next step."""
        (outcome,) = outcomes
        group = group_of(outcome.lesson.subnet.network)
        self.assignment.record(group, outcome.lesson.member, 1 - outcome.error)
        done = (moment.step + 1) / moment.steps
        self.assignment.temperature = FIRST_TEMPERATURE + (LAST_TEMPERATURE - FIRST_TEMPERATURE) * done
        told(self.sampler, outcomes, baseline=None)

    def state(self) -> State:
        """The sampler's, and who does well where."""
        return {"sampler": self.sampler.state(), "assignment": self.assignment.to_json()}

    def restore(self, state: State) -> None:
        """Take over both."""
        self.sampler.restore(state["sampler"])
        known = Assignment.from_json(state["assignment"])
        self.assignment.accuracies, self.assignment.temperature = known.accuracies, known.temperature


def _exact(probabilities: np.ndarray) -> np.ndarray:
    return np.asarray(probabilities / probabilities.sum())
