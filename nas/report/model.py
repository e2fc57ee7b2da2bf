"""The page's data as plain JSON values: everything its script draws, computed here."""

import math
import shlex
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any
from urllib.parse import quote

import numpy as np

from nas.fidelity.result import Fidelity
from nas.report.axes import Axis, axes, coded
from nas.report.data import (
    BASELINE,
    EvaluatedPoint,
    FrontEntry,
    Mark,
    PredictorReport,
    ReportData,
    TrainingRow,
)
from nas.report.details import architecture_model, pooled
from nas.report.fronts import knee, staircase
from nas.report.packing import NONE_8, NONE_16, Scale, packed, slim, slims
from nas.report.picks import choices, picks_words
from nas.report.space_model import device_model, explored_model, kernels_model
from nas.report.units import Display, display
from nas.report.words import value_text
from predictors.figures import FIGURES

TOP_CHOICES = 15
Json = Any


def of_baseline(data: ReportData, points: Sequence[EvaluatedPoint]) -> list[bool]:
    """Per point, whether it belongs to the random baseline of a search that is not random itself."""
    searched = any(point.proposer != BASELINE for point in data.evaluations)
    return [searched and point.proposer == BASELINE for point in points]


def all_points(data: ReportData) -> tuple[EvaluatedPoint, ...]:
    """The evaluations, then those entries of the front that are not among them (number -1)."""
    known = {point.id for point in data.evaluations}
    extra = [
        EvaluatedPoint(-1, e.id, e.fingerprint, e.picks, e.values, e.provenance, proposer="front")
        for e in data.front
        if e.id not in known
    ]
    return (*data.evaluations, *extra)


def shown_figures(data: ReportData, points: Sequence[EvaluatedPoint]) -> tuple[str, ...]:
    """Figures that some point knows: objectives first, then limits, then the project's order."""
    known = {name for p in points for name, value in p.values.items() if slim(value) is not None}
    wanted = [*data.objectives, *data.limits, *FIGURES, *sorted(known)]
    return tuple(dict.fromkeys(name for name in wanted if name in known))


def displays(data: ReportData) -> dict[str, Display]:
    """How each figure of the page is shown; limits count, so that they read in the same unit."""
    points = all_points(data)
    names = dict.fromkeys([*data.objectives, *shown_figures(data, points), *data.limits])
    return {
        name: display(
            name,
            [p.values.get(name) for p in points if p.feasible] or [data.limits.get(name)],
            data.units,
        )
        for name in names
    }


def page_model(data: ReportData) -> dict[str, Json]:
    """Everything that the page's script draws, as strict JSON values."""
    points = all_points(data)
    menu = shown_figures(data, points)
    places = _front_places(data, points)
    offered = data.explored.slots if data.explored else choices([point.picks for point in points])
    rows = coded([point.picks for point in points], offered)
    own = axes(offered, rows) if points else ()
    sampled = axes(offered, data.explored.sample) if data.explored and points else ()
    scales = [_joint_scale(axis, sampled[i : i + 1]) for i, axis in enumerate(own)]
    return {
        "name": data.name,
        "objectives": [name for name in data.objectives if name in menu],
        "menu": menu,
        "figures": {name: _figure(shown) for name, shown in displays(data).items()},
        "limits": {name: slim(value) for name, value in data.limits.items()},
        "points": {
            **_points(data, points, places, menu),
            "choices": list(offered),
            "options": [
                [value_text(name.rpartition(".")[2], value) for value in values] for name, values in offered.items()
            ],
            "picks": packed(np.where(rows < 0, NONE_16, rows), "u2"),
        },
        "marks": [_mark(mark, data) for mark in data.marks],
        "front": [_front_entry(entry, places[entry.id]) for entry in data.front],
        "pairs": _pairs(data, points, places, menu),
        "axes": [_axis(axis, scale) for axis, scale in zip(own, scales, strict=True)],
        "hypervolume": {
            "search": [[count, slim(value)] for count, value in data.hypervolume.search],
            "random": [[count, slim(value)] for count, value in data.hypervolume.random],
            "unit": data.hypervolume.unit,
        },
        "importances": {name: _importance(found) for name, found in data.importances.items() if found},
        "training": _training(data.training),
        "predictor": _predictor(data.predictor),
        "fidelity": _fidelity(data.fidelity),
        "architectures": pooled(data.architectures, data.device),
        "explored": (
            None if data.explored is None else explored_model(data.explored, list(zip(sampled, scales, strict=False)))
        ),
        "device": device_model(data.device),
        "kernels": kernels_model(data.kernels),
        "stages": [[stage.name, round(stage.seconds, 2), stage.state] for stage in data.stages],
        "export_command": f"nas export {shlex.quote(data.run or data.name)} --arch",
        "explain_command": f"nas explain {shlex.quote(data.run or data.name)}",
    }


