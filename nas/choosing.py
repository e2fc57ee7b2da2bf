"""After the search: the front, each of its networks tested once and measured again on the device."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.run_folder import read_json
from nas.search.front import FrontMember, curves, knee_place, pareto_front, write_front
from nas.target_figures import on_target
from search_spaces.errors import NasError, unknown_name
from search_spaces.network import Network

if TYPE_CHECKING:
    from nas.modules import Weights
    from nas.pipeline import Run
    from nas.search.record import Evaluation

LOGGER = logging.getLogger("nas")
TEST_BATCH = 500
LATENCY = "latency_ms"
NEEDED = {"rank", "id", "picks", "values"}
Measured = dict[str, float | None]


def choose(run: "Run", evaluations: Sequence["Evaluation"]) -> tuple[FrontMember, ...]:
    """The front of `evaluations`, measured and tested; written to front.json and front.csv.

    What takes too long for its limit when measured leaves the front, and what it hid moves up. Members that an
    earlier call measured and tested keep those figures: each network is tested once, for all targets.
    """
    from nas.console import progress

    section = run.recipe.search
    known = {entry["id"]: entry for entry in front_entries(run)}
    tested = {entry["id"]: entry for member in run.family for entry in front_entries(member)}
    measured = {name: dict(entry["measured"]) for name, entry in known.items() if entry.get("measured")}
    measured |= _front_file(run)["over_limit"]
    front, over_limit = _measured_front(run, evaluations, measured)
    finished = []
    with progress("testing the front", len(front)) as step:
        for member in front:
            finished.append(_finished(run, member, tested.get(member.evaluation.id)))
            step.advance(1.0)
    write_front(
        run.search_folder,
        finished,
        objectives=section.objectives,
        limits=section.limits,
        history=curves(evaluations, section.objectives),
        over_limit=over_limit,
    )
    return tuple(finished)


def _measured_front(
    run: "Run", evaluations: Sequence["Evaluation"], measured: dict[str, Measured]
) -> tuple[tuple[FrontMember, ...], dict[str, Measured]]:
    """The front, each member with its measured latency where this machine is a target, and what was left out of it.

    `measured`, {id: figures}, grows. Without `search.confidence` members over the limit stay.
    """
    from nas.console import progress
    from nas.margins import margins

    section, devices = run.recipe.search, measured_here(run)
    limits = {margin.figure: margin.measured for margin in margins(run) if margin.figure in devices}
    left, left_out = list(evaluations), dict[str, Measured]()
    while True:
        front = pareto_front(left, section.objectives, by=run.identity)
        unknown = [member for member in front if devices and member.evaluation.id not in measured]
        if unknown:
            networks = [run.network(member.evaluation.architecture) for member in unknown]
            found: dict[str, dict[str, float | None]] = {member.evaluation.id: {} for member in unknown}
            with progress("measuring the front", len(devices) * len(unknown)) as step:
                for figure, view in devices.items():
                    for member, latency in zip(unknown, view.meter.latencies(networks, step=step), strict=True):
                        found[member.evaluation.id][figure] = latency.median_ms
            measured |= found
        kept = [replace(m, measured=measured.get(m.evaluation.id, {})) for m in front]
        over = {m.evaluation.id for m in kept if any((m.measured.get(f) or 0.0) > most for f, most in limits.items())}
        if not over:
            return tuple(kept), left_out
        LOGGER.info("%d architectures of the front took too long for %s when measured: left out", len(over), limits)
        left_out |= {member.evaluation.id: dict(member.measured) for member in kept if member.evaluation.id in over}
        left = [evaluation for evaluation in left if evaluation.id not in over]


def measured_here(run: "Run") -> dict[str, "Run"]:
    """The latencies that can be measured on this machine, by figure, each with the run as its target sees it."""
    views = {on_target(LATENCY, name): view for name, view in run.views.items()} or {LATENCY: run}
    return {figure: view for figure, view in views.items() if view.target_is_here}


def front_entries(run: "Run") -> list[dict[str, Any]]:
    """The architectures of front.json; none before a search has ended."""
    return list(_front_file(run)["architectures"])


def _front_file(run: "Run") -> dict[str, Any]:
    """What front.json holds; NasError where it is not what this version writes."""
    nothing: dict[str, Any] = {"architectures": [], "over_limit": {}}
    path = run.search_folder / "front.json"
    found = read_json(path, default={})
    entries = found.get("architectures", []) if isinstance(found, dict) else None
    if not isinstance(entries, list) or not all(isinstance(e, dict) and e.keys() >= NEEDED for e in entries):
        raise NasError(
            f"{path} was written by another version of this project, or is damaged: move it away, and "
            f"`nas search {run.path}` chooses the front again from the search's record"
        )
    return {**nothing, **found}


def chosen_ids(entries: Sequence[Mapping[str, Any]], objectives: Sequence[str], count: int) -> list[str]:
    """Ids of `count` front entries to take home: least first objective, knee, least others, then spread evenly."""
    if not entries or count < 1:
        return []
    points = np.array([[entry["values"][name] for name in objectives] for entry in entries])
    wanted = [int(points[:, 0].argmin()), knee_place(points)]
    wanted += [int(points[:, i].argmin()) for i in range(1, len(objectives))]
    wanted += [round(i * (len(entries) - 1) / max(1, count - 1)) for i in range(count)]
    wanted += range(len(entries))
    return [str(entries[i]["id"]) for i in dict.fromkeys(wanted)][:count]


def _finished(run: "Run", member: FrontMember, known: Mapping[str, Any] | None) -> FrontMember:
    """`member` with its intervals and its test error."""
    evaluation = member.evaluation
    test_error, interval = None, None
    if known is not None:
        test_error, interval = known.get("test_error"), known.get("test_error_interval")
    if test_error is None and run.trains_supernet:
        network = run.network(evaluation.architecture)
        test_error, interval = _tested(run, network, run.trained_weights(network))
    return replace(
        member,
        intervals={**run.costs.intervals(evaluation.values), **_validation_interval(run, evaluation)},
        test_error=test_error,
        test_error_interval=interval,
    )


def _validation_interval(run: "Run", evaluation: "Evaluation") -> dict[str, tuple[float, float]]:
    from nas.tasks.intervals import binomial_interval

    if not run.trains_supernet:
        return {}
    images = len(run.task.validation_indices)
    return {"error": binomial_interval(round(evaluation.values["error"] * images), images)}


def _tested(run: "Run", network: Network, weights: "Weights") -> tuple[float, tuple[float, float]]:
    from nas.supernet.calibrate import error_of
    from nas.tasks.intervals import binomial_interval

    images = len(run.task.data.test_labels)
    error = error_of(network, weights, run.task, run.task.test_batches(TEST_BATCH))
    return error, binomial_interval(round(error * images), images)


def find_evaluation(run: "Run", start: str) -> "Evaluation":
    """The architecture evaluated so far whose id begins with `start`; NasError when there is none, or several are."""
    from nas.live import so_far

    known = so_far(run)
    found = {e.id: e for e in known.evaluations if e.id.startswith(start)}
    if not found:
        raise unknown_name("architecture", start, [entry.id for entry in known.front])
    if len(found) > 1:
        raise NasError(f"{start!r} begins the ids {', '.join(sorted(found))}; give more of it")
    return next(iter(found.values()))
