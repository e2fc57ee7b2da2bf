"""Delayed epsilon-shrinking (DepS, Annavajjala et al. 2024): the largest network alone first, then a sandwich."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules.base import Moment, State
from nas.supernet.rules.sandwich import Sandwich
from nas.supernet.subnets import Subnet

EPSILON = 0.01


@dataclass(frozen=True)
class Delayed:
    """The largest alone for `full_share` of training; then students enter at a tiny learning rate that is ramped up.

    The rate of students, in units of the step's, is `EPSILON` when they enter, and 1 after `ramp_share` of training.
    It is given to them as the weight of their loss. The paper's own ramp is not published; this one is linear.
    """

    sandwich: Sandwich
    full_share: float = 0.5
    ramp_share: float = 0.25

    @property
    def listens(self) -> bool:
        """As the sandwich does."""
        return self.sandwich.listens

    def strength(self, moment: Moment) -> float:
        """Learning rate of students in units of the step's own; 0 before they enter."""
        entered = moment.after(self.full_share)
        if entered < 0:
            return 0.0
        ramp = round(self.ramp_share * moment.steps)
        return 1.0 if entered >= ramp else EPSILON + (1 - EPSILON) * entered / ramp

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The largest alone, later the whole sandwich."""
        strength = self.strength(moment)
        if not strength:
            return (Lesson(Subnet(self.sandwich.subnets.largest), labels=1.0),)
        first, *students = self.sandwich.lessons(moment)
        return (first, *(replace(student, soft=strength) for student in students))

    def shrinks_at(self, steps: int) -> int | None:
        """When students enter."""
        return round(self.full_share * steps) or None

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """As the sandwich does."""
        self.sandwich.heard(moment, outcomes)

    def state(self) -> State:
        """The sandwich's."""
        return self.sandwich.state()

    def restore(self, state: State) -> None:
        """The sandwich's."""
        self.sandwich.restore(state)
