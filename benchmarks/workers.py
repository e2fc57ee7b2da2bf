"""Many workers: how busy the search keeps them, what a trial costs the driver, and how fast storages take trials.

    python -m benchmarks.workers --workers 1,16,64

Ray's own test cluster plays several machines on this one; evaluations sleep (10 s with SQLite, 1 s with PostgreSQL),
everything else is the real search. PostgreSQL is started for it in a temporary folder, and left out, with a word,
where it is not installed. The workers are ready before the clock runs. Prints one JSON line per figure:

    efficiency            seconds slept per worker and second of the search; that of the fewest workers as baseline
    driver_milliseconds   processor time of the driver per trial, Ray's share included
    trials_per_second     recorded as started and as finished; Optuna's own calls as baseline
    duplicates, invalid   networks evaluated twice, and architectures that the space cannot build
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.figures import Detail, print_figure, tell
from benchmarks.postgres import postgres_server, why_not
from benchmarks.stand_in import StandIn, choices, duplicates, evaluated, invalid, problem
from nas.search.driver import SearchResult, search
from nas.search.postgres import open_postgres
from nas.search.problem import Settings
from nas.search.slots import distributions
from nas.search.storage import close_storage, kind_of
from nas.search.study import open_study

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

STORE_BYTES = 100 * 2**20
SLEPT = {"sqlite": 10.0, "journal": 10.0, "postgresql": 1.0}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the searches and the storages and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--workers", default="1,16,64", help="numbers of workers, separated by commas")
    parser.add_argument("--nodes", type=int, default=4, help="machines that the test cluster plays")
    parser.add_argument("--storages", default="sqlite,postgresql", help="for the searches, separated by commas")
    parser.add_argument("--rounds", type=int, default=12, help="evaluations per worker; at 1 s four times as many")
    parser.add_argument("--seconds", type=float, help="of an evaluation; not given: 10, and 1 with PostgreSQL")
    parser.add_argument("--proposer", default="nsga2", help="who proposes")
    parser.add_argument("--trials", type=int, default=200, help="recorded to time the storages")
    given = parser.parse_args(arguments)
    counts = sorted(map(int, given.workers.split(",")))
    storages = given.storages.split(",")
    with ExitStack() as stack:
        urls = {"sqlite": "sqlite", "journal": "journal"}
        reason = why_not()
        if reason is None:
            urls["postgresql"] = stack.enter_context(postgres_server()).url
        else:
            tell(f"PostgreSQL is left out: {reason}")
        for url in urls.values():
            report_storage(url, given.trials)
        address = stack.enter_context(ray_cluster(given.nodes, max(counts)))
        for name in storages:
            if name not in urls:
                tell(f"no searches with {name}: it is not there")
                continue
            first: float | None = None
            for count in counts:
                seconds = SLEPT[name] if given.seconds is None else given.seconds
                rounds = given.rounds if seconds > 5 else 4 * given.rounds
                settings = Settings(
                    evaluations=rounds * count,
                    random_evaluations=0,
                    proposer=given.proposer,
                    lag=2 * count,
                    workers=count,
                    storage=urls[name],
                    address=address,
                )
                efficiency = report_search(settings, seconds, given.nodes, first)
                first = efficiency if first is None else first


class Clock:
    """Notes when the last evaluation was taken, before the workers are dismissed."""

    def __init__(self) -> None:
        self.begun = self.last = time.monotonic()

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        """Note the time."""
        self.last = time.monotonic()


@contextmanager
def ray_cluster(nodes: int, workers: int) -> Iterator[str]:
    """The address of a Ray cluster of `nodes` nodes with room for `workers`, all on this machine."""
    from ray.cluster_utils import Cluster

    each = -(-workers // nodes)
    started = time.monotonic()
    cluster: Any = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": each, "object_store_memory": STORE_BYTES, "include_dashboard": False},
    )
    try:
        for _ in range(nodes - 1):
            cluster.add_node(num_cpus=each, object_store_memory=STORE_BYTES)
        tell(f"a cluster of {nodes} nodes with {each} processors each started in {time.monotonic() - started:.0f} s")
        yield str(cluster.address)
    finally:
        cluster.shutdown()


def report_search(settings: Settings, seconds: float, nodes: int, first: float | None) -> float:
    """Search with evaluations of `seconds`, print its figures, and return its efficiency."""
    with tempfile.TemporaryDirectory(prefix="nas-workers-") as name:
        log = Path(name) / "log"
        log.mkdir()
        task = problem(StandIn(seconds, log))
        task.domain.score(task.coded.sample(np.random.default_rng(0), 1))
        clock, processor = Clock(), time.process_time()
        with redirect_stdout(sys.stderr):
            result = search(task, settings, Path(name) / "search", progress=clock)
        driver = time.process_time() - processor
        begun = evaluated(log)
    wall = clock.last - clock.begun - result.start_seconds
    efficiency = len(result.evaluations) * seconds / (settings.workers * wall)
    tell(f"{settings.workers} workers: {wall:.1f} s after {result.start_seconds:.1f} s in which they started")
    where: dict[str, Detail] = {
        "workers": settings.workers,
        "nodes": nodes,
        "storage": kind_of(settings.storage),
        "seconds": seconds,
        "evaluations": len(result.evaluations),
        "lag": settings.lag,
        "proposer": settings.proposer,
        "choices": choices(),
    }
    baseline = {} if first is None else {"fewest workers": first}
    heaviest = max(one.values["worker_mib"] for one in result.evaluations)
    told = {"wall_seconds": wall, "worker_mib": heaviest, "torch_loaded": loaded_torch(result)}
    print_figure("efficiency", efficiency, "share", baseline=baseline, where={**where, **told})
    print_figure("driver_milliseconds", 1000 * driver / len(result.evaluations), "ms", where=where)
    for figure, value in (("duplicates", duplicates(begun)), ("invalid", invalid(begun))):
        print_figure(figure, value, "evaluations", where={**where, "begun": len(begun)})
    return efficiency


def loaded_torch(result: SearchResult) -> bool:
    """Whether any worker had torch in memory."""
    return any(one.values["torch_loaded"] for one in result.evaluations)


def report_storage(storage: str, trials: int) -> None:
    """Print how many trials a second `storage` takes from this project, and from Optuna alone."""
    where: dict[str, Detail] = {
        "storage": kind_of(storage),
        "choices": choices(),
        "trials": trials,
    }
    with tempfile.TemporaryDirectory(prefix="nas-storage-") as name:
        alone = optuna_alone(storage, Path(name), max(1, trials // 10))
        ours = recorded(storage, Path(name) / "ours", trials)
    print_figure("trials_per_second", ours, "1/s", baseline={"Optuna alone": alone}, where=where)


def recorded(storage: str, folder: Path, trials: int) -> float:
    """Trials a second, each recorded when it starts and when it ends."""
    task = problem(StandIn(0.0))
    rows = task.coded.sample(np.random.default_rng(0), trials)
    proposals = [task.inspect(row, number=i, proposer="random", root=0) for i, row in enumerate(rows)]
    with open_study(folder, task.header(Settings()), name="search", storage=storage) as record:
        started = time.perf_counter()
        for proposal in proposals:
            record.start(proposal)
            record.finish(proposal, {**proposal.figures, "error": 0.5, "luck": 1.0}, 1.0)
        return trials / (time.perf_counter() - started)


def optuna_alone(storage: str, folder: Path, trials: int) -> float:
    """Trials a second through Optuna's `ask` and `tell`, in its own storage of the same kind."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    kind = kind_of(storage)
    opened: BaseStorage
    if kind == "journal":
        backend = optuna.storages.journal.JournalFileBackend(str(folder / "alone.journal"))
        opened = optuna.storages.JournalStorage(backend)
    else:
        file = f"sqlite:///{folder / 'alone.db'}"
        opened = optuna.storages.RDBStorage(file) if kind == "sqlite" else open_postgres(storage)
    slots = distributions((slot.name, tuple(slot.options)) for slot in problem(StandIn(0.0)).coded.slots)
    study = optuna.create_study(
        storage=opened, directions=["minimize"] * 2, sampler=optuna.samplers.RandomSampler(seed=0)
    )
    started = time.perf_counter()
    for _ in range(trials):
        study.tell(study.ask(slots), [0.5, 1.0])
    seconds = time.perf_counter() - started
    close_storage(opened)
    return trials / seconds


if __name__ == "__main__":
    main()
