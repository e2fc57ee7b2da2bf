"""The front as a grid of texts, from which the page, the terminal and the notebook draw their tables."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.report.data import FrontEntry, Interval
from nas.report.units import Display, display

TEST = Display("test_error", "test error", "%", 100.0)


@dataclass(frozen=True)
class Cell:
    """One figure of one architecture: its number, its interval ("" when it has none), whether it breaks a limit."""

    text: str
    interval: str = ""
    over: bool = False


@dataclass(frozen=True)
class Grid:
    """Column titles with units, and one row of cells per architecture, in the order given."""

    titles: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]


def front_grid(
    entries: Sequence[FrontEntry],
    objectives: Sequence[str],
    *,
    limits: Mapping[str, float] | None = None,
    shown: Mapping[str, Display] | None = None,
) -> Grid:
    """Objectives, then limited figures; measured values beside predicted ones, the test error beside validation.

    `shown` says how figures are displayed; by default each in the unit that fits its values.
    """
    bounds = limits or {}
    names = list(dict.fromkeys([*objectives, *bounds]))
    looks = shown or {name: display(name, [entry.values.get(name) for entry in entries], {}) for name in names}
    tested = any(entry.test_error is not None for entry in entries)
    measured = {name for name in names if any(entry.measured.get(name) is not None for entry in entries)}
    titles: list[str] = []
    for name in names:
        titles.append(looks[name].title)
        if name == "error" and tested:
            titles.append(TEST.title)
        if name in measured:
            titles.append(f"{looks[name].label} measured ({looks[name].unit})")
    rows = []
    for entry in entries:
        cells = []
        for name in names:
            cells.append(_cell(entry.values.get(name), entry.intervals.get(name), looks[name]))
            if name == "error" and tested:
                cells.append(_cell(entry.test_error, entry.test_error_interval, TEST))
            if name in measured:
                value = entry.measured.get(name)
                over = value is not None and name in bounds and value > bounds[name]
                cells.append(Cell(looks[name].number(value), over=over))
        rows.append(tuple(cells))
    return Grid(tuple(titles), tuple(rows))


def _cell(value: float | None, interval: Interval | None, look: Display) -> Cell:
    if interval is None:
        return Cell(look.number(value))
    return Cell(look.number(value), f"{look.number(interval[0])} to {look.number(interval[1])}")
