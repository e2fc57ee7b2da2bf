"""The parts of the page that need no script: summary, tables, versions, recipe."""

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from nas.report.data import TAKEN_OVER, FrontEntry, ReportData
from nas.report.grid import Cell, Grid, front_grid
from nas.report.model import displays, folder_link, of_baseline
from nas.report.picks import Spread, spreads
from nas.report.units import Display, display, seconds_text, short, three
from nas.report.words import value_text


def table(
    head: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    label: str,
    numbers: int = 0,
    look: str = "",
) -> str:
    """An HTML table of ready-made cells in a scrolling frame of class `look`.

    The last `numbers` columns are right-aligned.
    """
    first_number = len(head) - numbers

    def line(cells: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        return "".join(
            f"<{tag}{scope}{' class=number' if i >= first_number else ''}>{cell}</{tag}>"
            for i, cell in enumerate(cells)
        )

    body = "\n".join(f"<tr>{line(row, 'td')}</tr>" for row in rows)
    return (
        f'<div class="scroll {look}" tabindex="0" role="region" aria-label="{escape(label)}">'
        f"<table><thead><tr>{line([escape(cell) for cell in head], 'th')}</tr></thead>"
        f"<tbody>\n{body}\n</tbody></table></div>"
    )


def absent(words: str) -> str:
    """A paragraph that says what is missing and why."""
    return f'<p class="absent">{escape(words)}</p>'


def plot(name: str, label: str, *, height: int = 0) -> str:
    """The frame that the script draws a plot into."""
    style = f' style="height:{height}px"' if height else ""
    return f'<div class="plot" id="{name}" role="figure" aria-label="{escape(label)}"{style}></div>'


def summary(data: ReportData) -> str:
    """Cards with the figures asked for first."""
    shown = displays(data)
    cards = [("Architectures evaluated", *_evaluated(data))]
    cards.append(("On the front", str(len(data.front)), "to choose from"))
    known = [e for e in data.front if e.values.get("error") is not None]
    if known:
        best = min(known, key=lambda entry: entry.values["error"] or 0.0)
        cards.append(
            (
                "Best validation error",
                shown["error"].text(best.values["error"]),
                f"on test data {_percent(best.test_error)}" if best.test_error is not None else "not tested",
            )
        )
    for name in data.objectives:
        values = [v for e in data.front if (v := e.values.get(name)) is not None]
        if name != "error" and values:
            low, high = min(values), max(values)
            note = f"the front spans {three(high / low)}×" if low > 0 else "on the front"
            text = f"{shown[name].number(low)} to {shown[name].text(high)}"
            cards.append((shown[name].label.capitalize(), text, note))
    if data.stages:
        total = sum(stage.seconds for stage in data.stages)
        cards.append(("Time", seconds_text(total), "all stages together"))
    items = "".join(
        f"<div class=card><dt>{escape(head)}</dt><dd><strong>{escape(value)}</strong>"
        f"<span>{escape(note)}</span></dd></div>"
        for head, value, note in cards
    )
    return f"<dl class=cards>{items}</dl>"


def _evaluated(data: ReportData) -> tuple[str, str]:
    baseline = sum(of_baseline(data, data.evaluations))
    before = sum(point.proposer == TAKEN_OVER for point in data.evaluations)
    count = len(data.evaluations) - baseline - before
    note = f"and {baseline} by random search" if baseline else "no random baseline"
    return str(count), f"{note}; {before} of earlier searches" if before else note


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.2f} %"


def front_rows(data: ReportData) -> str:
    """The front as a table: figures with intervals, measured beside predicted, test beside validation."""
    shown = displays(data)
    names = [name for name in (*data.objectives, *data.beside) if name in shown]
    return _front_table(data.front, front_grid(data.front, names, limits=data.limits, shown=shown), "the front")


def target_fronts(data: ReportData) -> str:
    """The front of each of several targets as a table, under what the target is."""
    parts = []
    for one in data.targets:
        limits = _limits_text(one.limits, {name: display(name, [most], {}) for name, most in one.limits.items()})
        parts.append(f"<h3>Front of {escape(one.name)}</h3><p>{escape(one.words)} {escape(limits)}</p>")
        grid = front_grid(one.front, one.objectives, limits=one.limits)
        words = f"the front of {one.name}"
        parts.append(_front_table(one.front, grid, words) if one.front else absent("Nothing keeps its limits."))
    return "".join(parts)


