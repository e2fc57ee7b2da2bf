"""Which measurements to believe."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nas.runtimes.base import Profile
from nas.runtimes.timing import disturbance

FEWEST = 10
ODD_RATIO = 0.15
CALM_QUANTILE = 0.05


@dataclass(frozen=True, slots=True)
class Usual:
    """What measurements of this machine usually show; `None` as long as there are too few.

    `parts_of_whole` is the time of the kernels over that of the whole network, `calm_ms` what the reference takes
    beside undisturbed repetitions.
    """

    parts_of_whole: float | None
    calm_ms: float | None

    @classmethod
    def of(cls, found: Sequence[Profile]) -> "Usual":
        """The usual values among the measurements `found`."""
        if len(found) < FEWEST:
            return cls(None, None)
        beside = [one.latency.reference_ms for one in found if one.latency.reference_ms is not None]
        parts = [_parts_of_whole(one) for one in found if one.kernel_ms]
        return cls(
            float(np.median(parts)) if parts else None,
            float(np.quantile(beside, CALM_QUANTILE)) if beside else None,
        )

    def doubt(self, found: Profile) -> float:
        """0 for a measurement to believe; the larger, the more disturbed it was or its parts and whole disagree."""
        quiet = min(found.latency.quiet_share, found.kernels_quiet_share)
        doubt = disturbance(quiet, found.latency.reference_ms, self.calm_ms)
        if self.parts_of_whole is not None and found.kernel_ms:
            doubt += max(0.0, abs(math.log(_parts_of_whole(found) / self.parts_of_whole)) - ODD_RATIO)
        return doubt


def _parts_of_whole(found: Profile) -> float:
    return sum(found.kernel_ms) / found.latency.median_ms
