"""What a sampling rule is: which random subnets training sees."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from nas.supernet.lessons import Outcome
from nas.supernet.subnets import Subnet


class Sampler(Protocol):
    """Draws subnets, and may hear how they did.

    Draws depend on the generator and on what was heard before; `state` and `restore` carry the latter over a restart.
    """

    @property
    def listens(self) -> bool:
        """Whether `heard` wants losses."""

    def draw(self, rng: np.random.Generator) -> Subnet:
        """A random subnet."""

    def heard(self, subnet: Subnet, gap: float) -> None:
        """`subnet` was trained, and lost `gap` nats more than its teacher (or than nothing) on the labels."""

    def state(self) -> dict[str, Any]:
        """What has been learnt, exact through JSON."""

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the `state` of an earlier sampler with the same settings."""


def told(sampler: Sampler, outcomes: Sequence[Outcome], *, baseline: float | None) -> None:
    """Tell `sampler` of those subnets that were drawn; losses count from `baseline`."""
    for outcome in outcomes:
        if outcome.lesson.subnet.row is not None:
            sampler.heard(outcome.lesson.subnet, outcome.loss - (baseline or 0.0))
