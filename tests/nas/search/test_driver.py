"""The search as a whole: reproducible, resumable, never evaluating anything twice."""

import random
import time
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

from nas.search import driver
from nas.search.driver import SearchResult, search
from nas.search.front import pareto_front
from nas.search.problem import Problem, Settings
from nas.search.workers import Outcome, Task, Worker
from search_spaces.errors import NasError
from tests.nas.search.worlds import SPACE, Formula, World, error_of

SETTINGS = Settings(evaluations=24, random_evaluations=12, lag=4, workers=1, storage="journal")


def core(result: SearchResult) -> list[tuple]:
    """What must not depend on time."""
    return [(e.proposer, e.number, e.id, e.architecture, e.values, e.seed, e.cached) for e in result.evaluations]


@dataclass
class Shuffled:
    """A pool that finishes its tasks in a random order."""

    worker: Worker
    order: random.Random
    tasks: list[Task] = field(default_factory=list)

    def submit(self, task: Task) -> None:
        self.tasks.append(task)

    def next(self, timeout: float | None) -> Outcome | None:
        if not self.tasks:
            return None
        return self.worker.run(self.tasks.pop(self.order.randrange(len(self.tasks))))


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(world.problem(), SETTINGS, tmp_path_factory.mktemp("whole"))


def test_starts_come_first_but_not_for_the_baseline(world: World, tmp_path: Path) -> None:
    wide = np.array([world.coded.encode(a) for a in SPACE.enumerate() if a["depth"] == 3], dtype=np.int16)[[5, 5, 40]]
    macs = world.score(wide)["macs"]
    assert macs[0] != macs[2]
    found = search(world.problem(starts=wide), SETTINGS, tmp_path / "all").evaluations
    assert [e.architecture for e in found[:2]] == [world.coded.decode(row) for row in wide[[0, 2]]]
    random_ones = [e.architecture for e in found if e.proposer == "random"]
    plain = search(world.problem(), SETTINGS, tmp_path / "plain").evaluations
    assert random_ones == [e.architecture for e in plain if e.proposer == "random"]
    limited = world.problem(starts=wide, limits={"macs": float(macs.min())})
    first = search(limited, SETTINGS, tmp_path / "limited").evaluations[0]
    assert first.architecture == world.coded.decode(wide[int(macs.argmin())])


def test_every_trial_is_there_and_valid(world: World, whole: SearchResult) -> None:
    assert whole.ended == "complete"
    assert whole.failures == ()
    assert [(e.proposer, e.number) for e in whole.evaluations] == [
        *(("surrogate", n) for n in range(24)),
        *(("random", n) for n in range(12)),
    ]
    for one in whole.evaluations:
        network = SPACE.build(one.architecture)
        assert (one.id, one.fingerprint) == (network.id, network.fingerprint)
        assert one.values["error"] == error_of(one.architecture)
        assert one.values["luck"] == one.seed
        assert one.provenance == {"macs": "counted", "params": "counted", "error": "validation"}
        assert "energy_mj" not in one.values
        assert one.feasible


def test_no_network_is_proposed_twice(whole: SearchResult) -> None:
    for name in ("surrogate", "random"):
        ids = [one.id for one in whole.evaluations if one.proposer == name]
        assert len(set(ids)) == len(ids)


def test_what_finishes_first_does_not_matter(
    world: World, whole: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for seed in range(2):

        @contextmanager
        def shuffled(evaluator, workers, *, address, timeout_seconds, seed=seed):
            yield Shuffled(Worker(evaluator), random.Random(seed))

        monkeypatch.setattr(driver, "pool", shuffled)
        assert core(search(world.problem(), SETTINGS, tmp_path / str(seed))) == core(whole)


def test_the_lag_is_kept(world: World, whole: SearchResult, tmp_path: Path) -> None:
    """Trials up to n + lag do not depend on result n, so a search with another error there proposes them alike."""

    @dataclass(frozen=True)
    class Changed:
        """As `Formula`, but one architecture turns out far better."""

        picks: str

        def setup(self) -> None:
            """Nothing to do."""

        def evaluate(self, architecture, seed):
            return {"error": 0.0 if architecture.to_json() == self.picks else error_of(architecture), "luck": seed}

    picked = whole.evaluations[10].architecture.to_json()
    other = search(world.problem(evaluator=Changed(picked)), SETTINGS, tmp_path)
    same = [a.id == b.id for a, b in zip(whole.evaluations[:24], other.evaluations[:24], strict=True)]
    assert all(same[: 10 + SETTINGS.lag + 1])
    assert not all(same)


def test_a_finished_search_resumes_to_itself(world: World, whole: SearchResult, tmp_path: Path) -> None:
    first = search(world.problem(), SETTINGS, tmp_path)
    again = search(world.problem(evaluator=Forbidden()), SETTINGS, tmp_path, resume=True)
    assert core(first) == core(again) == core(whole)


class Forbidden:
    """Must not be asked."""

    def setup(self) -> None:
        raise AssertionError("nothing is left to evaluate")

    def evaluate(self, architecture, seed):
        raise AssertionError("nothing is left to evaluate")


@pytest.mark.parametrize("budgets", [(7, 0), (24, 5)])
def test_a_larger_budget_continues_the_same_search(
    budgets: tuple[int, int], world: World, whole: SearchResult, tmp_path: Path
) -> None:
    part = replace(SETTINGS, evaluations=budgets[0], random_evaluations=budgets[1])
    search(world.problem(), part, tmp_path)
    result = search(world.problem(), SETTINGS, tmp_path, resume=True)
    assert core(result) == core(whole)


@dataclass
class Interrupting:
    """Raises KeyboardInterrupt at a given evaluation."""

    left: int
    formula: Formula = field(default_factory=Formula)

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture, seed):
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        return self.formula.evaluate(architecture, seed)


