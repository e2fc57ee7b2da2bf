"""How long each stage of a run would take, measured on a few steps of the real work."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nas.console import duration
from nas.margins import FIGURE, selected_count
from nas.pipeline import CALIBRATION_SIZE
from predictors.target import MEASURED_NOW

if TYPE_CHECKING:
    from nas.pipeline import Run

TIMED_STEPS = 24
TIMED_EVALUATIONS = 4
FRONT_SHARE = (0.0, 0.15, 0.35)
MEASURE_SECONDS = 0.8
EXPORT_SECONDS = 6.0
RAY_SECONDS = 10.0
PROFILE_OVERHEAD_SECONDS = 5.0
REPORT_SECONDS = 5.0
RECORD_SECONDS = 0.15


@dataclass(frozen=True)
class StageEstimate:
    """Seconds that one stage would take, and what is done in them."""

    stage: str
    seconds: float
    what: str


def estimate(run: "Run") -> list[str]:
    """The stages of `run` with their expected times, as lines to print; nothing is written or trained.

    Training steps and evaluations are timed on this machine with fresh weights, so it takes some seconds itself.
    """
    rows = stage_estimates(run)
    total = sum(row.seconds for row in rows)
    lines = [f"{row.stage:<10}{duration(row.seconds):>9}  {row.what}" for row in rows]
    lines.append(f"{'in all':<10}{duration(total):>9}")
    budget = run.recipe.minutes
    if budget is not None and total > 60 * budget:
        lines.append(
            f"That is more than the time budget of {budget:g} minutes: training stops early. Lower supernet.epochs or "
            "raise minutes."
        )
    return lines


def stage_estimates(run: "Run") -> list[StageEstimate]:
    """Every stage that `run` would go through."""
    rows: list[StageEstimate] = []
    started = time.perf_counter()
    if run.has_data:
        _ = run.task
        rows.append(StageEstimate("data", time.perf_counter() - started, run.recipe.task.data))
    started = time.perf_counter()
    slots = len(run.compiled.slots)
    rows.append(StageEstimate("compile", time.perf_counter() - started, f"{slots} choices, {run.space.size()}"))
    here = [member for member in run.views.values() or (run,) if member.recipe.target.name == MEASURED_NOW]
    for member in here:
        if run.wants_target and not member.target_file.is_file():
            seconds = 60 * run.recipe.target.minutes + PROFILE_OVERHEAD_SECONDS
            rows.append(StageEstimate("profile", seconds, f"kernels of this machine in {run.recipe.target.runtime}"))
    if run.trains_supernet:
        rows.append(_training(run))
    for member in here:
        section = member.recipe.search
        if FIGURE in section.limits and section.confidence:
            count = selected_count(section.confidence)
            rows.append(StageEstimate("margins", count * MEASURE_SECONDS, f"{count} networks measured near the limit"))
    rows.append(_search(run))
    count = sum(_front_size(member) for member in run.family)
    front = count * ((MEASURE_SECONDS if run.wants_target and here else 0) + (_test_seconds(run)))
    rows.append(StageEstimate("choose", front, f"about {count} networks tested and measured"))
    if run.recipe.export.top:
        seconds = EXPORT_SECONDS * run.recipe.export.top
        rows.append(StageEstimate("export", seconds, f"{run.recipe.export.top} networks"))
    rows.append(StageEstimate("report", REPORT_SECONDS, "one page"))
    return rows


def _training(run: "Run") -> StageEstimate:
    trainer = run.trainer()
    epochs = run.recipe.supernet.epochs
    steps = epochs * trainer.steps_per_epoch
    precision = trainer.choose_precision()
    seconds = trainer.step_seconds(TIMED_STEPS)
    whole = steps * seconds + epochs * trainer.epoch_end_seconds()
    return StageEstimate("train", whole, f"{epochs} epochs, {steps} steps of {1000 * seconds:.0f} ms in {precision}")


def _search(run: "Run") -> StageEstimate:
    from nas.search.driver import streams

    every = [member.search_settings() for member in run.family]
    evaluations = sum(budget for settings in every for _, budget in streams(settings))
    workers = max(1, run.recipe.search.workers)
    seconds = _evaluation_seconds(run)
    overhead = RAY_SECONDS * len(every) if workers > 1 else 0.0
    known = "" if run.evaluate is None else "; the time of your own evaluate is not known"
    return StageEstimate(
        "search",
        overhead + evaluations * seconds / workers,
        f"{evaluations} evaluations of {seconds:.2f} s on {workers} workers{_shared(run)}{known}",
    )


def _shared(run: "Run") -> str:
    return f", shared by {len(run.views)} targets and the worst of them" if run.views else ""


def _evaluation_seconds(run: "Run") -> float:
    """Seconds of one evaluation by one thread, recording included."""
    if not run.trains_supernet:
        return RECORD_SECONDS
    import torch

    from nas.supernet.calibrate import calibrate, error_of, with_statistics

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        rng, times = np.random.default_rng(0), []
        for _ in range(TIMED_EVALUATIONS):
            network = run.subnets.draw(rng)
            started = time.perf_counter()
            with torch.no_grad():
                weights = run.supernet.weights_for(network)
            batches = run.task.calibration_batches(run.recipe.search.recalibration_batches, CALIBRATION_SIZE)
            joined = with_statistics(weights, calibrate(network, weights, batches))
            error_of(network, joined, run.task, run.task.validation_batches(CALIBRATION_SIZE))
            times.append(time.perf_counter() - started)
        return float(np.mean(times)) + RECORD_SECONDS
    finally:
        torch.set_num_threads(threads)


def _test_seconds(run: "Run") -> float:
    """Seconds to test one network, from the size of the test part against the validation part."""
    if not run.trains_supernet:
        return 0.0
    share = len(run.task.data.test_labels) / max(1, len(run.task.validation_indices))
    return _evaluation_seconds(run) * max(1.0, share)


def _front_size(run: "Run") -> int:
    """How many architectures the front may have: a share of the evaluations that grows with the objectives."""
    section = run.recipe.search
    return max(1, round(section.evaluations * FRONT_SHARE[min(len(section.objectives), len(FRONT_SHARE)) - 1]))
