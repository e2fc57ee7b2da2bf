"""The front as a table in a notebook."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nas.report.data import FrontEntry
from nas.report.grid import Cell, front_grid


def front_html(
    rows: Sequence[Mapping[str, Any]], objectives: Sequence[str], *, limits: Mapping[str, float] | None = None
) -> str:
    """An HTML table of `rows`, the `architectures` of front.json: no style or script of its own."""
    if not rows:
        return "<p>The front is empty.</p>"
    entries = [FrontEntry.from_json(row) for row in rows]
    grid = front_grid(entries, objectives, limits=limits)
    head = "".join(f"<th>{escape(title)}</th>" for title in ("#", "architecture", *grid.titles))
    body = "".join(
        f"<tr><td>{entry.rank}</td><td><code>{escape(entry.id)}</code></td>{''.join(map(_cell, cells))}</tr>"
        for entry, cells in zip(entries, grid.rows, strict=True)
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _cell(cell: Cell) -> str:
    mark = " over the limit" if cell.over else ""
    interval = f"<br><small>{escape(cell.interval)}</small>" if cell.interval else ""
    return f"<td>{escape(cell.text)}{mark}{interval}</td>"
