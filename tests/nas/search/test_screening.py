"""Evaluations given up early: only hopeless ones, the same front, the same search again."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nas.search.driver import SearchResult, search
from nas.search.earlier import known_figures, taken_over
from nas.search.front import curves, pareto_front
from nas.search.problem import Settings
from nas.search.screening import SHARE, bar, hopeless, is_partial
from nas.search.study import Recorded
from search_spaces.space import Architecture
from tests.nas.search.worlds import World, error_of

IMAGES, BATCH = 2000, 100
SETTINGS = Settings(
    evaluations=40, random_evaluations=20, lag=2, workers=1, storage="journal", proposer="nsga2", early_stop=True
)


@dataclass(frozen=True)
class Images:
    """Answers to 2,000 images, wrong in a share that the formula gives, in an order of each network's own."""

    def setup(self) -> None:
        """Nothing to do."""

    def answers(self, architecture: Architecture) -> np.ndarray:
        """Which of the images it gets wrong."""
        wrong = np.arange(IMAGES) < round(IMAGES * error_of(architecture))
        return np.random.default_rng(list(architecture.to_json().encode())).permutation(wrong)

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """All of them."""
        return {"error": float(self.answers(architecture).mean())}

    def evaluate_until(self, architecture: Architecture, seed: int, bar: float) -> dict[str, float]:
        """As many as it takes."""
        wrong = self.answers(architecture)
        for seen in range(BATCH, IMAGES, BATCH):
            if hopeless(float(wrong[:seen].sum()), seen, bar):
                return {"error": float(wrong[:seen].mean()), SHARE: seen / IMAGES}
        return self.evaluate(architecture, seed)


def core(result: SearchResult) -> list[tuple[object, ...]]:
    return [(one.proposer, one.number, one.architecture, one.values) for one in result.evaluations]


@pytest.fixture(scope="module")
def found(world: World, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(world.problem(evaluator=Images()), SETTINGS, tmp_path_factory.mktemp("screened"))


def test_what_is_given_up_is_dominated_and_saves_images(world: World, found: SearchResult) -> None:
    problem = world.problem()
    partial = [one for one in found.evaluations if is_partial(one.values)]
    assert len(partial) >= 10
    assert np.mean([one.values.get(SHARE, 1.0) for one in found.evaluations]) < 0.8
    front = [member.evaluation for member in pareto_front(found.evaluations, problem.objectives)]
    assert not any(is_partial(one.values) for one in front)
    for one in partial:
        truth = Images().evaluate(one.architecture, 0)["error"]
        assert any(e.values["error"] <= truth and e.values["macs"] <= one.values["macs"] for e in front)
    assert curves(found.evaluations, problem.objectives).search[-1][0] == 40


def test_it_is_reproducible_and_resumes_to_the_same(world: World, found: SearchResult, tmp_path: Path) -> None:
    problem = world.problem(evaluator=Images())
    search(problem, replace(SETTINGS, evaluations=17, random_evaluations=0), tmp_path)
    assert core(search(problem, SETTINGS, tmp_path, resume=True)) == core(found)


def test_without_it_every_image_is_seen(world: World, tmp_path: Path) -> None:
    whole = search(world.problem(evaluator=Images()), replace(SETTINGS, early_stop=False), tmp_path)
    assert not any(is_partial(one.values) for one in whole.evaluations)


def test_estimates_are_not_taken_over(world: World, found: SearchResult) -> None:
    whole = {one.id for one in found.evaluations if not is_partial(one.values)}
    assert {one.proposal.id for one in taken_over(world.problem(), found.evaluations, root=0)} == whole
    assert known_figures(world.problem(), found.evaluations).keys() == whole


def test_the_bar_is_the_least_error_of_what_is_as_good_in_all_else(world: World, found: SearchResult) -> None:
    problem = world.problem(limits={"params": float(np.quantile(world.costs["params"], 0.9))})
    settled = taken_over(problem, found.evaluations, root=0)
    for one in settled:
        rivals = [
            other.values["error"]
            for other in settled
            if other.values
            and other.values["macs"] <= one.proposal.figures["macs"]
            and other.values["params"] <= problem.limits["params"]
        ]
        assert bar(problem, one.proposal, settled) == min(rivals, default=None)
    first: Recorded = settled[0]
    assert bar(world.problem(limits={"error": 0.5}), first.proposal, settled) is None
    assert bar(world.problem(objectives=("error", "luck")), first.proposal, settled) is None


def test_hopeless_is_a_binomial_test() -> None:
    assert hopeless(60, 100, 0.4)
    assert not hopeless(50, 100, 0.4)
    assert hopeless(1, 10, 0.0)
    rng = np.random.default_rng(0)
    assert np.mean([hopeless(float(rng.binomial(100, 0.4)), 100, 0.4) for _ in range(20_000)]) <= 0.0012
