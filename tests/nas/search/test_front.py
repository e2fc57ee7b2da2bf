"""Fronts, curves and files, against brute force and a reader that knows nothing of the writer."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import moocore
import numpy as np
import pytest

from nas.report.data import FrontEntry
from nas.search.front import curves, knee, pareto_front, write_front
from nas.search.importance import importances
from nas.search.record import Evaluation
from search_spaces.space import Architecture

OBJECTIVES = ("error", "macs")


def evaluation(number: int, error: float, macs: float, **changes) -> Evaluation:
    made = Evaluation(
        number=number,
        architecture=Architecture.of({"width": number % 5, "kind": "wide" if number % 2 else "narrow"}),
        id=f"id{number}",
        fingerprint=f"print{number}",
        values={"error": error, "macs": macs, "params": 7.0},
        provenance={"error": "validation", "macs": "counted"},
        proposer="surrogate",
    )
    return replace(made, **changes)


@pytest.fixture
def found(rng: np.random.Generator) -> list[Evaluation]:
    points = rng.random((40, 2)).round(2)
    chosen = [evaluation(i, e, m, feasible=bool(i % 7)) for i, (e, m) in enumerate(points.tolist())]
    baseline = [
        evaluation(i, e, m, proposer="random", id=f"r{i}") for i, (e, m) in enumerate(rng.random((30, 2)).tolist())
    ]
    return chosen + baseline


def dominates(a: Evaluation, b: Evaluation) -> bool:
    pairs = [(a.values[name], b.values[name]) for name in OBJECTIVES]
    return all(x <= y for x, y in pairs) and any(x < y for x, y in pairs)


def test_the_front_is_what_brute_force_finds(found: list[Evaluation]) -> None:
    legal = [one for one in found if one.feasible]
    expected = {one.id for one in legal if not any(dominates(other, one) for other in legal)}
    front = pareto_front(found, OBJECTIVES)
    assert {member.evaluation.id for member in front} == expected
    assert [member.rank for member in front] == list(range(1, len(front) + 1))
    errors = [member.evaluation.values["error"] for member in front]
    assert errors == sorted(errors)


def test_twins_stand_once_on_the_front() -> None:
    twins = [evaluation(0, 0.1, 5.0), evaluation(1, 0.1, 5.0, id="id0"), evaluation(2, 0.2, 1.0)]
    assert [member.evaluation.number for member in pareto_front(twins, OBJECTIVES)] == [0, 2]
    assert pareto_front([], OBJECTIVES) == ()


def test_curves_are_the_hypervolume_after_each_evaluation(found: list[Evaluation]) -> None:
    shown = curves(found, OBJECTIVES)
    legal = np.array([[one.values[name] for name in OBJECTIVES] for one in found if one.feasible])
    best, worst = legal.min(0), legal.max(0)
    for proposer, curve in (("surrogate", shown.search), ("random", shown.random)):
        mine = [one for one in found if one.proposer == proposer]
        assert [count for count, _ in curve] == list(range(1, len(mine) + 1))
        for count, value in curve:
            points = [[one.values[name] for name in OBJECTIVES] for one in mine[:count] if one.feasible]
            scaled = (np.array(points).reshape(-1, 2) - best) / (worst - best)
            expected = moocore.hypervolume(scaled, ref=[1.0, 1.0]) if len(scaled) else 0.0
            assert value == pytest.approx(expected, abs=1e-12)
    assert shown.reference == dict(zip(OBJECTIVES, worst.tolist(), strict=True))
    assert shown.final == shown.search[-1][1]


def test_no_legal_evaluation_gives_empty_curves() -> None:
    assert curves([evaluation(0, 0.5, 1.0, feasible=False)], OBJECTIVES).search == ()
    assert curves([], OBJECTIVES).final is None


def test_the_knee_bends_most() -> None:
    points = [(0.1, 10.0), (0.2, 3.0), (0.6, 2.0), (0.9, 1.0)]
    front = pareto_front([evaluation(i, e, m) for i, (e, m) in enumerate(points)], OBJECTIVES)
    bent = knee(front, OBJECTIVES)
    assert bent is not None
    assert bent.evaluation.number == 1
    assert knee((), OBJECTIVES) is None


def test_files_hold_the_front(found: list[Evaluation], tmp_path: Path) -> None:
    front = pareto_front(found, OBJECTIVES)
    front = (
        replace(
            front[0],
            intervals={"latency_ms": (0.1, 0.2)},
            test_error=0.25,
            test_error_interval=(0.2, 0.3),
            measured={"latency_ms": 0.15},
        ),
        *front[1:],
    )
    write_front(tmp_path, front, objectives=OBJECTIVES, limits={"params": 9.0}, history=curves(found, OBJECTIVES))
    data = json.loads((tmp_path / "front.json").read_text())
    assert data["objectives"] == ["error", "macs"]
    assert data["limits"] == {"params": 9.0}
    assert len(data["hypervolume"]["search"]) == 40
    entry = FrontEntry.from_json(data["architectures"][0])
    assert entry.picks == front[0].evaluation.architecture.values
    assert entry.values == front[0].evaluation.values
    assert entry.intervals == {"latency_ms": (0.1, 0.2)}
    assert (entry.test_error, entry.test_error_interval) == (0.25, (0.2, 0.3))
    with (tmp_path / "front.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["id"] for row in rows] == [member.evaluation.id for member in front]
    assert float(rows[0]["error"]) == front[0].evaluation.values["error"]
    assert rows[0]["measured latency_ms"] == "0.15"
    assert rows[1]["test_error"] == ""
    assert rows[0]["kind"] in ("wide", "narrow")


def test_importances_find_what_the_formula_uses(rng: np.random.Generator) -> None:
    found = []
    for number in range(80):
        picks = {"big": int(rng.integers(5)), "small": str(rng.integers(3)), "none": int(rng.integers(4)), "one": 1}
        if picks["big"] > 2:
            picks["only sometimes"] = int(rng.integers(2))
        error = 0.5 - 0.1 * picks["big"] - 0.02 * (picks["small"] == "1")
        values = {"error": error, "flat": 1.0}
        found.append(evaluation(number, 0, 0, architecture=Architecture.of(picks), values=values))
    shares = importances(found, ("error", "flat"))
    assert list(shares) == ["error"]
    assert sum(shares["error"].values()) == pytest.approx(1.0)
    assert next(iter(shares["error"])) == "big"
    assert shares["error"]["big"] > 0.6
    assert shares["error"]["none"] < 0.05
    assert "one" not in shares["error"]
    assert importances(found, ("error",)) == importances(found, ("error",))
    assert importances(found[:5], ("error",)) == {}
