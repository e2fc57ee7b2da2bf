"""What faults cost: nothing may be lost, nothing counted twice, and the front must be that of a search left alone.

    python -m benchmarks.faults

Each scenario is a real search with stand-in evaluations (they sleep), compared trial by trial with the same search
without a fault: `workers` has a worker killed (kill -9) every few seconds, from the first evaluation to the last;
`driver` has its driver killed ten times; `sqlite` finds its file locked, and `postgresql` its server crashed, for half
a minute; `drivers` are three drivers on one study, one of which is killed. Prints per scenario one JSON line each of

    lost            trials of the undisturbed search that are missing
    counted_twice   trials, or networks, that the study holds twice with a result
    same_front      1 where every trial, and so the front, is that of the undisturbed search
    invalid         architectures evaluated that the space cannot build
"""

import argparse
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.figures import Detail, print_figure, tell
from benchmarks.postgres import Server, postgres_server, why_not
from benchmarks.stand_in import Core, StandIn, core_of, evaluated, invalid, problem
from nas.search.driver import search
from nas.search.problem import Settings
from nas.search.storage import close_storage, open_storage, study_place

LIMIT_SECONDS = 900.0


@dataclass(frozen=True)
class Plan:
    """How large the searches are, and how bad the faults.

    seconds: of an evaluation. pause_seconds: between two kills of workers. away_seconds: of a storage.
    """

    settings: Settings
    seconds: float = 0.5
    kills: int = 10
    pause_seconds: float = 3.0
    away_seconds: float = 30.0


@dataclass(frozen=True)
class Told:
    """What a scenario ended with. faults: how many there were. begun: architectures whose evaluation began."""

    core: list[Core]
    study: list[tuple[str, int, str]]
    faults: int
    begun: list[str]
    seconds: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the scenarios and print their figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--evaluations", type=int, default=160)
    parser.add_argument("--seconds", type=float, default=0.5, help="of an evaluation")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--kills", type=int, default=10, help="of the driver")
    parser.add_argument("--pause", type=float, default=3.0, help="seconds between two kills of workers")
    parser.add_argument("--away", type=float, default=30.0, help="seconds for which the storage is not there")
    parser.add_argument("--scenarios", default="workers,driver,sqlite,postgresql,drivers", help="separated by commas")
    given = parser.parse_args(arguments)
    settings = Settings(
        evaluations=given.evaluations, random_evaluations=0, proposer="nsga2", workers=given.workers, lag=12
    )
    plan = Plan(settings, given.seconds, given.kills, given.pause, given.away)
    whole = undisturbed(plan)
    for name in given.scenarios.split(","):
        if name in ("postgresql", "drivers"):
            reason = why_not()
            if reason is not None:
                tell(f"{name} is left out: {reason}")
                continue
            with postgres_server() as server:
                told = {"postgresql": postgres_away, "drivers": several_drivers}[name](plan, server)
        else:
            told = {"workers": workers_killed, "driver": driver_killed, "sqlite": sqlite_locked}[name](plan)
        report(name, whole, told, plan)


def undisturbed(plan: Plan) -> list[Core]:
    """The trials of the same search without faults; nothing sleeps, as that changes no result."""
    with tempfile.TemporaryDirectory(prefix="nas-faults-") as name:
        return core_of(search(problem(StandIn(0.0)), replace(plan.settings, workers=1, storage="journal"), Path(name)))


def report(name: str, whole: list[Core], told: Told, plan: Plan) -> None:
    """Print the figures of one scenario."""
    expected, found = {one[:2] for one in whole}, {one[:2] for one in told.core}
    numbers = Counter(one[:2] for one in told.study)
    networks = Counter((one[0], one[2]) for one in told.study)
    twice = sum(count - 1 for counted in (numbers, networks) for count in counted.values())
    where: dict[str, Detail] = {
        "scenario": name,
        "faults": told.faults,
        "trials": len(whole),
        "begun": len(told.begun),
        "workers": plan.settings.workers,
        "seconds": told.seconds,
    }
    print_figure("lost", len(expected - found), "trials", where=where)
    print_figure("counted_twice", twice, "trials", where=where)
    print_figure("same_front", int(told.core == whole), "1 or 0", where=where)
    print_figure("invalid", invalid(told.begun), "architectures", where=where)


@contextmanager
def folder_with_log() -> Iterator[tuple[Path, Path]]:
    """A folder for a search, and one in which its workers write what they evaluate."""
    with tempfile.TemporaryDirectory(prefix="nas-faults-") as name:
        log = Path(name) / "log"
        log.mkdir()
        yield Path(name) / "search", log


def finished_trials(folder: Path, storage: str) -> list[tuple[str, int, str]]:
    """Proposer, number and network of each trial with a result, as the study holds them."""
    import optuna

    opened = open_storage(folder, storage)
    study = optuna.load_study(study_name=study_place(folder, storage, "search")[0], storage=opened)
    trials = study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,))
    found = [(t.user_attrs["proposer"], t.user_attrs["number"], t.user_attrs["fingerprint"]) for t in trials]
    close_storage(opened)
    return found


