"""A network timed whole, and node by node through ONNX Runtime's profiler.

The script that measures other devices contains this file, so it needs Python 3.8 and numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Callable, Iterator, Sequence

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
    for name, event in kernel_events(events):
        taken.setdefault(name, []).append(event["dur"])
    counted = profiled.counted_by_wall()
    spent: dict[str, float] = {}
    for name, times in taken.items():
        undisturbed = np.asarray(times, dtype=np.float64)[-len(counted) :][counted]
        usual = undisturbed <= STRAY * np.median(undisturbed) + 1
        spent[name] = 1e-3 * float(undisturbed[usual].mean())
    return spent


def node_names(written: Sequence[str], events: Sequence[dict[str, Any]]) -> list[str]:
    """Names of an optimised graph's nodes, in order of execution; where a node has none, the profiler's own for it.

    `written` are those of the saved graph, "" for none.
    """
    ran = [name for name, _ in kernel_events(events)][: len(written)]
    agree = len(ran) == len(written) and all(name in ("", seen) for name, seen in zip(written, ran))
    return ran if agree else list(written)


def kernel_events(events: Sequence[dict[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name of the node, event) of every kernel that ran, in order."""
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith(SUFFIX):
            yield name[: -len(SUFFIX)], event
