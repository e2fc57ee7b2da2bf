"""A search that begins with what another one evaluated: nothing twice, all of it learned from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas.search import driver
from nas.search.domain import History
from nas.search.driver import SearchResult, search
from nas.search.earlier import EARLIER, Earlier, encoded, taken_over
from nas.search.front import curves, pareto_front
from nas.search.gain import hypervolume, non_dominated
from nas.search.problem import Settings
from nas.search.record import RANDOM, Evaluation
from search_spaces.errors import NasError
from search_spaces.space import Architecture
from tests.nas.search.worlds import SPACE, Formula, World

FIRST = Settings(evaluations=24, random_evaluations=12, lag=0, workers=1, storage="journal")
SECOND = replace(FIRST, evaluations=10, random_evaluations=12, seed=3)


@pytest.fixture(scope="module")
def first(world: World, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(world.problem(), FIRST, tmp_path_factory.mktemp("first"))


def logged(path: Path) -> list[str]:
    """Ids of what was evaluated, in order."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [SPACE.build(Architecture.from_json(line.split(" ", 1)[1])).id for line in lines]


def own(found: tuple[Evaluation, ...], name: str) -> list[Evaluation]:
    return [one for one in found if one.proposer == name]


@pytest.mark.parametrize("name", ["surrogate", "nsga2"])
def test_nothing_of_an_earlier_search_is_evaluated_again_and_all_of_it_counts(
    name: str, world: World, first: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[History] = []
    ask = driver.ask

    def watched(proposer, history, is_new, seed):
        seen.append(history)
        return ask(proposer, history, is_new, seed)

    monkeypatch.setattr(driver, "ask", watched)
    problem = world.problem(objectives=("error", "params"), evaluator=Formula(log=tmp_path / "log"))
    earlier = Earlier(learned=first.evaluations)
    found = search(problem, replace(SECOND, proposer=name), tmp_path / "search", earlier=earlier).evaluations
    before = {one.id for one in first.evaluations}
    evaluated = logged(tmp_path / "log")
    assert not before & set(evaluated)
    assert len(evaluated) == len(set(evaluated)) == sum(not one.cached for one in found)
    assert {one.id for one in own(found, EARLIER)} == before
    assert not before & {one.id for one in own(found, name)}, "the budget goes to new networks"
    assert len(own(found, name)) == 10
    assert all(len(history.rows) == len(before) + n for n, history in enumerate(seen[:10]))
    assert all(len(history.rows) == n for n, history in enumerate(seen[10:])), "the baseline starts from nothing"
    for one in own(found, EARLIER):
        place = int(world.places(world.coded.encode(one.architecture)[None])[0])
        assert (one.values["error"], one.values["params"]) == (world.errors[place], world.costs["params"][place])
        assert one.cached
    front = {member.evaluation.id for member in pareto_front(found, problem.objectives)}
    assert front & before


def test_it_resumes_to_the_same(world: World, first: SearchResult, tmp_path: Path) -> None:
    earlier = Earlier(learned=first.evaluations)
    whole = search(world.problem(), SECOND, tmp_path / "whole", earlier=earlier)
    search(world.problem(), replace(SECOND, evaluations=4), tmp_path / "parts", earlier=earlier)
    parts = search(world.problem(), SECOND, tmp_path / "parts", resume=True, earlier=earlier)

    def core(result: SearchResult) -> list[tuple[object, ...]]:
        return [(one.proposer, one.number, one.id, one.values) for one in result.evaluations]

    assert core(parts) == core(whole)


def test_what_is_only_known_changes_nothing_but_the_work(world: World, first: SearchResult, tmp_path: Path) -> None:
    cold = search(world.problem(), SECOND, tmp_path / "cold").evaluations
    problem = world.problem(evaluator=Formula(log=tmp_path / "log"))
    found = search(problem, SECOND, tmp_path / "search", earlier=Earlier(known=first.evaluations)).evaluations
    assert [one.id for one in found] == [one.id for one in cold]
    assert [one.values["error"] for one in found] == [one.values["error"] for one in cold]
    before = {one.id for one in first.evaluations}
    assert {one.id for one in cold} & before
    assert not set(logged(tmp_path / "log")) & before


def test_figures_of_another_target_are_worked_out_anew(world: World, first: SearchResult) -> None:
    stale = [replace(one, values={**one.values, "macs": -1.0, "latency_ms": 9.0}) for one in first.evaluations]
    kinds = {"macs": "counted", "latency_ms": "learned", "error": "validation"}
    stale = [replace(one, provenance=kinds) for one in stale]
    for one in taken_over(world.problem(), stale, root=0):
        assert one.values is not None
        assert set(one.values) == {"error", "luck", "macs", "params"}
        assert one.values["macs"] > 0
    assert taken_over(world.problem(objectives=("error", "energy_mj")), stale, root=0) == []


def test_evaluations_of_another_space_are_refused(world: World, first: SearchResult) -> None:
    one = first.evaluations[0]
    strange = replace(one, architecture=Architecture.of({"width": 3}))
    with pytest.raises(NasError, match="not of this space: it has no architecture"):
        taken_over(world.problem(), [strange], root=0)
    other = replace(one, id="0" * len(one.id))
    with pytest.raises(NasError, match="build another network"):
        taken_over(world.problem(), [other], root=0)
    assert len(taken_over(world.problem(), [other], root=0, same=False)) == 1


def test_encoding_is_exact(world: World) -> None:
    for architecture in list(SPACE.enumerate())[::37]:
        row = encoded(world.coded, architecture)
        assert row is not None
        assert row.tolist() == world.coded.encode(architecture).tolist()
    assert encoded(world.coded, Architecture.of({"depth": 1})) is None
    assert encoded(world.coded, Architecture.of({"depth": 1.0, "block0.width": "wide", "block0.kernel": 1})) is None


def test_the_curve_begins_with_what_was_taken_over(world: World, first: SearchResult, tmp_path: Path) -> None:
    problem = world.problem()
    found = search(problem, SECOND, tmp_path, earlier=Earlier(learned=first.evaluations)).evaluations
    shown = curves(found, problem.objectives)
    assert [count for count, _ in shown.search] == list(range(11))
    assert shown.random[0][0] == 1
    assert len(own(found, RANDOM)) == len(shown.random)
    points = np.array([[one.values[name] for name in problem.objectives] for one in found])
    low, high = points.min(0), points.max(0)
    taken = ((points - low) / (high - low))[: len(own(found, EARLIER))]
    assert shown.search[0][1] == pytest.approx(hypervolume(taken[non_dominated(taken)], np.ones(2)))
