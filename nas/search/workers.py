"""Who evaluates: this process, or Ray actors that share one read-only copy of the data. One thread each."""

import math
import os
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from nas.search.record import Key
from search_spaces.errors import NasError
from search_spaces.space import Architecture


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
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return f"its worker ran out of memory ({str(error) or 'MemoryError'}): lower search.workers, or use less data"
    places = traceback.extract_tb(error.__traceback__)
    place = f" ({places[-1].filename}:{places[-1].lineno})" if places else ""
    return f"{type(error).__name__}: {error}{place}"


def _one_thread() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(1)


@contextmanager
def pool(
    evaluator: Evaluator, workers: int, *, address: str | None = None, timeout_seconds: float | None = None
) -> Iterator[Pool]:
    """A pool of `workers` processes; 0 or 1 evaluates in this process, without Ray, where nothing speaks against it.

    address: of a running Ray cluster, "auto" or "ray://host:port"; `None` for one of its own on this machine.
    timeout_seconds: the most an evaluation may take; cutting one short takes a process of its own.

    Raises NasError when the workers cannot start, with the reason.
    """
    if workers <= 1 and address is None and timeout_seconds is None:
        with _threads_restored():
            yield InProcess(evaluator)
        return
    from nas.search.cluster import connected
    from nas.search.ray_pool import RayPool

    count = max(1, workers)
    with connected(evaluator, count, address) as reference:
        actors = RayPool(reference, count, timeout_seconds=timeout_seconds)
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
