"""A comparison of fronts in the terminal, and as JSON values for programs."""

from typing import TYPE_CHECKING, Any

from nas.report.comparison import Comparison, Side

if TYPE_CHECKING:
    from rich.table import Table


def summary_table(found: Comparison) -> "Table":
    """One row per front: its size, its hypervolume, the range of each objective, what it dominates of the others."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    shown = found.displays
    ends = ", ".join(shown[name].text(found.reference[name]) for name in found.objectives)
    caption = f"hypervolume: share of the common box, from the best of all to {ends}"
    table = Table(box=SIMPLE_HEAD, caption=caption)
    table.add_column("front", no_wrap=True)
    for title in ("architectures", "hypervolume", *(shown[name].title for name in found.objectives)):
        table.add_column(title, justify="right")
    table.add_column("dominates")
    for side, volume, dominated in zip(found.sides, found.hypervolumes, found.dominated, strict=True):
        spans = [_span(found, side, name) for name in found.objectives]
        words = [f"{len(ids)} of {_size(found, other)} of {other}" for other, ids in dominated.items()]
        table.add_row(escape(side.name), str(len(side.front)), f"{volume:.4f}", *spans, escape(", ".join(words) or "–"))
    return table


def points_table(found: Comparison) -> "Table":
    """Every architecture of every front, least first objective first, and which other fronts have a better one."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    shown = found.displays
    table = Table(box=SIMPLE_HEAD)
    table.add_column("front", no_wrap=True)
    table.add_column("architecture", no_wrap=True)
    for name in found.objectives:
        table.add_column(shown[name].title, justify="right")
    table.add_column("dominated by")
    for row in rows(found):
        cells = [shown[name].number(row["values"].get(name)) for name in found.objectives]
        beaten = ", ".join(row["dominated_by"])
        table.add_row(escape(row["front"] or "own"), escape(row["id"]), *cells, escape(beaten))
    return table


def rows(found: Comparison) -> list[dict[str, Any]]:
    """Every architecture and every own network with its figures; own ones have no front."""
    every = [
        {
            "front": side.name,
            "id": entry.id,
            "values": dict(entry.values),
            "dominated_by": list(found.beaten_by(side, entry.id)),
        }
        for side in found.sides
        for entry in side.front
    ]
    own = [
        {
            "front": "",
            "id": mark.name,
            "values": dict(mark.values),
            "dominated_by": list(found.beating(mark.values)),
        }
        for mark in found.marks
    ]
    first = found.objectives[0]

    def place(row: dict[str, Any]) -> float:
        value = row["values"].get(first)
        return float("inf") if value is None else float(value)

    return sorted([*every, *own], key=place)


def differences_table(found: Comparison) -> "Table":
    """The settings that are not the same on all sides."""
    from rich.box import SIMPLE_HEAD
    from rich.markup import escape
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, caption="settings that differ" if found.differences else "no setting differs")
    table.add_column("setting")
    for side in found.sides:
        table.add_column(escape(side.name))
    table.add_column("meaning")
    for one in found.differences:
        table.add_row(escape(one.key), *map(escape, one.values), escape(one.meaning))
    return table


def comparison_json(found: Comparison) -> dict[str, Any]:
    """All of it as strict JSON values."""
    return {
        "objectives": list(found.objectives),
        "reference": dict(found.reference),
        "fronts": [
            {
                "name": side.name,
                "words": side.words,
                "hypervolume": volume,
                "dominates": {name: list(ids) for name, ids in dominated.items()},
            }
            for side, volume, dominated in zip(found.sides, found.hypervolumes, found.dominated, strict=True)
        ],
        "architectures": rows(found),
        "differences": [
            {"setting": one.key, "meaning": one.meaning, "values": list(one.values)} for one in found.differences
        ],
        "notes": list(found.notes),
    }


def _span(found: Comparison, side: Side, name: str) -> str:
    shown = found.displays[name]
    values = [value for entry in side.front if (value := entry.values.get(name)) is not None]
    low, high = shown.number(min(values)), shown.number(max(values))
    return low if low == high else f"{low} to {high}"


def _size(found: Comparison, name: str) -> int:
    return next(len(side.front) for side in found.sides if side.name == name)
