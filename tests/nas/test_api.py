"""Runs from Python: a space no recipe names, an evaluate of the user's own, resuming, refusals."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

import nas
import search_spaces as ss
from nas.api import run_recipe
from nas.recipe import Recipe, recipe_from
from predictors.target import load_target
from search_spaces import Architecture, NasError, NetworkBuilder, Pick, Tensor
from search_spaces.catalog import mobile

SMALL = {"widths": [[8, 16]], "depths": [[1, 2]], "strides": [2], "kernels": [3], "sparsities": [0.0]}
QUICK = {"evaluations": 12, "random_evaluations": 4, "workers": 1, "lag": 0}


def tiny(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = net.input(1, 8, 8)
    x = ss.conv_norm_act(net, x, pick("width", (8, 16, 24, 32)), kernel=pick("kernel", (3, 5)))
    return ss.classifier(net, x, 10)


def evaluate(architecture: Architecture) -> dict[str, float]:
    return {"error": 1 / float(architecture["width"]), "own": float(architecture["kernel"])}


def test_an_own_space_and_evaluation_are_searched_and_resumed(tmp_path: Path) -> None:
    def search(*, resume: bool) -> nas.Run:
        return nas.run(
            ss.SearchSpace(tiny),
            objectives=("error", "own", "params"),
            evaluate=evaluate,
            search={**QUICK, "evaluations": 8, "random_evaluations": 0},
            export={"top": 0},
            root=tmp_path,
            resume=resume,
        )

    found = search(resume=False)
    assert {entry["picks"]["width"] for entry in found.front} == {8, 16, 24, 32}
    assert {entry["picks"]["kernel"] for entry in found.front} == {3}
    assert (tmp_path / "run" / "report.html").stat().st_size > 10_000
    before = json.loads((found.search_folder / "front.json").read_text())
    assert json.loads((search(resume=True).search_folder / "front.json").read_text()) == before
    with pytest.raises(NasError, match="exists: continue it with --resume"):
        search(resume=False)


def hardware(**search: object) -> Recipe:
    return recipe_from(
        {
            "name": "hardware",
            "space": {"name": "mobile", "options": SMALL},
            "search": {"objectives": ["params", "macs"], **QUICK, **search},
            "export": {"top": 1, "formats": ["pytorch"]},
        }
    )


def test_a_run_is_not_continued_under_other_settings(tmp_path: Path) -> None:
    run_recipe(hardware(), root=tmp_path)
    with pytest.raises(NasError, match=r"other settings \(search.seed\)"):
        run_recipe(hardware(seed=1), root=tmp_path, resume=True)


def test_limits_nobody_can_meet_are_refused_with_what_can_be_reached(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"params may be at most 10, but the smallest .* is \d[\d,]+ \("):
        run_recipe(hardware(limits={"params": 10}), root=tmp_path)


@pytest.mark.parametrize("target", [{"precision": "int8"}, {"name": "int8.json"}])
def test_error_and_latency_in_different_number_formats_are_refused(
    target: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    packaged = load_target("raspberry_pi_5")
    replace(packaged, identity=replace(packaged.identity, precision="int8")).save(tmp_path / "int8.json")
    data = {
        "space": {"name": "mobile", "options": SMALL},
        "target": target,
        "search": {"objectives": ["error", "latency_ms"], **QUICK},
    }
    with pytest.raises(NasError, match="those of int8 networks, but error is evaluated in fp32"):
        run_recipe(recipe_from(data), root=tmp_path)
    assert not (tmp_path / "run").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    run_recipe(hardware(), root=tmp_path, dry_run=True, say=said.append)
    assert any(line.startswith("search") for line in said)
    assert any(line.startswith("in all") for line in said)
    assert not (tmp_path / "hardware").exists()


def test_an_unknown_run_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NasError, match="there is no run 'other'"):
        nas.open_run("other", root=tmp_path)


def test_the_middle_of_the_catalogue_is_reachable_by_object(tmp_path: Path) -> None:
    found = nas.run(
        mobile((1, 8, 8), 10, **SMALL),
        objectives=("params", "macs"),
        search={**QUICK, "evaluations": 4, "random_evaluations": 0},
        export={"top": 0},
        root=tmp_path,
    )
    assert found.front
