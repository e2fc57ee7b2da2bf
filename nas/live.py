"""A run while it is under way, or as it was left: what its search has found so far, and what it does now.

Everything is read; nothing that another process holds is locked, changed or waited for.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.choosing import front_entries
from nas.console import duration
from nas.report.data import FrontEntry
from nas.search.front import Curves, curves, pareto_front
from nas.search.record import Evaluation, Identity
from nas.target_figures import split_name
from predictors.figures import FIGURES

if TYPE_CHECKING:
    from nas.pipeline import Run

LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d+ \w+ nas: (.+)$")
STEP = re.compile(r"^(.+?): (?:(\d+) %, )?(?:about (\S+) left|(\S+) so far|(done|stopped) after \S+)(?: \((.*)\))?$")
TAIL_BYTES = 8192
SILENT_SECONDS = 120


@dataclass(frozen=True)
class SoFar:
    """What a search has found: its evaluations, their front, and the growth of its hypervolume.

    rows: of the front, as in front.json. is_final: the search has ended and its front was chosen, measured and tested;
    else the front is merely what no other evaluation dominates. history: `None` where it is final and front.json holds
    it.
    """

    evaluations: tuple[Evaluation, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()
    is_final: bool = True
    history: Curves | None = None

    @cached_property
    def front(self) -> tuple[FrontEntry, ...]:
        """The front's architectures."""
        return tuple(map(FrontEntry.from_json, self.rows))


def so_far(run: "Run") -> SoFar:
    """What the search of `run` has found until now.

    Raises NasError where its record is damaged, or was written by another version.
    """
    saved, recorded = run.evaluations(), _recorded(run)
    chosen = (run.search_folder / "front.json").is_file()
    if chosen and len(recorded) <= len(saved):
        return SoFar(saved, tuple(front_entries(run)))
    evaluations = recorded if len(recorded) > len(saved) else saved
    objectives = run.recipe.search.objectives
    members = pareto_front(evaluations, objectives, by=_identity(run))
    rows = tuple(member.to_json() for member in members)
    return SoFar(evaluations, rows, False, curves(evaluations, objectives))


def _identity(run: "Run") -> Identity:
    """As `Run.identity`, without loading what the recipe names."""
    section = run.recipe.search
    shared = run.recipe.supernet.enabled and section.evaluate is None
    return "id" if shared and "error" in {*section.objectives, *section.limits} else "fingerprint"


def _recorded(run: "Run") -> tuple[Evaluation, ...]:
    """What the study of the search records, where that was written to after the evaluations were saved."""
    from nas.search.reading import read_study, study_stamp
    from nas.search.study import evaluation_of
    from nas.searching import EVALUATIONS

    folder, section = run.search_folder, run.recipe.search
    stamp = study_stamp(folder)
    saved = folder / EVALUATIONS
    if not stamp or (saved.is_file() and saved.stat().st_mtime_ns >= max(when for _, when, _ in stamp)):
        return ()
    found = read_study(folder, storage=section.storage, name=section.name)
    if found is None:
        return ()
    names = {name for one in found.recorded for name in one.values or {}}
    kinds = {name: FIGURES[plain].kind for name in names if (plain := split_name(name)[0]) in FIGURES}
    every = (evaluation_of(one, found.header.limits, kinds) for one in found.recorded)
    return tuple(one for one in every if one is not None)


@dataclass(frozen=True)
class Doing:
    """What a run does now, as its log tells.

    title: of the step under way; empty where there is none. share: of it that is done. left: how long it still
    takes, as text. note: its last figures. since_s: seconds since it was last heard of. after: the step that ended
    last, where the next has not begun.
    """

    title: str = ""
    share: float | None = None
    left: str = ""
    note: str = ""
    since_s: float | None = None
    after: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether nothing was heard for so long that the run has probably stopped."""
        return self.since_s is None or self.since_s > SILENT_SECONDS

    def text(self) -> str:
        """In a sentence."""
        if not self.title:
            return f"Getting ready, after {self.after}." if self.after else "Nothing is under way."
        if self.is_silent:
            ago = "" if self.since_s is None else f" for {duration(self.since_s)}"
            return f"Last seen {self.title}, but nothing was heard{ago}: it may have been stopped."
        parts = [f"{self.title[:1].upper()}{self.title[1:]}"]
        if self.share is not None:
            parts.append(f"{100 * self.share:.0f} %")
        if self.left:
            parts.append(f"about {self.left} left")
        return ", ".join(parts) + (f" ({self.note})." if self.note else ".")


def doing(folder: Path, *, now: datetime | None = None) -> Doing:
    """What the run in `folder` does, from the last lines of its log; `now` in local time."""
    found: Doing | None = None
    for when, words in reversed(_tail(folder / "log.txt")):
        age = max(0.0, ((now or datetime.now()) - when).total_seconds())
        step = STEP.match(words)
        if step is None:
            continue
        title, share, left, _, over, note = step.groups()
        if not over:
            found = Doing(title, int(share) / 100 if share else None, left or "", note or "", age)
        elif age <= SILENT_SECONDS and not (folder / "report.html").exists():
            found = Doing(since_s=age, after=title)
        break
    return found or Doing()


def _tail(path: Path) -> list[tuple[datetime, str]]:
    """The last lines of a log with their times."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - TAIL_BYTES))
            text = file.read().decode("utf-8", errors="replace")
    except OSError:
        return []
    found = (LINE.match(line) for line in text.splitlines())
    return [(datetime.fromisoformat(one[1]), one[2]) for one in found if one]
