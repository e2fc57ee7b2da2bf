"""A network timed whole, and node by node through ONNX Runtime's profiler.

The script that measures other devices contains this file, so it needs Python 3.8 and numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Sequence

import numpy as np

from nas.runtimes.timing import Measurement, Reference, Repetitions, repeat

WARM_UP = 3
PROFILED_SHARE = 0.45
MIN_PROFILED, MAX_PROFILED = 10, 60
STRAY = 1.5
SUFFIX = "_kernel_time"


@dataclass(frozen=True)
class Profiled:
    """Latency of one inference, {node of the optimised graph: milliseconds}, and how undisturbed the latter are."""

    latency: Measurement
    node_ms: dict[str, float]
    nodes_quiet_share: float


def profile_session(
    run: Callable[[], None],
    events: Callable[[], Sequence[dict[str, Any]]],
    *,
    seconds: float,
    single_thread: bool,
    reference: Reference | None = None,
) -> Profiled:
    """Time `run()` for about `seconds` in a session that profiles, and then without its profiler.

    `events()` ends the profiling and returns what the profiler recorded.
    """
    profiled = repeat(
        run,
        seconds=PROFILED_SHARE * seconds,
        min_repeats=MIN_PROFILED,
        max_repeats=MAX_PROFILED,
        warm_up=WARM_UP,
        single_thread=single_thread,
        reference=reference,
    )
    spent = node_ms(events(), profiled)
    latency = repeat(
        run,
        seconds=(1 - PROFILED_SHARE) * seconds,
        warm_up=1,
        single_thread=single_thread,
        reference=reference,
    ).summary()
    return Profiled(latency, spent, profiled.quiet_share)


def node_ms(events: Sequence[dict[str, Any]], profiled: Repetitions) -> dict[str, float]:
    """Milliseconds per optimised node: mean over the undisturbed repetitions, after the warm-up.

    The profiler counts whole microseconds, so a mean says more about a short kernel than a median; times far above
    a node's median are left out.
    """
    taken: dict[str, list[float]] = {}
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(SUFFIX):
            taken.setdefault(name[: -len(SUFFIX)], []).append(event["dur"])
    counted = profiled.counted_by_wall()
    spent: dict[str, float] = {}
    for name, times in taken.items():
        undisturbed = np.asarray(times, dtype=np.float64)[-len(counted) :][counted]
        usual = undisturbed <= STRAY * np.median(undisturbed) + 1
        spent[name] = 1e-3 * float(undisturbed[usual].mean())
    return spent
