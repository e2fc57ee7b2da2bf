"""What a person sees of a long step: progress with the time left, and the log file of a run."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol, TextIO

LOGGER = logging.getLogger("nas")
_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class Step(Protocol):
    """A long step under way."""

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        """Say that `amount` more of the total is done, with a short `note` such as "loss 0.31"."""


class _Lines:
    """Progress as plain lines, at most one every `every_s` seconds, and in the log."""

    def __init__(
        self,
        title: str,
        total: float | None,
        *,
        emit: Callable[[str], None],
        every_s: float,
        clock: Callable[[], float],
    ) -> None:
        self._title, self._total, self._emit = title, total, emit
        self._every_s, self._clock = every_s, clock
        self._started = self._said = clock()
        self._done = 0.0
        self._since: tuple[float, float] | None = None
        self._note = ""

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        self._done += amount
        self._since = self._since or (self._clock(), self._done)
        self._note = note or self._note
        if self._clock() - self._said >= self._every_s:
            self._said = self._clock()
            self._emit(self._line())

    def close(self, outcome: str) -> None:
        elapsed = duration(self._clock() - self._started)
        self._emit(_joined(f"{self._title}: {outcome} after {elapsed}", self._note))

    def _line(self) -> str:
        """Return the state; the rate leaves out start-up and what a resumed step had done before."""
        now = self._clock()
        so_far = f"{duration(now - self._started)} so far"
        if self._total is None or self._since is None:
            return _joined(f"{self._title}: {so_far}", self._note)
        share = f"{100 * self._done / self._total:.0f} %" if self._total else "100 %"
        since, before = self._since
        if self._done <= before or now <= since:
            return _joined(f"{self._title}: {share}, {so_far}", self._note)
        left = (now - since) * max(self._total - self._done, 0.0) / (self._done - before)
        return _joined(f"{self._title}: {share}, about {duration(left)} left", self._note)


@contextmanager
def progress(
    title: str,
    total: float | None,
    *,
    stream: TextIO | None = None,
    every_s: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[Step]:
    """Show the progress of a step of `total` units (None: unknown) on `stream` (standard error).

    A terminal gets a bar with the elapsed time and the time left; anything else gets plain lines,
    one every `every_s` seconds. The lines go to the log in both cases. Steps may be nested.
    """
    out = sys.stderr if stream is None else stream
    if out.isatty():
        with _bar(title, total, out) as bar, _lines(title, total, None, every_s, clock) as lines:
            yield _Both(bar, lines)
    else:
        with _lines(title, total, out, every_s, clock) as lines:
            yield lines


class _Both:
    def __init__(self, first: Step, second: Step) -> None:
        self._steps = (first, second)

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        for step in self._steps:
            step.advance(amount, note=note)


@contextmanager
def _lines(
    title: str,
    total: float | None,
    out: TextIO | None,
    every_s: float,
    clock: Callable[[], float],
) -> Iterator[Step]:
    def emit(line: str) -> None:
        LOGGER.info(line)
        if out is not None:
            print(line, file=out, flush=True)

    lines = _Lines(title, total, emit=emit, every_s=every_s, clock=clock)
    outcome = "stopped"
    try:
        yield lines
        outcome = "done"
    finally:
        lines.close(outcome)


@contextmanager
def _bar(title: str, total: float | None, out: TextIO) -> Iterator[Step]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(file=out), speed_estimate_period=600) as shown:
        task = shown.add_task(title, total=total, note="")

        class Bar:
            def advance(self, amount: float = 1.0, *, note: str = "") -> None:
                shown.advance(task, amount)
                if note:
                    shown.update(task, note=note)

        yield Bar()


def duration(seconds: float) -> str:
    """Return `seconds` as "0:07", "12:30" or "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _joined(line: str, note: str) -> str:
    return f"{line} ({note})" if note else line


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Append what the project logs (INFO and above) to the file `path`; warnings also show.

    The file's handler is taken away again at the end, so that runs in one process do not mix.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = logging.FileHandler(path, encoding="utf-8", delay=True)
    file.setFormatter(logging.Formatter(_FORMAT))
    shown = logging.StreamHandler()
    shown.setLevel(logging.WARNING)
    shown.setFormatter(logging.Formatter("%(levelname)s: %(message)s"))
    rooms = [logging.getLogger(room) for room in ("nas", "predictors", "search_spaces")]
    levels = [room.level for room in rooms]
    for room in rooms:
        room.setLevel(logging.INFO)
        room.addHandler(file)
        room.addHandler(shown)
    try:
        yield
    finally:
        for room, level in zip(rooms, levels, strict=True):
            room.setLevel(level)
            room.removeHandler(file)
            room.removeHandler(shown)
        file.close()
