"""The searches of a run, each within what is left of its time budget."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from nas.devices import ready_views
from nas.run_folder import read_json
from nas.search.record import Evaluation
from search_spaces.errors import NasError
from search_spaces.files import write_json

if TYPE_CHECKING:
    from nas.pipeline import Run
    from nas.search.driver import SearchResult

EVALUATIONS = "evaluations.json"
SEARCH_ENDS = 0.92
"""Share of a run's time budget after which searching stops, so that the front can still be tested and reported."""


def search_run(run: "Run") -> "SearchResult":
    """The search of `run`, gone on from its last trial; with several targets, then one for each of them.

    The result is that of the first search, marked as interrupted if any was.
    """
    result = _search(run)
    if not run.views:
        return result
    save_evaluations(run, result.evaluations)
    for view in ready_views(run).values():
        if result.ended == "interrupted" or _is_overdue(run):
            break
        found = _search(view)
        save_evaluations(view, found.evaluations)
        if found.ended == "interrupted":
            result = replace(result, ended="interrupted")
    return result


def save_evaluations(run: "Run", evaluations: Sequence[Evaluation]) -> None:
    """Write what the search of `run` evaluated beside its trials."""
    write_json(run.search_folder / EVALUATIONS, [evaluation.to_json() for evaluation in evaluations])


def saved_evaluations(run: "Run") -> tuple[Evaluation, ...]:
    """What `save_evaluations` wrote last, nothing before; NasError where it is not what this version writes."""
    path = run.search_folder / EVALUATIONS
    try:
        return tuple(Evaluation.from_json(row) for row in read_json(path, default=[]))
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise NasError(
            f"{path} was written by another version of this project, or is damaged ({type(error).__name__}: {error}): "
            f"move it away, and `nas search {run.path}` writes it again from the search's record"
        ) from error


def _search(run: "Run") -> "SearchResult":
    from nas.console import progress
    from nas.search.driver import search, streams
    from nas.search.storage import is_recorded
    from nas.warm import warm_started

    settings, folder = run.search_settings(), run.search_folder
    with run.folder.stage(f"search {settings.name}"):
        problem, earlier = warm_started(run, run.problem())
        total = sum(budget for _, budget in streams(settings))
        with progress("searching", total) as step:
            return search(
                problem,
                settings,
                folder,
                resume=is_recorded(folder),
                progress=step,
                deadline=_deadline(run),
                earlier=earlier,
            )


def _deadline(run: "Run") -> float | None:
    """The earlier of the search's own budget, from now, and its part of the run's, on `time.monotonic()`."""
    own, whole = run.recipe.search.minutes, run.recipe.minutes
    ends = [] if own is None else [time.monotonic() + 60 * own]
    ends += [] if whole is None else [run.started + SEARCH_ENDS * 60 * whole]
    return min(ends) if ends else None


def _is_overdue(run: "Run") -> bool:
    """Whether the run's time budget has no room for another search."""
    return run.recipe.minutes is not None and time.monotonic() > run.started + SEARCH_ENDS * 60 * run.recipe.minutes