def test_ctrl_c_keeps_what_is_done_and_resumes_to_the_same(world: World, whole: SearchResult, tmp_path: Path) -> None:
    counts = []
    for after in (0, 3, 9, 12):
        cut = search(world.problem(evaluator=Interrupting(after)), SETTINGS, tmp_path, resume=bool(counts))
        counts.append(len(cut.evaluations))
        assert cut.ended == "interrupted"
    assert counts[:3] == [0, 3, 12]
    assert core(search(world.problem(), SETTINGS, tmp_path, resume=True)) == core(whole)


def test_a_deadline_ends_with_what_is_there(world: World, whole: SearchResult, tmp_path: Path) -> None:
    slow = world.problem(evaluator=Formula(seconds=0.05))
    cut = search(slow, SETTINGS, tmp_path, deadline=time.monotonic() + 0.6)
    assert cut.ended == "deadline"
    assert len(cut.evaluations) < 36
    none = search(slow, SETTINGS, tmp_path, deadline=time.monotonic(), resume=True)
    assert none.ended == "deadline"
    assert core(none) == core(cut)
    assert core(search(world.problem(), SETTINGS, tmp_path, resume=True)) == core(whole)


def test_nothing_is_evaluated_twice(world: World, tmp_path: Path) -> None:
    log = tmp_path / "log"
    settings = replace(SETTINGS, evaluations=40, random_evaluations=40)
    result = search(world.problem(evaluator=Formula(log=log)), settings, tmp_path / "search")
    evaluated = [line.split(" ", 1)[1] for line in log.read_text().splitlines()]
    ids = [SPACE.build(type(result.evaluations[0].architecture).from_json(text)).id for text in evaluated]
    assert len(set(ids)) == len(ids) == sum(not one.cached for one in result.evaluations)
    assert any(one.cached for one in result.evaluations)
    known = {one.id: one.values for one in result.evaluations if not one.cached}
    assert all(one.values == known[one.id] for one in result.evaluations if one.cached)


def test_a_small_space_is_exhausted_and_its_front_exact(world: World, tmp_path: Path) -> None:
    limit = float(np.sort(np.unique(world.costs["macs"]))[12])
    problem = world.problem(limits={"macs": limit}, identity="fingerprint")
    result = search(problem, replace(SETTINGS, evaluations=500, random_evaluations=0), tmp_path)
    assert result.ended == "exhausted"
    allowed = world.costs["macs"] <= limit
    prints = {network.fingerprint for network, kept in zip(world.networks, allowed, strict=True) if kept}
    assert {one.fingerprint for one in result.evaluations} == prints
    assert all(one.feasible for one in result.evaluations)
    front = {
        (round(member.evaluation.values["error"], 12), member.evaluation.values["macs"])
        for member in pareto_front(result.evaluations, problem.objectives)
    }
    assert front == {point for point in world.front() if point[1] <= limit}


def test_the_default_finds_the_front_in_a_tenth_of_the_space(world: World, tmp_path: Path) -> None:
    settings = replace(SETTINGS, evaluations=60, random_evaluations=0, lag=2)
    result = search(world.problem(), settings, tmp_path)
    found = {(round(one.values["error"], 12), one.values["macs"]) for one in result.evaluations}
    assert len(found & world.front()) >= 0.8 * len(world.front())


def failing(world: World, share: float) -> frozenset[str]:
    architectures = [world.coded.decode(row).to_json() for row in world.rows]
    chosen = np.random.default_rng(5).random(len(architectures)) < share
    return frozenset(text for text, bad in zip(architectures, chosen, strict=True) if bad)


def test_a_failure_is_recorded_and_the_search_goes_on(world: World, tmp_path: Path) -> None:
    problem = world.problem(evaluator=Formula(failing=failing(world, 0.2)))
    result = search(problem, SETTINGS, tmp_path)
    assert result.ended == "complete"
    assert len(result.evaluations) + len(result.failures) == 36
    assert result.failures
    assert "ValueError: this one does not work" in result.failures[0].reason
    again = search(problem, SETTINGS, tmp_path, resume=True)
    assert core(again) == core(result)
    assert again.failures == result.failures


