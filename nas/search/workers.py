"""Who evaluates: this process, or Ray actors that share one read-only copy of the data. One thread each."""

import logging
import math
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from search_spaces.errors import NasError
from search_spaces.space import Architecture

Key = tuple[str, int]
LOSSES = 5
STORE_BYTES = 256 * 2**20
STORE_FACTOR = 2


class Evaluator(Protocol):
    """What evaluates one architecture; plain data that can be pickled, numpy arrays above all."""

    def setup(self) -> None:
        """Get ready in the process that evaluates; called once there, before the first evaluation."""

    def evaluate(self, architecture: Architecture, seed: int) -> Mapping[str, float]:
        """Figures of `architecture` by name; the same for the same arguments."""


@runtime_checkable
class Screener(Protocol):
    """An evaluator that can give up early."""

    def evaluate_until(self, architecture: Architecture, seed: int, bar: float) -> Mapping[str, float]:
        """As `evaluate`, but it may stop once the error surely is above `bar`, and say so (`nas.search.screening`)."""


@dataclass(frozen=True)
class Task:
    """One evaluation to be done; it may be given up once its error surely is above `bar`."""

    key: Key
    architecture: Architecture
    seed: int
    bar: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What came of a task: its figures, or why there are none."""

    key: Key
    values: dict[str, float] | None
    failure: str | None
    seconds: float


class Pool(Protocol):
    """Evaluates tasks in any order."""

    def submit(self, task: Task) -> None:
        """Queue a task."""

    def next(self, timeout: float | None) -> Outcome | None:
        """The next outcome; `None` when there is none within `timeout` seconds."""


class InProcess:
    """Evaluates in this process, one task per call of `next`."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._worker = Worker(evaluator)
        problem = self._worker.ready()
        if problem is not None:
            raise NasError(f"the evaluation cannot start: {problem}")
        self._tasks: deque[Task] = deque()

    def submit(self, task: Task) -> None:
        """Queue a task."""
        self._tasks.append(task)

    def next(self, timeout: float | None) -> Outcome | None:
        """Evaluate the oldest task; an evaluation that has begun is not cut short."""
        return self._worker.run(self._tasks.popleft()) if self._tasks else None


class Worker:
    """Runs an evaluator; what goes wrong in it becomes the outcome's `failure`."""

    def __init__(self, evaluator: Evaluator) -> None:
        self._evaluator = evaluator
        self._problem: str | None = None
        try:
            evaluator.setup()
        except Exception as error:
            self._problem = _reason(error)
        _one_thread()

    def ready(self) -> str | None:
        """Why it cannot evaluate; `None` when it can."""
        return self._problem

    def run(self, task: Task) -> Outcome:
        """Evaluate one task."""
        started = time.perf_counter()
        try:
            values, failure = _checked(self._figures(task)), None
        except Exception as error:
            values, failure = None, _reason(error)
        return Outcome(task.key, values, failure, time.perf_counter() - started)

    def _figures(self, task: Task) -> Mapping[str, float]:
        if task.bar is not None and isinstance(self._evaluator, Screener):
            return self._evaluator.evaluate_until(task.architecture, task.seed, task.bar)
        return self._evaluator.evaluate(task.architecture, task.seed)


def _checked(values: object) -> dict[str, float]:
    if not isinstance(values, Mapping):
        raise NasError(f"the evaluation returned {values!r}, not a dict of figure names and numbers")
    found: dict[str, float] = {}
    for name, value in values.items():
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise NasError(f"the evaluation gave {name} = {value!r}, which is not a number") from None
        if math.isfinite(number):
            found[str(name)] = number
        else:
            raise NasError(f"the evaluation gave {name} = {number}; figures must be finite")
    return found


def _reason(error: Exception) -> str:
    if isinstance(error, NasError):
        return str(error)
    places = traceback.extract_tb(error.__traceback__)
    place = f" ({places[-1].filename}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {error}{place}"


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@contextmanager
def pool(evaluator: Evaluator, workers: int, *, address: str | None = None) -> Iterator[Pool]:
    """A pool of `workers` processes; 0 or 1 evaluates in this process, without Ray.

    address: of a running Ray cluster, `None` for one of its own on this machine. Raises NasError when the
    workers cannot start, with the reason.
    """
    if workers <= 1:
        with _threads_restored():
            yield InProcess(evaluator)
        return
    with _ray(evaluator, workers, address) as reference:
        actors = RayPool(reference, workers)
        try:
            yield actors
        finally:
            actors.close()


