"""After the search: the front, each of its networks tested once and measured again on the device."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.run_folder import read_json
from nas.search.front import FrontMember, curves, pareto_front, write_front
from search_spaces.errors import NasError, unknown_name
from search_spaces.network import Network

if TYPE_CHECKING:
    from nas.modules import Weights
    from nas.pipeline import Run
    from nas.search.record import Evaluation

LOGGER = logging.getLogger("nas")
TEST_BATCH = 500


def choose(run: "Run", evaluations: Sequence["Evaluation"]) -> tuple[FrontMember, ...]:
    """The front of `evaluations`, tested and measured; written to front.json and front.csv.

    Members that an earlier call tested and measured keep those figures: each network is tested once.
    """
    from nas.console import progress

    section = run.recipe.search
    front = pareto_front(evaluations, section.objectives, by=run.identity)
    known = {entry["id"]: entry for entry in front_entries(run)}
    finished = []
    with progress("testing and measuring the front", len(front)) as step:
        for member in front:
            finished.append(_finished(run, member, known.get(member.evaluation.id)))
            step.advance(1.0)
    write_front(
        run.search_folder,
        finished,
        objectives=section.objectives,
        limits=section.limits,
        history=curves(evaluations, section.objectives),
    )
    return tuple(finished)


def front_entries(run: "Run") -> list[dict[str, Any]]:
    """The architectures of front.json; none before a search has ended."""
    content = read_json(run.search_folder / "front.json", default={"architectures": []})
    return list(content["architectures"])


def chosen_ids(entries: Sequence[Mapping[str, Any]], objectives: Sequence[str], count: int) -> list[str]:
    """Ids of `count` front entries to take home: least first objective, knee, least others, then spread evenly."""
    if not entries or count < 1:
        return []
    points = np.array([[entry["values"][name] for name in objectives] for entry in entries])
    width = np.where(np.ptp(points, axis=0) > 0, np.ptp(points, axis=0), 1.0)
    wanted = [int(points[:, 0].argmin()), int(((points - points.min(0)) / width).sum(1).argmin())]
    wanted += [int(points[:, i].argmin()) for i in range(1, len(objectives))]
    wanted += [round(i * (len(entries) - 1) / max(1, count - 1)) for i in range(count)]
    wanted += range(len(entries))
    return [str(entries[i]["id"]) for i in dict.fromkeys(wanted)][:count]


def _finished(run: "Run", member: FrontMember, known: Mapping[str, Any] | None) -> FrontMember:
    """`member` with its intervals, its test error and what the device showed."""
    evaluation = member.evaluation
    network = run.network(evaluation.architecture)
    test_error, interval, measured = None, None, dict[str, float | None]()
    if known is not None:
        test_error, interval, measured = known["test_error"], known["test_error_interval"], known["measured"]
    weights = run.trained_weights(network) if run.trains_supernet else None
    if test_error is None and weights is not None:
        test_error, interval = _tested(run, network, weights)
    if not measured and run.target_is_here:
        measured = {"latency_ms": run.meter.latency(network, weights).median_ms}
    return replace(
        member,
        intervals={**run.costs.intervals(evaluation.values), **_validation_interval(run, evaluation)},
        test_error=test_error,
        test_error_interval=interval,
        measured=measured,
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
    """The evaluated architecture whose id begins with `start`; NasError when there is none, or several are."""
    found = {e.id: e for e in run.evaluations() if e.id.startswith(start)}
    if not found:
        raise unknown_name("architecture", start, [str(entry["id"]) for entry in front_entries(run)])
    if len(found) > 1:
        raise NasError(f"{start!r} begins the ids {', '.join(sorted(found))}; give more of it")
    return next(iter(found.values()))
