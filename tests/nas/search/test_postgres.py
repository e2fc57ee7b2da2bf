"""A study in PostgreSQL: one driver or several, killed or not, and a server that goes away: always the same result."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.postgres import Server
from nas.search import driver as driver_module
from nas.search.driver import SearchResult, search
from nas.search.problem import Settings
from nas.search.storage import is_recorded, kind_of
from search_spaces.errors import NasError
from tests.nas.search.test_driver import core
from tests.nas.search.worlds import Formula, World

SETTINGS = Settings(evaluations=20, random_evaluations=6, lag=4, workers=1, storage="journal", proposer="evolution")


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(world.problem(), SETTINGS, tmp_path_factory.mktemp("whole"))


def begun(log: Path) -> int:
    return len(log.read_text().splitlines()) if log.exists() else 0


def wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_search_is_the_same_there_and_resumes(
    postgres: Server, world: World, whole: SearchResult, tmp_path: Path
) -> None:
    settings = replace(SETTINGS, storage=postgres.url)
    cut = search(world.problem(), replace(settings, evaluations=9, random_evaluations=0), tmp_path)
    assert len(cut.evaluations) == 9
    assert is_recorded(tmp_path)
    with pytest.raises(NasError, match="already holds the search 'search'"):
        search(world.problem(), settings, tmp_path)
    assert core(search(world.problem(), settings, tmp_path, resume=True)) == core(whole)
    with pytest.raises(NasError, match=r"is recorded in postgresql://.*, not in postgresql://elsewhere/db"):
        search(world.problem(), replace(settings, storage="postgresql://elsewhere/db"), tmp_path, resume=True)


def test_another_folder_is_another_study(postgres: Server, world: World, tmp_path: Path) -> None:
    settings = replace(SETTINGS, storage=postgres.url, evaluations=3, random_evaluations=0)
    for name in ("one", "other"):
        assert len(search(world.problem(), settings, tmp_path / name).evaluations) == 3


def test_several_drivers_divide_one_study(
    postgres: Server, world: World, whole: SearchResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_module, "POLL_SECONDS", 0.05)
    settings = replace(SETTINGS, storage=postgres.url)
    logs = [tmp_path / str(i) for i in range(3)]
    results: list[SearchResult] = []

    def drive(log: Path) -> None:
        problem = world.problem(evaluator=Formula(seconds=0.2, log=log))
        results.append(search(problem, settings, tmp_path / "search", resume=True))

    drivers = [threading.Thread(target=drive, args=(log,)) for log in logs]
    for driver in drivers:
        driver.start()
    for driver in drivers:
        driver.join()
    assert [core(result) for result in results] == [core(whole)] * 3
    assert all(begun(log) > 2 for log in logs)
    assert sum(map(begun, logs)) == sum(not one.cached for one in whole.evaluations)


DRIVER = """
import sys
from pathlib import Path
from nas.search.driver import search
from tests.nas.search.test_postgres import SETTINGS
from tests.nas.search.worlds import Formula, World
from dataclasses import replace
evaluator = Formula(seconds=0.3, log=Path(sys.argv[3]))
search(World().problem(evaluator=evaluator), replace(SETTINGS, storage=sys.argv[2]), Path(sys.argv[1]), resume=True)
"""


def test_the_trials_of_a_killed_driver_are_taken_over(
    postgres: Server, world: World, whole: SearchResult, tmp_path: Path
) -> None:
    folder, log = tmp_path / "search", tmp_path / "log"
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(folder), postgres.url, str(log)])
    try:
        wait_for(lambda: begun(log) >= 3 or driver.poll() is not None)
    finally:
        os.kill(driver.pid, signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL
    own = tmp_path / "own"
    problem = world.problem(evaluator=Formula(log=own))
    result = search(problem, replace(SETTINGS, storage=postgres.url), folder, resume=True)
    assert core(result) == core(whole)
    again = begun(log) + begun(own) - sum(not one.cached for one in whole.evaluations)
    assert again == 1, "what it was evaluating when it died is evaluated again"


def test_a_server_that_crashes_is_waited_for(
    postgres: Server, world: World, whole: SearchResult, tmp_path: Path
) -> None:
    log = tmp_path / "log"

    def crash() -> None:
        wait_for(lambda: begun(log) >= 5)
        postgres.stop(mode="immediate")
        time.sleep(1.5)
        postgres.start()

    crasher = threading.Thread(target=crash)
    crasher.start()
    problem = world.problem(evaluator=Formula(seconds=0.05, log=log))
    result = search(problem, replace(SETTINGS, storage=postgres.url), tmp_path / "search")
    crasher.join()
    assert core(result) == core(whole)


@pytest.mark.parametrize(
    ("storage", "message"),
    [
        ("mysql", "no such storage: 'mysql'; there are sqlite, journal and postgresql://"),
        ("postgresql://", "must look like postgresql://USER@HOST:PORT/DATABASE"),
        ("postgresql://a:secret@host/db", r"postgresql://a:\*\*\*@host/db holds a password.*set PGPASSWORD"),
    ],
)
def test_what_is_no_storage(storage: str, message: str) -> None:
    with pytest.raises(NasError, match=message):
        kind_of(storage)


def test_a_database_that_is_not_there(world: World, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(NasError, match=r"the database postgresql://nas@127.0.0.1:9/none cannot be used: .*refused"):
        search(world.problem(), replace(SETTINGS, storage="postgresql://nas@127.0.0.1:9/none"), tmp_path)


def test_without_psycopg_it_is_said_what_to_install(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(NasError, match=r"needs the package psycopg.*pip install 'nas-explorer\[cluster\]'"):
        search(world.problem(), replace(SETTINGS, storage="postgresql://nas@127.0.0.1:9/none"), tmp_path)
