"""Warm starts between the searches of real, tiny runs: same weights or not, other objectives, refusals."""

import json
from pathlib import Path
from typing import Any

import pytest

import nas
import search_spaces as ss
from nas.api import open_run, run_recipe
from nas.cli_runs import search_again
from nas.recipe import Recipe, recipe_from
from nas.search.evaluators import SupernetEvaluator
from nas.warm import warm_started
from search_spaces import Architecture, NasError
from tests.nas.test_api import tiny

BUDGET = {"evaluations": 6, "random_evaluations": 4, "workers": 1, "lag": 0}
EVALUATED: list[str] = []


def evaluate(architecture: Architecture) -> dict[str, float]:
    EVALUATED.append(architecture.to_json())
    return {"error": 1 / float(architecture["width"]) + 0.01 * float(architecture["kernel"])}


def searched(root: Path, name: str, objectives: tuple[str, ...], *warm: str, space: Any = None) -> nas.Run:
    EVALUATED.clear()
    return nas.run(
        space or ss.SearchSpace(tiny),
        objectives=objectives,
        evaluate=evaluate,
        search={**BUDGET, "evaluations": 3, "random_evaluations": 2, "warm_start": list(warm)},
        export={"top": 0},
        root=root,
        name=name,
    )


def test_a_run_takes_over_what_another_one_evaluated(tmp_path: Path) -> None:
    first = searched(tmp_path, "first", ("error", "params"))
    before = set(EVALUATED)
    second = searched(tmp_path, "second", ("error", "macs"), "first")
    assert EVALUATED
    assert not before & set(EVALUATED)
    found = second.evaluations()
    taken = {one.architecture.to_json() for one in found if one.proposer == "earlier"}
    assert taken == {one.architecture.to_json() for one in first.evaluations()} == before
    assert "architectures evaluated in" in second.folder.report.read_text()
    again = searched(tmp_path, "third", ("error", "macs"), str(first.search_folder), str(second.path))
    assert {one.architecture.to_json() for one in again.evaluations()} >= {one.architecture.to_json() for one in found}


def test_names_that_lead_nowhere_are_refused_before_anything_happens(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"search\.warm_start: 'firts' has no evaluations; name the folder of a run"):
        searched(tmp_path, "second", ("error", "params"), "firts")
    assert not (tmp_path / "second").exists()


def test_another_space_is_refused(tmp_path: Path) -> None:
    searched(tmp_path, "first", ("error", "params"))

    def other(net: ss.NetworkBuilder, pick: ss.Pick) -> ss.Tensor:
        x = ss.conv_norm_act(net, net.input(1, 8, 8), pick("breadth", (8, 16, 24, 32)), kernel=pick("kernel", (3, 5)))
        return ss.classifier(net, x, 10)

    with pytest.raises(NasError, match="does not fit: an earlier evaluation is not of this space"):
        searched(tmp_path, "second", ("error", "params"), "first", space=ss.SearchSpace(other))


def recipe(name: str, seed: int, **search: Any) -> Recipe:
    options = {"widths": [[8, 16]], "depths": [[1, 2]], "strides": [2], "kernels": [3, 5], "sparsities": [0.0]}
    return recipe_from(
        {
            "name": name,
            "space": {"name": "mobile", "options": {**options, "resolutions": [8], "group_sizes": [1]}},
            "task": {"limit": 200},
            "supernet": {"epochs": 1, "batch_size": 64, "seed": seed, "precision": "fp32"},
            "search": {"objectives": ["error", "params"], **BUDGET, **search},
            "export": {"top": 0},
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("warm")
    run_recipe(recipe("first", 0), root=root)
    return root


@pytest.fixture
def evaluated(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that a supernet is asked for during the test."""
    asked: list[str] = []
    plain = SupernetEvaluator.evaluate

    def watched(self: SupernetEvaluator, architecture: Architecture, seed: int) -> dict[str, float]:
        asked.append(architecture.to_json())
        return plain(self, architecture, seed)

    monkeypatch.setattr(SupernetEvaluator, "evaluate", watched)
    return asked


def picks(run: nas.Run) -> dict[str, float]:
    return {one.architecture.to_json(): one.values["error"] for one in run.evaluations()}


def test_searches_of_one_run_never_evaluate_a_network_twice(
    trained: Path, evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    before = picks(open_run(trained / "first"))
    sets = ["search.name=macs", "search.objectives=['error', 'macs']"]
    search_again(str(trained / "first"), sets)
    assert not before.keys() & set(evaluated)
    rows = json.loads((trained / "first" / "searches" / "macs" / "evaluations.json").read_text())
    shared = [row for row in rows if json.dumps(row["picks"]) in before]
    assert shared
    assert all(row["cached"] and row["values"]["error"] == before[json.dumps(row["picks"])] for row in shared)
    assert {row["proposer"] for row in rows} == {"surrogate", "random"}


def test_equal_weights_in_another_run_are_recognised(trained: Path, evaluated: list[str]) -> None:
    found = run_recipe(recipe("twin", 0, warm_start=["first"]), root=trained)
    before = picks(open_run(trained / "first"))
    assert not before.keys() & set(evaluated)
    assert before.items() <= picks(found).items()


def test_of_other_weights_only_the_best_are_tried_first(trained: Path, evaluated: list[str]) -> None:
    found = run_recipe(recipe("other", 1, warm_start=["first"]), root=trained)
    assert {one.proposer for one in found.evaluations()} == {"surrogate", "random"}
    assert len(evaluated) == sum(not one.cached for one in found.evaluations())
    tried = json.loads((found.search_folder / "earlier.json").read_text())
    assert tried["learned"] == []
    assert 1 <= len(tried["tried"]) <= 2
    early = [one.architecture.to_json() for one in found.evaluations()[:4]]
    assert {json.dumps(one) for one in tried["tried"]} <= set(early)
    assert "other weights, data or settings" in found.folder.report.read_text()


def test_what_training_learnt_of_choices_is_tried_first(tmp_path: Path) -> None:
    given = recipe("learnt", 0, evaluations=30, random_evaluations=0).model_dump(exclude_none=True)
    given["supernet"] |= {"rule": "gumbel", "relaxed": ["kernel"]}
    found = run_recipe(recipe_from(given), root=tmp_path)
    likely = found.trained_supernet.likely
    assert set(likely) == {"stage0.block0.kernel", "stage0.block1.kernel"}
    best = {name: (3, 5)[shares.index(max(shares))] for name, shares in likely.items()}
    extremes = 2
    first = found.evaluations()[extremes].architecture.values
    assert {name: first[name] for name in best} == best
    problem, _ = warm_started(found, found.problem())
    assert problem.starts is not None
    assert len(problem.starts) == extremes + 3