@contextmanager
def _threads_restored() -> Iterator[None]:
    environment = os.environ.get("OMP_NUM_THREADS")
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch is not None else None
    try:
        yield
    finally:
        if environment is None:
            os.environ.pop("OMP_NUM_THREADS", None)
        else:
            os.environ["OMP_NUM_THREADS"] = environment
        if torch is not None and threads is not None:
            torch.set_num_threads(threads)


@contextmanager
def _ray(evaluator: Evaluator, workers: int, address: str | None) -> Iterator[Any]:
    """Start Ray, or use the one that is running, and put the evaluator into its object store once."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray
    from ray import cloudpickle

    buffers: list[Any] = []
    try:
        pickler: Any = cloudpickle
        pickler.dumps(evaluator, protocol=5, buffer_callback=buffers.append)
    except Exception as error:
        raise NasError(f"the evaluation cannot be sent to workers: {error}; use search.workers = 1") from error
    payload = sum(buffer.raw().nbytes for buffer in buffers)
    ours = not ray.is_initialized()
    try:
        if ours:
            ray.init(
                address=address or "local",
                num_cpus=None if address else workers,
                object_store_memory=None if address else STORE_BYTES + STORE_FACTOR * payload,
                include_dashboard=None if address else False,
                log_to_driver=False,
                logging_level=logging.ERROR,
            )
        reference = ray.put(evaluator)
    except Exception as error:
        if ours:
            ray.shutdown()
        raise NasError(
            f"Ray cannot start with {payload / 2**20:.0f} MiB to share: {_first_line(error)}. Free memory in /dev/shm, "
            "or use search.workers = 1, which does without Ray"
        ) from error
    try:
        yield reference
    finally:
        if ours:
            ray.shutdown()


class RayPool:
    """Ray actors, one task each at a time; a lost actor is replaced and its task evaluated again."""

    def __init__(self, evaluator: Any, workers: int) -> None:
        import ray

        made: Any = ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._make: Callable[[], Any] = lambda: made.remote(evaluator)
        self._waiting: deque[Task] = deque()
        self._busy: dict[Any, tuple[Any, Task]] = {}
        self._losses: dict[Key, int] = {}
        self._idle: list[Any] = [self._make() for _ in range(workers)]
        try:
            problems = ray.get([actor.ready.remote() for actor in self._idle])
        except Exception as error:
            self.close()
            raise NasError(
                f"the workers cannot start: {_first_line(error)}. With too little memory for {workers} workers, lower "
                "search.workers"
            ) from error
        if any(problems):
            self.close()
            raise NasError(f"the workers cannot start: {next(filter(None, problems))}")

    def submit(self, task: Task) -> None:
        """Queue a task and start it when an actor is idle."""
        self._waiting.append(task)
        self._dispatch()

    def next(self, timeout: float | None) -> Outcome | None:
        """Wait for the next outcome."""
        import ray
        from ray.exceptions import RayError

        until = None if timeout is None else time.monotonic() + timeout
        while self._busy:
            left = None if until is None else max(0.0, until - time.monotonic())
            done, _ = ray.wait(list(self._busy), num_returns=1, timeout=left)
            if not done:
                return None
            actor, task = self._busy.pop(done[0])
            try:
                outcome: Outcome = ray.get(done[0])
            except RayError as error:
                lost = self._lost(actor, task, error)
                if lost is not None:
                    return lost
                continue
            self._idle.append(actor)
            self._dispatch()
            return outcome
        return None

    def _lost(self, actor: Any, task: Task, error: Exception) -> Outcome | None:
        """Replace a lost actor; queue its task again, unless it has cost too many actors."""
        import ray

        ray.kill(actor)
        self._idle.append(self._make())
        self._losses[task.key] = losses = self._losses.get(task.key, 0) + 1
        if losses >= LOSSES:
            self._dispatch()
            reason = f"its worker died {losses} times, perhaps for want of memory: {_first_line(error)}"
            return Outcome(task.key, None, reason, 0.0)
        self._waiting.appendleft(task)
        self._dispatch()
        return None

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            actor, task = self._idle.pop(), self._waiting.popleft()
            self._busy[actor.run.remote(task)] = actor, task

    def close(self) -> None:
        """End all actors."""
        import ray

        for actor in [*self._idle, *(actor for actor, _ in self._busy.values())]:
            ray.kill(actor)


def _first_line(error: Exception) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if isinstance(error, RuntimeError) and len(lines) > 1 else lines[0]) if lines else repr(error)