def test_too_many_failures_stop_it_and_resume_tries_again(world: World, tmp_path: Path) -> None:
    problem = world.problem(evaluator=Formula(failing=failing(world, 1.0)))
    with pytest.raises(NasError, match=r"3 of 3 evaluations failed, so the search stops.*depth=.*this one does not"):
        search(problem, SETTINGS, tmp_path)
    result = search(world.problem(), SETTINGS, tmp_path, resume=True)
    assert (len(result.evaluations), result.failures) == (36, ())


@dataclass(frozen=True)
class Gives:
    """Returns the same whatever is asked."""

    answer: object

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture, seed):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (0.5, "returned 0.5, not a dict of figure names and numbers"),
        ({"error": "low"}, "error = 'low', which is not a number"),
        ({"error": float("nan")}, "error = nan; figures must be finite"),
        ({"accuracy": 0.5}, "nobody gave error; there are accuracy, macs, params"),
    ],
)
def test_what_an_evaluation_must_not_return(answer: object, message: str, world: World, tmp_path: Path) -> None:
    with pytest.raises(NasError, match=message):
        search(world.problem(evaluator=Gives(answer)), SETTINGS, tmp_path)


def test_limits_nobody_can_meet_stop_before_anything_is_evaluated(world: World, tmp_path: Path) -> None:
    with pytest.raises(NasError, match="the smallest that any architecture reaches"):
        search(world.problem(limits={"macs": 1.0}, evaluator=Forbidden()), SETTINGS, tmp_path / "search")
    assert not (tmp_path / "search").exists()


def test_a_limit_only_an_evaluation_tells_marks_what_breaks_it(world: World, tmp_path: Path) -> None:
    result = search(world.problem(limits={"error": 0.6}), SETTINGS, tmp_path)
    assert {one.feasible for one in result.evaluations} == {True, False}
    assert all(one.feasible == (one.values["error"] <= 0.6) for one in result.evaluations)
    late = [one.feasible for one in result.evaluations if one.proposer == "surrogate"][12:]
    assert np.mean(late) > 0.7, "the proposer learns where the limit is kept"


def test_hardware_only(world: World, tmp_path: Path) -> None:
    from nas.search.evaluators import HardwareOnly

    problem = world.problem(objectives=("macs", "params"), evaluator=HardwareOnly(), provenance={})
    result = search(problem, replace(SETTINGS, evaluations=8, random_evaluations=0), tmp_path)
    assert set(result.evaluations[0].values) == {"macs", "params"}


def test_with_the_real_tables(world: World, tmp_path: Path) -> None:
    from predictors.tables import CostTables

    tables = CostTables(world.coded)
    limits = {"peak_memory_bytes": 30_000.0}
    problem = world.problem(
        coded=tables.compiled, score=tables.score, known=tables.names, figures=tables.plain, limits=limits
    )
    result = search(problem, replace(SETTINGS, evaluations=10, random_evaluations=3), tmp_path)
    assert len(result.evaluations) == 13
    assert all(one.feasible and one.values["peak_memory_bytes"] <= 30_000 for one in result.evaluations)
    with pytest.raises(NasError, match="peak_memory_bytes may be at most 1,000, but the smallest"):
        search(replace(problem, limits={"peak_memory_bytes": 1000.0}), SETTINGS, tmp_path / "other")


def test_a_changed_space_is_refused_on_resume(world: World, tmp_path: Path) -> None:
    def stack(net, pick):
        import search_spaces as ss

        x = net.input(3, 16, 16)
        for i in range(pick("depth", (1, 2, 3))):
            with net.scope(f"block{i}") as here:
                width = here.pick("width", ("narrow", "also narrow", "wide"))
                x = ss.blocks.conv_norm_act(net, x, 16 if width == "wide" else 8, kernel=here.pick("kernel", (1, 3, 5)))
        return ss.blocks.classifier(net, x, classes=10)

    from search_spaces.space import SearchSpace

    small = replace(SETTINGS, evaluations=3, random_evaluations=0)
    search(world.problem(), small, tmp_path)
    with pytest.raises(NasError, match="the space has changed since"):
        search(world.problem(space=SearchSpace(stack)), small, tmp_path, resume=True)


class Counted:
    """Counts progress."""

    def __init__(self) -> None:
        self.total, self.notes = 0.0, []

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        self.total += amount
        self.notes.append(note)


def test_progress_counts_every_trial_once_over_a_resume(world: World, tmp_path: Path) -> None:
    for resume in (False, True):
        step = Counted()
        search(world.problem(), SETTINGS, tmp_path, progress=step, resume=resume)
        assert step.total == 36
        assert step.notes[-1].startswith("error 0.")


def test_a_random_search_has_no_baseline(world: World, tmp_path: Path) -> None:
    settings = replace(SETTINGS, proposer="random", random_evaluations=None)
    result = search(world.problem(), settings, tmp_path)
    assert [one.proposer for one in result.evaluations] == ["random"] * 24


def test_a_figure_may_not_take_a_name_of_the_study(world: World, tmp_path: Path) -> None:
    problem: Problem = world.problem(figures=lambda network: {"macs": 1.0, "params": 1.0, "seed": 2.0})
    with pytest.raises(NasError, match="a figure cannot be called 'seed'"):
        search(problem, SETTINGS, tmp_path)
