"""Real Ray workers and real kills: nothing is lost, nothing counted twice, the front is the same."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from nas.search import ray_pool
from nas.search.driver import SearchResult, search
from nas.search.problem import Settings
from nas.search.workers import InProcess, Outcome, Task, pool
from search_spaces.errors import NasError
from search_spaces.space import Architecture
from tests.nas.search.test_driver import core
from tests.nas.search.worlds import Formula, World

SETTINGS = Settings(evaluations=20, random_evaluations=6, lag=4, workers=2, storage="journal")
ONE = Architecture.of({"depth": 1, "block0.width": "wide", "block0.kernel": 3})


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(world.problem(), replace(SETTINGS, workers=1), tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def ray_running():
    """Ray, started once for this file; searches use it instead of one of their own."""
    ray = pytest.importorskip("ray")
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, object_store_memory=200 * 2**20)
    yield
    ray.shutdown()


def test_in_process_runs_in_order_and_times() -> None:
    tasks = InProcess(Formula(seconds=0.01))
    assert tasks.next(None) is None
    tasks.submit(Task(("surrogate", 0), ONE, 5))
    outcome = tasks.next(None)
    assert isinstance(outcome, Outcome)
    assert outcome.values is not None
    assert outcome.values["luck"] == 5.0
    assert outcome.seconds >= 0.01


def test_one_worker_needs_no_ray() -> None:
    code = "from nas.search.workers import pool\nfrom tests.nas.search.worlds import Formula\nimport sys\n"
    code += "with pool(Formula(), 1): print('ray' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@dataclass(frozen=True)
class Shares:
    """Tells where its array lies and whether it may be written."""

    array: np.ndarray

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        threads = float(os.environ["OMP_NUM_THREADS"])
        return {"sum": float(self.array.sum()), "writeable": float(self.array.flags.writeable), "threads": threads}


def test_arrays_are_shared_read_only(ray_running: None) -> None:
    with pool(Shares(np.ones(10_000_000, dtype=np.float32)), 2) as workers:
        for number in range(4):
            workers.submit(Task(("surrogate", number), ONE, 0))
        outcomes = [workers.next(60.0) for _ in range(4)]
    assert {outcome.key[1] for outcome in outcomes if outcome} == {0, 1, 2, 3}
    assert all(o and o.values == {"sum": 1e7, "writeable": 0.0, "threads": 1.0} for o in outcomes)


@dataclass(frozen=True)
class Unready:
    """Cannot get ready."""

    def setup(self) -> None:
        raise ValueError("no such device")

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        return {}


def test_workers_that_cannot_start_say_why(ray_running: None) -> None:
    with pytest.raises(NasError, match=r"the workers cannot start: .*no such device"), pool(Unready(), 2):
        pass


@dataclass(frozen=True)
class Suicidal:
    """Dies in every evaluation."""

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        os.kill(os.getpid(), signal.SIGKILL)
        return {}


def test_what_always_kills_its_worker_fails_in_the_end(ray_running: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_pool, "LOSSES", 2)
    with pool(Suicidal(), 2) as workers:
        workers.submit(Task(("surrogate", 0), ONE, 0))
        outcome = workers.next(60.0)
    assert outcome is not None
    assert outcome.failure is not None
    assert "its worker died 2 times" in outcome.failure


@dataclass(frozen=True)
class Slow:
    """Takes as long as the seed says."""

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        time.sleep(seed)
        return {"error": 0.5}


def test_what_takes_too_long_is_ended(ray_running: None) -> None:
    with pool(Slow(), 1, timeout_seconds=1.0) as workers:
        for number, seconds in enumerate((60, 0, 0)):
            workers.submit(Task(("surrogate", number), ONE, seconds))
        outcomes = [workers.next(60.0) for _ in range(3)]
    found = {outcome.key[1]: outcome for outcome in outcomes if outcome}
    assert found[0].failure == "it took longer than search.timeout_seconds = 1 and was ended"
    assert [found[n].values for n in (1, 2)] == [{"error": 0.5}] * 2


@dataclass(frozen=True)
class Greedy:
    """Asks for more memory than its process may have."""

    def setup(self) -> None:
        import resource

        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (used + 2**28, resource.RLIM_INFINITY))

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        return {"error": float(np.ones(2**30).sum())}


def test_workers_out_of_memory_are_named(ray_running: None, world: World, tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"3 of 3 .*its worker ran out of memory \(.*\): lower search.workers"):
        search(world.problem(evaluator=Greedy()), replace(SETTINGS, lag=1), tmp_path)


def test_more_workers_than_a_cluster_has_room_for(
    ray_running: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ray_pool, "JOIN_SECONDS", 0.5)
    with pool(Slow(), 5) as workers:
        workers.submit(Task(("surrogate", 0), ONE, 0))
        assert workers.next(60.0) is not None
    assert "2 of 5 workers are ready; the others join when there is room" in caplog.text


def test_functions_of_main_reach_the_workers(ray_running: None) -> None:
    factor = 3.0
    from nas.search.evaluators import FunctionEvaluator

    with pool(FunctionEvaluator(lambda arch, seed: {"error": factor * seed}), 2) as workers:
        workers.submit(Task(("surrogate", 0), ONE, 2))
        outcome = workers.next(60.0)
    assert outcome is not None
    assert outcome.values == {"error": 6.0}


def test_killed_workers_cost_nothing(ray_running: None, world: World, whole: SearchResult, tmp_path: Path) -> None:
    log = tmp_path / "log"
    problem = world.problem(evaluator=Formula(seconds=0.2, log=log))
    killed: list[int] = []
    stop = threading.Event()

    def kill_now_and_then() -> None:
        while not stop.wait(0.7):
            pids = [int(line.split()[0]) for line in log.read_text().splitlines()] if log.exists() else []
            fresh = [pid for pid in pids if pid not in killed]
            if fresh and len(killed) < 2:
                killed.append(fresh[-1])
                os.kill(fresh[-1], signal.SIGKILL)

    killer = threading.Thread(target=kill_now_and_then)
    killer.start()
    try:
        result = search(problem, SETTINGS, tmp_path / "search")
    finally:
        stop.set()
        killer.join()
    assert len(killed) == 2
    assert result.ended == "complete"
    assert core(result) == core(whole)
    again = search(problem, SETTINGS, tmp_path / "search", resume=True)
    assert core(again) == core(whole)


DRIVER = """
import sys
from pathlib import Path
from nas.search.driver import search
from tests.nas.search.test_workers import SETTINGS
from tests.nas.search.worlds import Formula, World
from dataclasses import replace
settings = replace(SETTINGS, workers=1, storage=sys.argv[2])
result = search(World().problem(evaluator=Formula(seconds=0.02)), settings, Path(sys.argv[1]), resume=True)
print(result.ended, len(result.evaluations))
"""


@pytest.mark.parametrize("storage", ["sqlite", "journal"])
def test_a_killed_driver_resumes_to_the_same(
    storage: str, world: World, whole: SearchResult, tmp_path: Path, rng: np.random.Generator
) -> None:
    folder = tmp_path / "search"
    file = folder / {"sqlite": "study.db", "journal": "study.journal"}[storage]
    for _ in range(3):
        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(folder), storage], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        before = time.monotonic()
        while not file.exists() and driver.poll() is None and time.monotonic() - before < 30:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0.2, 1.0)))
        driver.kill()
        output = driver.communicate()[0].decode()
        assert driver.returncode == -signal.SIGKILL or "complete 26" in output, output
    settings = replace(SETTINGS, workers=1, storage=storage)
    result = search(world.problem(), settings, folder, resume=True)
    assert core(result) == core(whole)