def disturbed(plan: Plan, storage: str, disturb: Callable[[Path, Path, threading.Event], int]) -> Told:
    """Search in this process while `disturb(folder, log, over)` does harm in a thread; it counts what it did."""
    settings = replace(plan.settings, storage=storage)
    with folder_with_log() as (folder, log):
        over = threading.Event()
        faults: list[int] = []
        thread = threading.Thread(target=lambda: faults.append(disturb(folder, log, over)))
        started = time.monotonic()
        thread.start()
        try:
            with redirect_stdout(sys.stderr):
                result = search(problem(StandIn(plan.seconds, log)), settings, folder)
        finally:
            over.set()
            thread.join()
        seconds = time.monotonic() - started
        return Told(core_of(result), finished_trials(folder, storage), sum(faults), evaluated(log), seconds)


def workers_killed(plan: Plan) -> Told:
    """Kill the worker that began an evaluation last, every few seconds, for the whole search."""

    def kill(folder: Path, log: Path, over: threading.Event) -> int:
        killed: set[int] = set()
        while not over.wait(plan.pause_seconds):
            files = sorted(log.iterdir(), key=lambda file: file.stat().st_mtime)
            living = [int(file.name) for file in files if int(file.name) not in killed]
            if living:
                killed.add(living[-1])
                with suppress(ProcessLookupError):
                    os.kill(living[-1], signal.SIGKILL)
        return len(killed)

    return disturbed(plan, "sqlite", kill)


def sqlite_locked(plan: Plan) -> Told:
    """Hold the lock of the file once the search is under way."""

    def lock(folder: Path, log: Path, over: threading.Event) -> int:
        _wait_for(lambda: len(evaluated(log)) > plan.settings.workers)
        connection = sqlite3.connect(folder / "study.db", timeout=30.0, isolation_level=None)
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(plan.away_seconds)
        connection.execute("ROLLBACK")
        connection.close()
        return 1

    return disturbed(plan, "sqlite", lock)


def postgres_away(plan: Plan, server: Server) -> Told:
    """Crash the server once the search is under way, and start it again later."""

    def crash(folder: Path, log: Path, over: threading.Event) -> int:
        _wait_for(lambda: len(evaluated(log)) > plan.settings.workers)
        server.stop(mode="immediate")
        time.sleep(plan.away_seconds)
        server.start()
        return 1

    return disturbed(plan, server.url, crash)


def driver_killed(plan: Plan) -> Told:
    """Kill the driver ten times, at moments that no one chose, each time in the middle of its work."""
    with folder_with_log() as (folder, log):
        rng = np.random.default_rng(0)
        started = time.monotonic()
        kills = 0
        while kills < plan.kills:
            before = len(evaluated(log))
            driver = start_driver(plan, "sqlite", folder, log)
            share = (plan.settings.evaluations - before) // (plan.kills - kills + 1)
            wanted = before + int(rng.integers(1, max(2, share)))
            _wait_for_evaluations(log, wanted, driver)
            time.sleep(float(rng.uniform(0.0, plan.seconds)))
            if driver.poll() is not None:
                break
            driver.kill()
            driver.wait()
            kills += 1
        result = search(problem(StandIn(plan.seconds, log)), plan.settings, folder, resume=True)
        seconds = time.monotonic() - started
        return Told(core_of(result), finished_trials(folder, "sqlite"), kills, evaluated(log), seconds)


def several_drivers(plan: Plan, server: Server) -> Told:
    """Three drivers share a study and a folder; one of them is killed in the middle."""
    with folder_with_log() as (folder, log):
        started = time.monotonic()
        alone = replace(plan.settings, workers=1)
        drivers = [start_driver(replace(plan, settings=alone), server.url, folder, log) for _ in range(3)]
        _wait_for(lambda: len(evaluated(log)) >= plan.settings.evaluations // 2)
        drivers[0].kill()
        for driver in drivers:
            driver.wait()
        settings = replace(alone, storage=server.url)
        result = search(problem(StandIn(plan.seconds, log)), settings, folder, resume=True)
        seconds = time.monotonic() - started
        return Told(core_of(result), finished_trials(folder, server.url), 1, evaluated(log), seconds)


def start_driver(plan: Plan, storage: str, folder: Path, log: Path) -> "subprocess.Popen[bytes]":
    """A driver process of the planned search."""
    settings = plan.settings
    command = [sys.executable, "-m", "benchmarks.stand_in", str(folder), "--storage", storage, "--log", str(log)]
    command += ["--workers", str(settings.workers), "--lag", str(settings.lag), "--seconds", str(plan.seconds)]
    command += ["--evaluations", str(settings.evaluations), "--proposer", settings.proposer]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for_evaluations(log: Path, count: int, driver: "subprocess.Popen[bytes]") -> None:
    """Wait until so many evaluations began, or the driver ended."""
    _wait_for(lambda: len(evaluated(log)) >= count or driver.poll() is not None)


def _wait_for(reached: Callable[[], bool]) -> None:
    end = time.monotonic() + LIMIT_SECONDS
    while not reached() and time.monotonic() < end:
        time.sleep(0.05)


if __name__ == "__main__":
    main()
