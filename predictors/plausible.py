"""Whether measured latencies can be what they claim to be."""

from collections.abc import Sequence

import numpy as np

from predictors.kernels import Kernel
from predictors.roofline import Roofline

CORE_GMACS, CORE_GBS = 20.0, 10.0
FAR = 100.0


def doubtful_unit(networks: Sequence[Sequence[Kernel]], latency_ms: Sequence[float]) -> str | None:
    """What to check where latencies are a hundred times off one ordinary processor core's roofline, else `None`.

    `networks` holds the kernels of each network (or single kernel) that took `latency_ms`. Some hardware is that
    fast or slow; values in another unit are the likelier reason.
    """
    core = Roofline(CORE_GMACS, CORE_GBS)
    ratio = float(
        np.median([ms / core.predict_ms(parts).sum() for parts, ms in zip(networks, latency_ms, strict=True)])
    )
    if 1 / FAR <= ratio <= FAR:
        return None
    times, unit = (f"{ratio:.0f} times", "microseconds") if ratio > 1 else (f"{ratio:.2g} of", "seconds")
    return (
        f"The latencies are {times} what one core of an ordinary processor takes ({CORE_GMACS:g} billion multiply-adds "
        f"a second): make sure that they are in milliseconds, not {unit}."
    )
