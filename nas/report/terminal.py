"""The front as a table in a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from nas.report.data import FrontEntry
from nas.report.grid import Cell, front_grid
from nas.report.units import Display, display

if TYPE_CHECKING:
    from rich.table import Table

KNEE = "◆"


def front_table(
    entries: Sequence[FrontEntry],
    objectives: Sequence[str],
    *,
    limits: Mapping[str, float] | None = None,
    units: Mapping[str, str] | None = None,
    knee_of: Sequence[str] | None = None,
) -> "Table":
    """A `rich` table of the front: objectives, then limited figures, intervals below their values.

    Below its name a column says how its values are known, and its limit. The test error and measured values stand
    beside their predictions where they are known; a measured value over its limit is marked with "!". `units` gives
    the units of figures that are not in the project's table. `knee_of` are the objectives (default: all) whose knee,
    the least sum of them scaled over the front, is marked on fronts of three and more.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = {
        name: display(name, [entry.values.get(name) for entry in entries], units or {})
        for name in [*objectives, *(limits or {})]
    }
    grid = front_grid(entries, objectives, limits=limits, shown=shown)
    best = knee(entries, objectives if knee_of is None else knee_of)
    told = f"; {KNEE} the knee: the least sum of the objectives, each scaled over the front" if best else ""
    count = "1 architecture" if len(entries) == 1 else f"{len(entries)} architectures"
    table = Table(box=SIMPLE_HEAD, caption=f"{count} on the front{told}")
    table.add_column("#", justify="right")
    table.add_column("architecture", no_wrap=True)
    below = {shown[name].title: _below(name, entries, shown[name], limits or {}) for name in shown}
    for title in grid.titles:
        more = below.get(title, "")
        table.add_column(f"{title}\n[dim]{more}[/dim]" if more else title, justify="right")
    for entry, cells in zip(entries, grid.rows, strict=True):
        mark = f"{KNEE} " if entry.id == best else ""
        table.add_row(f"{mark}{entry.rank}", _plain(entry.id), *map(_text, cells))
    return table


def knee(entries: Sequence[FrontEntry], objectives: Sequence[str]) -> str | None:
    """The id of the front's knee; `None` with fewer than three architectures, or where an objective is not known."""
    from nas.search.front import knee_place

    values = [[entry.values.get(name) for name in objectives] for entry in entries]
    if len(entries) < 3 or not objectives or any(value is None for row in values for value in row):
        return None
    return entries[knee_place(np.array(values, dtype=np.float64))].id


def _below(name: str, entries: Sequence[FrontEntry], shown: Display, limits: Mapping[str, float]) -> str:
    """How the figure is known, and its limit."""
    kinds = dict.fromkeys(kind for entry in entries if (kind := entry.provenance.get(name)))
    parts = [" or ".join(kinds)] if kinds else []
    if name in limits:
        parts.append(f"at most {shown.number(limits[name])}")
    return ", ".join(parts)


def _text(cell: Cell) -> str:
    mark = "!" if cell.over else ""
    below = f"\n[dim]{cell.interval}[/dim]" if cell.interval else ""
    return f"{cell.text}{mark}{below}"


def _plain(text: str) -> str:
    """`text` with its brackets kept from being read as markup."""
    return text.replace("[", "\\[")
