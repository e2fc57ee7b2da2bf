"""A run and its front as they show themselves in a console and in a notebook."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

from nas.report.data import FrontEntry
from nas.report.grid import Cell, front_grid
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from nas.pipeline import Run


def run_text(run: "Run") -> str:
    """A run in a line: where it is, what it is about, how far it is."""
    return f"Run({str(run.path)!r}, objectives {', '.join(run.recipe.search.objectives)}: {_state(run)})"


def run_html(run: "Run") -> str:
    """A run as a line and the table of its front so far; a run that cannot be read says so."""
    from nas.live import so_far

    section = run.recipe.search
    head = f"<p><b>{escape(run.recipe.name)}</b> in <code>{escape(str(run.path))}</code>: {escape(_state(run))}</p>"
    try:
        rows = so_far(run).rows
    except NasError:
        return head
    return head + front_html(rows, section.objectives, limits=section.limits)


def _state(run: "Run") -> str:
    from nas.live import so_far

    try:
        found = so_far(run)
    except NasError as error:
        return str(error)
    ended = "" if found.is_final else ", not ended"
    return f"{len(found.evaluations)} architectures evaluated{ended}, {len(found.rows)} on the front"


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
