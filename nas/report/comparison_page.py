"""A comparison of fronts as one offline page: a plot of any two shared objectives, and the tables."""

from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Any

from nas.report.comparison import Comparison
from nas.report.comparison_text import rows
from nas.report.html import STYLES, asset, embedded, fill
from nas.report.packing import slim
from nas.report.static import table
from search_spaces.files import write_text

SCRIPTS = ("base.js", "comparison.js")


def write_comparison(found: Comparison, path: Path) -> None:
    """Write the page of `found` to `path`, whole; it needs no network and no other file."""
    write_text(path, comparison_page(found))


def comparison_page(found: Comparison) -> str:
    """The page as text."""
    from plotly.offline import get_plotlyjs

    names = " and ".join(side.name for side in found.sides)
    parts = {
        "title": escape(f"{names} · fronts compared"),
        "style": "\n".join(asset(name) for name in STYLES),
        "notes": "".join(f'<p class="note">{escape(note)}</p>' for note in _notes(found)),
        "summary": _summary(found),
        "points": _points(found),
        "differences": _differences(found),
        "data": embedded(_model(found)),
        "plotly": get_plotlyjs().replace("</script", "<\\/script"),
        "script": "\n".join(asset(name) for name in SCRIPTS),
    }
    return fill(asset("comparison.html"), parts)


def _notes(found: Comparison) -> Sequence[str]:
    single = [side.name for side in found.sides if len(side.front) == 1]
    lonely = f"The front of {' and of '.join(single)} has a single architecture."
    return (*found.notes, *([lonely] if single else []), *(mark.words for mark in found.marks))


def _model(found: Comparison) -> dict[str, Any]:
    shown = found.displays
    fronts = [
        {
            "name": side.name,
            "ids": [entry.id for entry in side.front],
            "values": {name: [slim(entry.values[name]) for entry in side.front] for name in found.objectives},
            "limits": {name: slim(side.limits[name]) for name in found.objectives if name in side.limits},
        }
        for side in found.sides
    ]
    return {
        "objectives": list(found.objectives),
        "figures": {name: {"title": shown[name].title, "scale": shown[name].scale} for name in found.objectives},
        "fronts": fronts,
        "marks": [
            {"name": mark.name, "values": {name: slim(mark.values.get(name)) for name in found.objectives}}
            for mark in found.marks
        ],
    }


def _summary(found: Comparison) -> str:
    shown = found.displays
    head = [
        "Front",
        "What it is",
        *(f"Dominates of {side.name}" for side in found.sides),
        "Architectures",
        "Hypervolume",
    ]
    body = [
        [
            escape(side.name),
            escape(side.words),
            *(_share(found, number, other.name) for other in found.sides),
            str(len(side.front)),
            f"{volume:.4f}",
        ]
        for number, (side, volume) in enumerate(zip(found.sides, found.hypervolumes, strict=True))
    ]
    ends = ", ".join(f"{shown[name].label} {shown[name].text(found.reference[name])}" for name in found.objectives)
    words = (
        "<p>The hypervolume is the share of one common box that a front dominates: from the best of every objective on "
        f"any front to {escape(ends)}, a tenth of the span beyond the worst.</p>"
    )
    return table(head, body, label="Fronts compared", numbers=len(found.sides) + 2) + words


def _share(found: Comparison, number: int, other: str) -> str:
    """How many of the architectures of `other` one of the front's dominates."""
    if found.sides[number].name == other:
        return "–"
    size = next(len(side.front) for side in found.sides if side.name == other)
    return f"{len(found.dominated[number][other])} of {size}"


def _points(found: Comparison) -> str:
    shown = found.displays
    head = ["Front", "Architecture", "Dominated by", *(shown[name].title for name in found.objectives)]
    body = [
        [
            escape(row["front"] or "your own"),
            f"<code>{escape(row['id'])}</code>",
            escape(", ".join(row["dominated_by"])),
            *(escape(shown[name].number(row["values"].get(name))) for name in found.objectives),
        ]
        for row in rows(found)
    ]
    return table(head, body, label="Every architecture", numbers=len(found.objectives), look="long")


def _differences(found: Comparison) -> str:
    if not found.differences:
        return "<p>No setting differs.</p>"
    head = ["Setting", *(side.name for side in found.sides), "What it means"]
    body = [
        [f"<code>{escape(one.key)}</code>", *map(escape, one.values), escape(one.meaning)] for one in found.differences
    ]
    return table(head, body, label="Settings that differ", look="long")
