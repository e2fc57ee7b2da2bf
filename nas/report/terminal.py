"""The front as a table in a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nas.report.data import FrontEntry
from nas.report.grid import Cell, front_grid
from nas.report.units import display

if TYPE_CHECKING:
    from rich.table import Table


def front_table(
    entries: Sequence[FrontEntry],
    objectives: Sequence[str],
    *,
    limits: Mapping[str, float] | None = None,
    units: Mapping[str, str] | None = None,
) -> "Table":
    """A `rich` table of the front: objectives, then limited figures, intervals below their values.

    The test error and measured values stand beside their predictions where they are known; a measured value
    over its limit is marked with "!". `units` gives the units of figures that are not in the project's table.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    shown = {
        name: display(name, [entry.values.get(name) for entry in entries], units or {})
        for name in [*objectives, *(limits or {})]
    }
    grid = front_grid(entries, objectives, limits=limits, shown=shown)
    table = Table(box=SIMPLE_HEAD, caption=f"{len(entries)} architectures on the front")
    table.add_column("#", justify="right")
    table.add_column("architecture", no_wrap=True)
    for title in grid.titles:
        table.add_column(title, justify="right")
    for entry, cells in zip(entries, grid.rows, strict=True):
        table.add_row(str(entry.rank), _plain(entry.id), *map(_text, cells))
    return table


def _text(cell: Cell) -> str:
    mark = "!" if cell.over else ""
    below = f"\n[dim]{cell.interval}[/dim]" if cell.interval else ""
    return f"{cell.text}{mark}{below}"


def _plain(text: str) -> str:
    """`text` with its brackets kept from being read as markup."""
    return text.replace("[", "\\[")
