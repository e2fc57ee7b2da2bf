"""Several targets in one run: fronts that brute force confirms, and no network evaluated twice."""

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import nas
import search_spaces as ss
from nas.api import open_run
from nas.cli import main
from nas.devices import robust_recipe, target_recipe
from nas.pipeline import Run
from nas.recipe import Recipe, recipe_from
from nas.run_folder import RunFolder
from nas.search.gain import non_dominated
from predictors.latency import network_latency_ms
from predictors.target import load_target
from search_spaces import Architecture, NasError
from search_spaces.catalog import mobile

TARGETS = ("nvidia_p100", "raspberry_pi_5")
QUICK = {"evaluations": 30, "random_evaluations": 6, "workers": 1, "lag": 0}


def space_of_many(net: ss.NetworkBuilder, pick: ss.Pick) -> ss.Tensor:
    """Wide and shallow suits one kind of device, narrow and deep another."""
    x = ss.conv_norm_act(net, net.input(1, 8, 8), 8, kernel=3, name="stem")
    for i in range(pick("depth", (1, 2, 3, 4))):
        x = ss.conv_norm_act(net, x, pick("width", (8, 32, 128)), kernel=pick("kernel", (1, 3)), name=f"block{i}")
    return ss.classifier(net, x, 10)


SPACE = ss.SearchSpace(space_of_many)
ASKED: Counter[str] = Counter()


def error_of(architecture: Architecture) -> float:
    values = architecture.values
    return 1 / (1 + float(values["depth"]) * np.log2(float(values["width"])) * (1 + float(values["kernel"])))


def evaluate(architecture: Architecture) -> dict[str, float]:
    ASKED[architecture.to_json()] += 1
    return {"error": error_of(architecture)}


def recipe(**parts: Any) -> Recipe:
    data = {"space": {"name": "mobile"}, "target": {"name": TARGETS[0], "also": [TARGETS[1]]}, **parts}
    return recipe_from(data)


def test_limits_of_targets_are_read_and_written() -> None:
    limits = {"latency_ms": {"nvidia_p100": "2 ms", "raspberry_pi_5": 0.5}, "params": "1 k"}
    found = recipe(search={"limits": limits})
    assert found.search.limits == {"latency_ms@nvidia_p100": 2.0, "latency_ms@raspberry_pi_5": 0.5, "params": 1000.0}
    assert recipe_from(tomllib.loads(found.to_toml())) == found
    assert found.target.names == {name: name for name in TARGETS}
    assert recipe(target={"name": "this", "also": ["boards/pi.json"]}).target.names == {
        "this": "this",
        "pi": "boards/pi.json",
    }


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"target": {"also": ["a/pi.json", "b/pi.json"]}}, r"target\.also\[1\]: two targets are called 'pi'"),
        ({"target": {"also": ["worst.json"]}}, r"target\.also\[0\]: a target among several cannot be called 'worst'"),
        ({"search": {"limits": {"latency_ms": {"pi": 1.0}}}}, r"limits\.latency_ms@pi: unknown target 'pi'"),
        ({"search": {"limits": {"params": {"nvidia_p100": 1.0}}}}, "params is the same on every target"),
        ({"target": {}, "search": {"limits": {"latency_ms": {"this": 1}}}}, "has one target: write latency_ms"),
    ],
)
def test_mistakes_name_their_place(parts: dict[str, Any], message: str) -> None:
    with pytest.raises(NasError, match=message):
        recipe(**parts)


def test_every_search_has_its_share_and_its_limits() -> None:
    limits = {"latency_ms": "3 ms", "latency_ms@raspberry_pi_5": "1 ms", "params": 1000}
    whole = recipe(search={"limits": limits, "evaluations": 32, "minutes": 3.0})
    robust, one = robust_recipe(whole).search, target_recipe(whole, "raspberry_pi_5").search
    assert robust.objectives == ("error", "latency_ms@worst")
    assert robust.limits == {"latency_ms@nvidia_p100": 3.0, "latency_ms@raspberry_pi_5": 1.0, "params": 1000.0}
    assert (one.name, one.objectives, one.limits) == (
        "search-raspberry_pi_5",
        ("error", "latency_ms"),
        {"latency_ms": 1.0, "params": 1000.0},
    )
    assert (robust.evaluations, one.evaluations, robust.minutes, one.minutes) == (12, 10, 1.0, 1.0)
    assert one.warm_start == ("search", "search-nvidia_p100")


def searched(root: Path, *, resume: bool = False, space: ss.SearchSpace = SPACE, **changes: Any) -> Run:
    ASKED.clear()
    return nas.run(
        space,
        target=TARGETS,
        evaluate=evaluate,
        search=QUICK | changes,
        limits={"latency_ms": LIMITS},
        export={"top": 0},
        root=root,
        resume=resume,
    )


def latencies(architectures: list[Architecture]) -> dict[str, np.ndarray]:
    networks = [SPACE.build(one) for one in architectures]
    return {
        name: np.array([network_latency_ms(load_target(name).latency, network) for network in networks])
        for name in TARGETS
    }


ALL = list(SPACE.enumerate())
TRUTH = latencies(ALL)
ERRORS = np.array([error_of(one) for one in ALL])
LIMITS = {name: float(np.quantile(TRUTH[name], share)) for name, share in zip(TARGETS, (0.8, 0.65), strict=True)}


