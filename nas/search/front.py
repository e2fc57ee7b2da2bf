"""The Pareto front of a search, how fast its hypervolume grew, and the files it is written to."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from nas.search.domain import Floats
from nas.search.earlier import EARLIER
from nas.search.gain import hypervolume, non_dominated
from nas.search.record import RANDOM, Evaluation, Identity, distinct
from nas.search.screening import is_partial
from search_spaces.files import write_json, write_text

Interval = tuple[float, float]


@dataclass(frozen=True)
class FrontMember:
    """One architecture of the front, with what was found out about it afterwards.

    rank: from 1, least first objective first. intervals: figure name to (low, high). test_error: share, `None` when
    not tested, with its interval. measured: figure name to what the device showed afterwards.
    """

    rank: int
    evaluation: Evaluation
    intervals: Mapping[str, Interval] = field(default_factory=dict)
    test_error: float | None = None
    test_error_interval: Interval | None = None
    measured: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The entry of front.json."""
        evaluation = self.evaluation
        return {
            "rank": self.rank,
            "id": evaluation.id,
            "fingerprint": evaluation.fingerprint,
            "picks": evaluation.architecture.values,
            "values": dict(evaluation.values),
            "provenance": dict(evaluation.provenance),
            "intervals": {name: list(interval) for name, interval in self.intervals.items()},
            "test_error": self.test_error,
            "test_error_interval": list(self.test_error_interval) if self.test_error_interval else None,
            "measured": dict(self.measured),
            "proposer": evaluation.proposer,
            "number": evaluation.number,
        }


@dataclass(frozen=True)
class Curves:
    """Hypervolume after each number of evaluations, of the search and of random search, as a share of a box.

    The box reaches from the best of each objective to `reference`, the worst, among everything evaluated that keeps
    the limits. A curve ends where its evaluations end; that of a search which took over earlier evaluations begins
    with what those had reached, at 0.
    """

    search: tuple[tuple[int, float], ...] = ()
    random: tuple[tuple[int, float], ...] = ()
    reference: Mapping[str, float] = field(default_factory=dict)

    @property
    def final(self) -> float | None:
        """The last value of the search."""
        return self.search[-1][1] if self.search else None


def points(evaluations: Sequence[Evaluation], objectives: Sequence[str]) -> Floats:
    """[n, n_objectives] the objectives of evaluations."""
    rows = [[evaluation.values[name] for name in objectives] for evaluation in evaluations]
    return np.array(rows, dtype=float).reshape(len(rows), len(objectives))


def pareto_front(
    evaluations: Sequence[Evaluation], objectives: Sequence[str], *, by: Identity = "id"
) -> tuple[FrontMember, ...]:
    """What keeps every limit and nothing else dominates, each network once, by rising first objective."""
    kept = distinct(filter(_counts, evaluations), by=by)
    values = points(kept, objectives)
    best = [kept[i] for i in np.flatnonzero(non_dominated(values))]
    best.sort(key=lambda evaluation: tuple(evaluation.values[name] for name in objectives))
    return tuple(FrontMember(rank, evaluation) for rank, evaluation in enumerate(best, start=1))


def curves(evaluations: Sequence[Evaluation], objectives: Sequence[str]) -> Curves:
    """The hypervolume over the evaluations of the search and, beside it, over those of its random baseline."""
    feasible = [evaluation for evaluation in evaluations if _counts(evaluation)]
    if not feasible:
        return Curves()
    values = points(feasible, objectives)
    best, worst = values.min(0), values.max(0)
    width = np.where(worst > best, worst - best, 1.0)
    names = list(dict.fromkeys(evaluation.proposer for evaluation in evaluations))
    by_name = {name: [e for e in evaluations if e.proposer == name] for name in names}
    chosen = next((name for name in names if name not in (RANDOM, EARLIER)), RANDOM)

    def curve(proposed: Sequence[Evaluation], before: Sequence[Evaluation] = ()) -> tuple[tuple[int, float], ...]:
        front = (points([one for one in before if _counts(one)], objectives) - best) / width
        front = front[non_dominated(front)]
        corner = np.ones(len(objectives))
        found = [(0, hypervolume(front, corner))] if before else []
        for count, evaluation in enumerate(proposed, start=1):
            if _counts(evaluation):
                scaled = (points([evaluation], objectives) - best) / width
                front = np.concatenate([front, scaled])
                front = front[non_dominated(front)]
            found.append((count, hypervolume(front, corner)))
        return tuple(found)

    return Curves(
        search=curve(by_name.get(chosen, ()), by_name.get(EARLIER, ())),
        random=curve(by_name.get(RANDOM, ())) if chosen != RANDOM else (),
        reference=dict(zip(objectives, map(float, worst), strict=True)),
    )


def _counts(evaluation: Evaluation) -> bool:
    """Whether it keeps every limit and was evaluated to the end."""
    return evaluation.feasible and not is_partial(evaluation.values)


def knee(front: Sequence[FrontMember], objectives: Sequence[str]) -> FrontMember | None:
    """The member farthest below the plane through the ends of the front, each objective scaled to [0, 1]."""
    if not front:
        return None
    return front[knee_place(points([member.evaluation for member in front], objectives))]


def knee_place(values: Floats) -> int:
    """Which of the points [n, n_objectives] of a front its knee is: the least sum of objectives scaled to [0, 1]."""
    spread = values.max(0) - values.min(0)
    scaled = (values - values.min(0)) / np.where(spread > 0, spread, 1.0)
    return int(np.argmin(scaled.sum(1)))


def write_front(
    folder: Path,
    front: Sequence[FrontMember],
    *,
    objectives: Sequence[str],
    limits: Mapping[str, float],
    history: Curves | None = None,
    over_limit: Mapping[str, Mapping[str, float | None]] | None = None,
) -> None:
    """Write front.json and front.csv into `folder`, each whole.

    over_limit: {id: measured figures} of what would be on the front but for a limit that it broke when measured.
    """
    shown = history or Curves()
    data = {
        "objectives": list(objectives),
        "limits": dict(limits),
        "architectures": [member.to_json() for member in front],
        "over_limit": {name: dict(found) for name, found in (over_limit or {}).items()},
        "hypervolume": {
            "value": shown.final,
            "unit": "share of the reference box",
            "reference": dict(shown.reference),
            "search": [list(pair) for pair in shown.search],
            "random": [list(pair) for pair in shown.random],
        },
    }
    write_json(folder / "front.json", data)
    write_text(folder / "front.csv", _table(front, objectives))


def _table(front: Sequence[FrontMember], objectives: Sequence[str]) -> str:
    """One line per member: rank, identity, objectives, other figures, what was measured, picks."""
    figures = _ordered([list(objectives), *(list(member.evaluation.values) for member in front)])
    measured = _ordered([list(member.measured) for member in front])
    picks = _ordered([list(member.evaluation.architecture.values) for member in front])
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(
        ["rank", "id", "fingerprint", *figures, "test_error", *(f"measured {name}" for name in measured), *picks]
    )
    for member in front:
        values, chosen = member.evaluation.values, member.evaluation.architecture.values
        row: list[Any] = [member.rank, member.evaluation.id, member.evaluation.fingerprint]
        row += [values.get(name) for name in figures]
        row.append(member.test_error)
        row += [member.measured.get(name) for name in measured]
        row += [chosen.get(name) for name in picks]
        writer.writerow(["" if cell is None else cell for cell in row])
    return text.getvalue()


def _ordered(names: Sequence[Sequence[str]]) -> list[str]:
    """Every name once, in order of first appearance."""
    return list(dict.fromkeys(name for group in names for name in group))
