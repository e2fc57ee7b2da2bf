"""The front as a table in a terminal."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from nas.report.data import FrontEntry, Interval
from nas.report.units import Display, display

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

    bounds = limits or {}
    names = list(dict.fromkeys([*objectives, *bounds]))
    shown = {name: display(name, _known(entries, name), units or {}) for name in names}
    table = Table(box=SIMPLE_HEAD, caption=f"{len(entries)} architectures on the front")
    table.add_column("#", justify="right")
    table.add_column("architecture", no_wrap=True)
    tested = any(entry.test_error is not None for entry in entries)
    measured = {name for name in names if any(e.measured.get(name) is not None for e in entries)}
    for name in names:
        table.add_column(shown[name].title, justify="right")
        if name == "error" and tested:
            table.add_column("test error (%)", justify="right")
        if name in measured:
            table.add_column(f"measured ({shown[name].unit})", justify="right")
    for entry in entries:
        cells = [str(entry.rank), _plain(entry.id)]
        for name in names:
            cells.append(_cell(entry.values.get(name), entry.intervals.get(name), shown[name]))
            if name == "error" and tested:
                test = Display("test_error", "test error", "%", 100.0)
                cells.append(_cell(entry.test_error, entry.test_error_interval, test))
            if name in measured:
                value = entry.measured.get(name)
                over = value is not None and name in bounds and value > bounds[name]
                cells.append(_cell(value, None, shown[name]) + ("!" if over else ""))
        table.add_row(*cells)
    return table


def _known(entries: Sequence[FrontEntry], name: str) -> list[float | None]:
    return [entry.values.get(name) for entry in entries]


def _cell(value: float | None, interval: Interval | None, shown: Display) -> str:
    text = shown.number(value)
    if interval is None:
        return text
    return f"{text}\n[dim]{shown.number(interval[0])} to {shown.number(interval[1])}[/dim]"


def _plain(text: str) -> str:
    """`text` with its brackets kept from being read as markup."""
    return text.replace("[", "\\[")