def _figure(shown: Display) -> dict[str, Json]:
    return {"label": shown.label, "unit": shown.unit, "scale": shown.scale, "title": shown.title}


def _front_places(data: ReportData, points: Sequence[EvaluatedPoint]) -> dict[str, int]:
    """Position among `points` per id of the front; the search's own evaluation before the baseline's."""
    wanted = {entry.id for entry in data.front}
    places: dict[str, int] = {}
    for i in sorted(range(len(points)), key=of_baseline(data, points).__getitem__) if wanted else ():
        if points[i].id in wanted:
            places.setdefault(points[i].id, i)
    return places


def _points(
    data: ReportData,
    points: Sequence[EvaluatedPoint],
    places: Mapping[str, int],
    menu: Sequence[str],
) -> dict[str, Json]:
    ranks = {places[entry.id]: i for i, entry in enumerate(data.front)}
    kinds: dict[tuple[tuple[str, str], ...], int] = {}
    proposers: dict[str, int] = {}
    lines: dict[str, int] = {}
    return {
        "id": [point.id for point in points],
        "number": [point.number for point in points],
        "proposer": [proposers.setdefault(point.proposer, len(proposers)) for point in points],
        "proposers": list(proposers),
        "seconds": slims(point.seconds for point in points),
        "feasible": [int(point.feasible) for point in points],
        "baseline": list(map(int, of_baseline(data, points))),
        "front": [ranks.get(i, -1) for i in range(len(points))],
        "words": [[lines.setdefault(line, len(lines)) for line in picks_words(point.picks)] for point in points],
        "lines": list(lines),
        "values": {name: slims(point.values.get(name) for point in points) for name in menu},
        "provenance": [kinds.setdefault(tuple(p.provenance.items()), len(kinds)) for p in points],
        "provenances": [dict(kind) for kind in kinds],
    }


def _mark(mark: Mark, data: ReportData) -> dict[str, Json]:
    return {
        "name": mark.name,
        "words": mark.words,
        "values": {name: slim(value) for name, value in mark.values.items() if slim(value) is not None},
        "provenance": dict(mark.provenance),
        "detail": None if mark.detail is None else architecture_model(mark.detail, data.device),
    }


def _front_entry(entry: FrontEntry, place: int) -> dict[str, Json]:
    folder = entry.export_folder
    return {
        "rank": entry.rank,
        "id": entry.id,
        "point": place,
        "fingerprint": entry.fingerprint,
        "intervals": {name: [slim(low), slim(high)] for name, (low, high) in entry.intervals.items()},
        "measured": {name: slim(value) for name, value in entry.measured.items() if slim(value) is not None},
        "test_error": slim(entry.test_error),
        "test_error_interval": entry.test_error_interval,
        "export": None if folder is None else folder_link(folder),
    }


def folder_link(folder: str) -> str:
    """Relative link to a folder; a colon is quoted, so that no name becomes a scheme."""
    return f"{quote(folder.strip('/'), safe='/')}/"


