"""One architecture in plain text: its figures, its choices, and what every operator costs."""

from collections.abc import Mapping, Sequence

from nas.report.data import ArchitectureDetail, FrontEntry, OperatorRow, Value
from nas.report.picks import picks_words
from nas.report.units import display, shape_text, short, three

KIB = 1024


def explain_text(
    detail: ArchitectureDetail,
    *,
    picks: Mapping[str, Value] | None = None,
    entry: FrontEntry | None = None,
    values: Mapping[str, float | None] | None = None,
    provenance: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
) -> str:
    """Figures with what they are known by, main choices, group convolutions and the operator table, as lines of text.

    `entry` gives picks, values and provenance at once; each may be given alone for an architecture that is not
    on the front. Latency columns appear where some operator's latency is known.
    """
    chosen = picks if picks is not None else (entry.picks if entry else {})
    figures = values if values is not None else (entry.values if entry else {})
    kinds = provenance if provenance is not None else (entry.provenance if entry else {})
    blocks = [f"architecture {detail.id}"]
    if figures:
        blocks.append(_figures(figures, kinds, entry, units or {}))
    if chosen:
        blocks.append("\n".join(f"  {line}" for line in picks_words(chosen)))
    if detail.grouped:
        blocks.append(_grouped(detail))
    blocks.append(_operators(detail.operators))
    return "\n\n".join(blocks) + "\n"


def _figures(
    values: Mapping[str, float | None],
    kinds: Mapping[str, str],
    entry: FrontEntry | None,
    units: Mapping[str, str],
) -> str:
    rows: list[tuple[str, str, str]] = []
    for name, value in values.items():
        shown = display(name, [value], units)
        notes = [kinds.get(name, "")]
        if entry is not None and name in entry.intervals:
            low, high = entry.intervals[name]
            notes.append(f"{shown.number(low)} to {shown.number(high)}")
        if entry is not None and entry.measured.get(name) is not None:
            notes.append(f"measured {shown.text(entry.measured[name])}")
        rows.append((shown.label, shown.text(value), "; ".join(note for note in notes if note)))
    if entry is not None and entry.test_error is not None:
        rows.append(("test error", f"{100 * entry.test_error:.2f} %", "test"))
    return columns(rows, "lrl", indent="  ")


def _grouped(detail: ArchitectureDetail) -> str:
    """Arithmetic intensity, predicted energy and best group size of each group convolution."""
    head = ["group convolution", "channels", "positions", "group size", "MACs/element", "energy"]
    if detail.ridge is not None:
        head += ["best", "legal"]
    table: list[Sequence[str]] = [head]
    for layer in detail.grouped:
        line = [
            layer.name,
            str(layer.channels),
            str(layer.positions),
            str(layer.group_size),
            three(layer.intensity),
            short(layer.energy_relative),
        ]
        if detail.ridge is not None:
            line += ["–", "–"] if layer.best is None else [three(layer.best), str(layer.legal)]
        table.append(line)
    words = ["energy in units of one multiply-accumulate, from arithmetic and from what is moved"]
    if detail.intensity is not None:
        words.append(f"the whole network: {three(detail.intensity)} MACs per element moved")
    if detail.ridge is not None:
        words.append(f"the hardware's ridge: {three(detail.ridge)}; best: smallest group size that reaches it")
    return columns(table, "lrrrrrrr") + "\n" + "\n".join(f"  {line}" for line in words)


def _operators(rows: Sequence[OperatorRow]) -> str:
    timed = any(row.latency_ms is not None for row in rows)
    total = sum(row.latency_ms or 0.0 for row in rows)
    head = ["operator", "what it does", "output", "MACs", "params", "live KiB"]
    table: list[Sequence[str]] = [[*head, "µs", "share"] if timed else head]
    for row in rows:
        line = [
            row.name,
            row.operator,
            shape_text(row.shape),
            short(row.macs),
            short(row.params),
            three(row.live_bytes / KIB),
        ]
        if timed:
            known = row.latency_ms is not None and total > 0
            line.append(three(1000 * row.latency_ms) if row.latency_ms is not None else "–")
            line.append(f"{100 * (row.latency_ms or 0.0) / total:.1f} %" if known else "–")
        table.append(line)
    peak = max((row.live_bytes for row in rows), default=0)
    sums = [
        "total",
        f"{len(rows)} operators",
        "",
        short(sum(row.macs for row in rows)),
        short(sum(row.params for row in rows)),
        f"peak {three(peak / KIB)}",
    ]
    if timed:
        sums += [three(1000 * total), ""]
    table.append(sums)
    return columns(table, "lllrrrrr")


def columns(rows: Sequence[Sequence[str]], sides: str, *, indent: str = "") -> str:
    """Rows of cells in aligned columns; `sides` says "l" or "r" per column."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if side == "r" else cell.ljust(width)
            for cell, width, side in zip(row, widths, sides, strict=False)
        ]
        lines.append((indent + "  ".join(cells)).rstrip())
    return "\n".join(lines)