def remeasured(data: ReportData) -> str:
    """Figures of the front that were measured on the device afterwards: how far off, and whether limits hold."""
    rows, shown = [], displays(data)
    for name in shown:
        pairs = [(e.values.get(name), e.measured.get(name)) for e in data.front]
        known = [(told, found) for told, found in pairs if told is not None and found is not None]
        if not known:
            continue
        off = sorted(found / told - 1 for told, found in known if told)
        limit = data.limits.get(name)
        kept = sum(found <= limit for _, found in known) if limit is not None else None
        rows.append(
            [
                escape(shown[name].label),
                str(len(known)),
                f"{100 * off[0]:+.1f} % to {100 * off[-1]:+.1f} %" if off else "–",
                "no limit" if limit is None else escape(shown[name].text(limit)),
                "–" if kept is None else f"{kept} of {len(known)}",
            ]
        )
    if not rows:
        return absent("Nothing on the front was measured again on the device.")
    head = ["Figure", "Measured again", "Measured less predicted", "Limit", "Keep it when measured"]
    return table(head, rows, label="Figures measured again", numbers=4)


def _front_table(front: Sequence[FrontEntry], grid: Grid, words: str) -> str:
    columns = ["#", "Architecture", *grid.titles, "Exported"]
    rows = [
        [str(entry.rank), _button(entry.id), *map(_cell, cells), _link(entry.export_folder)]
        for entry, cells in zip(front, grid.rows, strict=True)
    ]
    return table(columns, rows, label=f"Architectures of {words}", numbers=len(columns) - 2, look="long")


def _button(identity: str) -> str:
    name = escape(identity)
    return f'<button type="button" class="pick" data-arch="{name}">{name}</button>'


def _cell(cell: Cell) -> str:
    mark = " <small class=warn>over the limit</small>" if cell.over else ""
    interval = f" <small>{escape(cell.interval)}</small>" if cell.interval else ""
    return f"{escape(cell.text)}{mark}{interval}"


def _link(folder: str | None) -> str:
    return f'<a href="{escape(folder_link(folder))}">folder</a>' if folder else "–"


def limits_words(data: ReportData) -> str:
    """The limits in one sentence."""
    return _limits_text(data.limits, displays(data))


def _limits_text(limits: Mapping[str, float], shown: Mapping[str, Display]) -> str:
    texts = [f"{shown[name].label} at most {shown[name].text(value)}" for name, value in limits.items()]
    return f"Limits: {'; '.join(texts)}." if texts else "No limits were set."


def spread_table(data: ReportData) -> str:
    """For each dimension, how often each of its values occurs on the front, shaded by share."""
    found = spreads([e.picks for e in data.front], [p.picks for p in data.evaluations])
    rows = [[escape(spread.dimension.replace("_", " ")), _bar(spread), escape(spread.verdict)] for spread in found]
    head = ["Dimension", "Values, with their share of all places on the front", "In words"]
    return table(head, rows, label="Values of each dimension on the front", look="wide")


def _bar(spread: Spread) -> str:
    cells = "".join(
        f'<span class="value" style="--share:{round(100 * share)}%" title="in {used} of the front\'s '
        f'architectures"><b>{escape(value_text(spread.dimension, value))}</b> {100 * share:.0f} %</span>'
        for value, share, used in zip(spread.values, spread.shares, spread.architectures, strict=True)
    )
    return f"<div class=values>{cells}</div>"


def predictor_summary(data: ReportData) -> str:
    """The predictor's summary figures as a list."""
    if data.predictor is None or not data.predictor.summary:
        return ""
    rows = [[escape(str(name)), escape(_plain(value))] for name, value in data.predictor.summary.items()]
    return table(["Hold-out figure", "Value"], rows, label="Hold-out figures", numbers=1)


def predictor_splits(data: ReportData) -> str:
    """The predictor's errors per group, and what is to be said of them."""
    if data.predictor is None:
        return ""
    notes = "".join(f"<p>{escape(note)}</p>" for note in data.predictor.notes)
    if not data.predictor.splits:
        return notes
    rows = [[escape(cell) for cell in row] for row in data.predictor.splits]
    head = data.predictor.split_head
    return notes + table(head, rows, label="Hold-out errors per group", numbers=len(head) - 1)


def stage_table(data: ReportData) -> str:
    """What each stage of the run took."""
    total = sum(stage.seconds for stage in data.stages) or 1.0
    rows = [
        [
            escape(stage.name),
            escape(stage.state),
            escape(seconds_text(stage.seconds)),
            f"{100 * stage.seconds / total:.0f} %",
        ]
        for stage in data.stages
    ]
    return table(["Stage", "State", "Time", "Share"], rows, label="Time per stage", numbers=2)


def environment_table(data: ReportData) -> str:
    """Versions, machine and seeds, nested entries with dotted names."""
    rows = [[escape(name), escape(value)] for name, value in flat(data.environment)]
    return table(["Entry", "Value"], rows, label="Environment")


def flat(entries: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted name, text) pairs."""
    found: list[tuple[str, str]] = []
    for name, value in entries.items():
        path = f"{prefix}{name}"
        if isinstance(value, Mapping):
            found += flat(value, f"{path}.")
        else:
            found.append((path, _plain(value)))
    return found


def _plain(value: Any) -> str:
    if value is None:
        return "not known"
    if isinstance(value, float):
        return short(value)
    if isinstance(value, (list, tuple)):
        return ", ".join(_plain(item) for item in value)
    return str(value)