def _pairs(
    data: ReportData,
    points: Sequence[EvaluatedPoint],
    places: Mapping[str, int],
    menu: Sequence[str],
) -> dict[str, Json]:
    """Per two figures "x y": point positions on the front's and the baseline's staircase, and the knee."""
    front = [places[entry.id] for entry in data.front]
    baseline = of_baseline(data, points)
    random = [i for i, point in enumerate(points) if point.feasible and baseline[i]]
    columns = {name: [slim(point.values.get(name)) for point in points] for name in menu}
    pairs: dict[str, Json] = {}
    for x, y in combinations(menu, 2):

        def line(members: list[int], x: str = x, y: str = y) -> list[int]:
            xs, ys = [columns[x][i] for i in members], [columns[y][i] for i in members]
            return [members[i] for i in staircase(xs, ys)]

        on_front = line(front)
        pairs[f"{x} {y}"] = {
            "front": on_front,
            "knee": knee(on_front, columns[x], columns[y]),
            "random": line(random),
        }
    return pairs


def _joint_scale(axis: Axis, sampled: Sequence[Axis]) -> Scale:
    """One scale, in steps of a byte, for the values of points and of the sample."""
    return Scale.of(np.concatenate([axis.values, *(other.values for other in sampled)]), steps=NONE_8, log=False)


def _axis(axis: Axis, scale: Scale) -> dict[str, Json]:
    return {
        "label": axis.label,
        "unit": axis.unit,
        "low": slim(scale.low),
        "high": slim(scale.high),
        "values": packed(scale.places(axis.values), "u1"),
        "ticks": [[position, text] for position, text in axis.ticks],
    }


def _importance(found: Mapping[str, float]) -> list[list[Json]]:
    """Largest first; past `TOP_CHOICES` the rest as one sum."""
    ranked = sorted(
        ((name, float(value)) for name, value in found.items() if math.isfinite(value)),
        key=lambda item: (-item[1], item[0]),
    )
    rows: list[list[Json]] = [[name, slim(value)] for name, value in ranked[:TOP_CHOICES]]
    rest = ranked[TOP_CHOICES:]
    if rest:
        rows.append([f"{len(rest)} other choices", slim(sum(value for _, value in rest))])
    return rows


def _training(rows: Sequence[TrainingRow]) -> dict[str, Json]:
    return {
        "epoch": [row.epoch for row in rows],
        "seconds": [slim(row.seconds) for row in rows],
        "loss": [slim(row.loss) for row in rows],
        "largest": [slim(row.error_largest) for row in rows],
        "middle": [slim(row.error_middle) for row in rows],
        "smallest": [slim(row.error_smallest) for row in rows],
    }


def _predictor(report: PredictorReport | None) -> dict[str, Json] | None:
    if report is None:
        return None
    groups: dict[str, list[list[Json]]] = {}
    for row in report.rows:
        pair = [slim(row.measured_ms), slim(row.predicted_ms)]
        if None not in pair:
            groups.setdefault(row.group or "hold-out", []).append(pair)
    return {"groups": groups, "interval": None if report.interval is None else slims(report.interval)}


def _fidelity(found: Fidelity | None) -> dict[str, Json] | None:
    """Per group of networks (error alone, error with inherited or fine-tuned weights, picks in words)."""
    if found is None:
        return None
    groups: dict[str, list[list[Json]]] = {"in the band of MACs": [], "elsewhere": [], "fine-tuned": []}
    for network in found.networks:
        words = "\n".join(picks_words(network.picks))
        group = "in the band of MACs" if network.in_band else "elsewhere"
        groups[group].append([slim(network.alone_error), slim(network.inherited_error), words])
        if network.tuned_error is not None:
            groups["fine-tuned"].append([slim(network.alone_error), slim(network.tuned_error), words])
    return {name: rows for name, rows in groups.items() if rows}