def front_of(cost: np.ndarray, kept: np.ndarray) -> set[tuple[float, float]]:
    points = np.stack([ERRORS, cost], axis=1)[kept]
    return {(round(float(e), 9), float(f"{c:.9g}")) for e, c in points[non_dominated(points)]}


def points_of(front: list[dict[str, Any]], figure: str) -> set[tuple[float, float]]:
    return {(round(entry["values"]["error"], 9), float(f"{entry['values'][figure]:.9g}")) for entry in front}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return searched(tmp_path_factory.mktemp("devices"), evaluations=90)


def test_all_fronts_are_those_of_brute_force(whole: Run) -> None:
    kept = {name: values <= LIMITS[name] for name, values in TRUTH.items()}
    worst = np.max([values / LIMITS[name] for name, values in TRUTH.items()], axis=0)
    assert points_of(whole.front, "latency_ms@worst") == front_of(worst, np.logical_and(*kept.values()))
    for name in TARGETS:
        assert points_of(whole.front_for(name), "latency_ms") == front_of(TRUTH[name], kept[name])
    assert not np.array_equal(*kept.values())


def test_every_network_was_evaluated_once_and_resuming_evaluates_none(whole: Run) -> None:
    assert len(ASKED) == sum(ASKED.values()) > 10
    fronts = [whole.front, *map(whole.front_for, TARGETS)]
    again = searched(whole.path.parent, resume=True, evaluations=90)
    assert not ASKED
    assert [again.front, *map(again.front_for, TARGETS)] == fronts


def test_tables_and_networks_agree(whole: Run) -> None:
    rows = whole.compiled.sample(np.random.default_rng(1), 6)
    table = whole.tables.score(rows)
    assert set(table) == set(whole.tables.names)
    for i, row in enumerate(rows):
        values = whole.costs.values(whole.network(whole.compiled.decode(row)))
        assert values.keys() == table.keys() | values.keys()
        assert all(values[name] == pytest.approx(float(column[i])) for name, column in table.items())


def test_without_limits_the_worst_is_a_share_of_the_median(tmp_path: Path) -> None:
    data = recipe(search={"objectives": ["error", "latency_ms"]})
    run = Run(RunFolder(tmp_path), data, space=SPACE, evaluate=evaluate)
    values = run.costs.values(SPACE.build(ALL[0]))
    drawn = run.compiled.sample(np.random.default_rng(0), 1024)
    places = {one.to_json(): i for i, one in enumerate(ALL)}
    where = [places[run.compiled.decode(row).to_json()] for row in np.unique(drawn, axis=0)]
    assert sorted(where) == sorted(places.values())
    picked = [places[run.compiled.decode(row).to_json()] for row in drawn]
    shares = [TRUTH[name][0] / np.median(TRUTH[name][picked]) for name in TARGETS]
    assert values["latency_ms@worst"] == pytest.approx(max(shares))
    assert values["latency_ms@raspberry_pi_5"] == pytest.approx(TRUTH["raspberry_pi_5"][0])


def test_a_figure_that_a_target_does_not_tell_is_refused(tmp_path: Path) -> None:
    assert load_target("nvidia_p100").energy is None
    data = recipe(search={"objectives": ["error", "energy_mj"]})
    run = Run(RunFolder(tmp_path), data, space=SPACE, evaluate=evaluate)
    with pytest.raises(NasError, match="target 'nvidia_p100' does not tell energy_mj"):
        _ = run.costs


def test_the_budget_is_shared(tmp_path: Path) -> None:
    options = {"widths": ((8, 16), (16, 32)), "depths": ((1, 2), (1, 2)), "strides": (1, 2)}

    def size(architecture: Architecture) -> dict[str, float]:
        ASKED[architecture.to_json()] += 1
        return {"error": 1 / len(architecture.picks)}

    ASKED.clear()
    run = nas.run(
        mobile((1, 8, 8), 10, **options), target=TARGETS, evaluate=size, search=QUICK, export={"top": 0}, root=tmp_path
    )
    own = [[one for one in member.evaluations() if one.proposer == "surrogate"] for member in run.family]
    assert [len(found) for found in own] == [10, 10, 10]
    assert len({one.fingerprint for found in own for one in found}) == 30
    assert 30 <= sum(ASKED.values()) == len(ASKED) <= 36


def test_the_command_line_and_the_page_show_every_front(
    whole: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = str(whole.path)
    monkeypatch.setattr("nas.cli_runs.open_run", lambda name: open_run(name, space=SPACE))
    for name in TARGETS:
        capsys.readouterr()
        assert main(["front", place, "--target", name, "--json"]) == 0
        assert json.loads(capsys.readouterr().out) == whole.front_for(name)
    assert main(["front", place]) == 0
    said = capsys.readouterr().out
    assert "worst latency (times its limit)" in " ".join(said.split())
    assert "--target nvidia_p100 or raspberry_pi_5" in said
    assert main(["front", place, "--target", "pi"]) == 2
    assert "unknown target of several in this run 'pi'" in capsys.readouterr().err
    page = whole.folder.report.read_text()
    for text in ("Front for the worst target", "Front of nvidia_p100", "Front of raspberry_pi_5", "times its limit"):
        assert text in page
    assert main(["explain", place, whole.front[0]["id"], "--target", TARGETS[1]]) == 0
