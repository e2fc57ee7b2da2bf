"""Ray actors that evaluate one task each at a time, whatever becomes of single ones."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from nas.search.cluster import first_line
from nas.search.record import Key
from nas.search.workers import Outcome, Task, Worker
from search_spaces.errors import NasError

LOGGER = logging.getLogger(__name__)
LOSSES = 5
START_SECONDS = 300.0
JOIN_SECONDS = 30.0
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class _Job:
    """A task on an actor; until: on `time.monotonic()`, when it is cut short."""

    actor: Any
    task: Task
    until: float


class RayPool:
    """Actors with one task each; a lost actor is replaced and its task evaluated again, a slow one is cut short.

    evaluator: as an object of Ray's. timeout_seconds: the most an evaluation may take.
    """

    def __init__(self, evaluator: Any, workers: int, *, timeout_seconds: float | None = None) -> None:
        import ray

        made: Any = ray.remote(num_cpus=1, max_restarts=0)(Worker)
        self._actor, self._evaluator = made, evaluator
        self._timeout = timeout_seconds
        self._waiting: deque[Task] = deque()
        self._done: deque[Outcome] = deque()
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._busy: dict[Any, _Job] = {}
        self._losses: dict[Key, int] = {}
        self._failed_starts = 0
        self._warned = time.monotonic()
        for _ in range(workers):
            self._start()
        try:
            self._wait_for_start(workers)
        except BaseException:
            self.close()
            raise

    def submit(self, task: Task) -> None:
        """Queue a task and start it when an actor is idle."""
        self._waiting.append(task)
        self._dispatch()

    def next(self, timeout: float | None) -> Outcome | None:
        """Wait for the next outcome."""
        until = float("inf") if timeout is None else time.monotonic() + timeout
        self._collect(0.0)
        while not self._done and (self._busy or self._waiting):
            now = time.monotonic()
            if now >= until:
                return None
            ends = [job.until for job in self._busy.values()]
            self._collect(max(0.0, min(until, now + PATIENCE_SECONDS, *ends) - now))
            self._warn_when_alone()
        return self._done.popleft() if self._done else None

    def close(self) -> None:
        """End all actors."""
        import ray

        for actor in [*self._starting.values(), *self._idle, *(job.actor for job in self._busy.values())]:
            ray.kill(actor)

    def _start(self) -> None:
        actor = self._actor.remote(self._evaluator)
        self._starting[actor.ready.remote()] = actor

    def _wait_for_start(self, workers: int) -> None:
        """Wait until the actors are ready: all, or those that a cluster has room for."""
        begun = changed = time.monotonic()
        ready = 0
        while self._starting:
            self._collect(1.0)
            now = time.monotonic()
            if len(self._idle) > ready:
                ready, changed = len(self._idle), now
            if ready and now - changed > JOIN_SECONDS:
                LOGGER.warning("%d of %d workers are ready; the others join when there is room", ready, workers)
                return
            if not ready and now - begun > START_SECONDS:
                raise NasError(
                    f"no worker was ready within {START_SECONDS:.0f} s: Ray has {self._processors():g} processors, "
                    "and other programs may use them all. Wait for them, or add nodes to the cluster"
                )

    @staticmethod
    def _processors() -> float:
        import ray

        resources: Callable[[], dict[str, float]] = ray.cluster_resources
        return resources().get("CPU", 0.0)

    def _collect(self, seconds: float) -> None:
        """Take what is done within `seconds`, at once when anything is; cut short what is late; give out tasks."""
        import ray
        from ray.exceptions import RayError

        pending = [*self._busy, *self._starting]
        if pending and seconds > 0:
            ray.wait(pending, num_returns=1, timeout=seconds)
        done = ray.wait(pending, num_returns=len(pending), timeout=0)[0] if pending else []
        for reference in done:
            try:
                result, error = ray.get(reference), None
            except RayError as lost:
                result, error = None, lost
            if reference in self._starting:
                self._started(self._starting.pop(reference), result, error)
            else:
                self._finished(self._busy.pop(reference), result, error)
        self._cut_short()
        self._dispatch()

    def _started(self, actor: Any, problem: str | None, error: Exception | None) -> None:
        """Take an actor into service, or try another one in its place."""
        if problem is not None:
            raise NasError(f"the workers cannot start: {problem}")
        if error is None:
            self._failed_starts = 0
            self._idle.append(actor)
            return
        self._failed_starts += 1
        if self._failed_starts >= LOSSES:
            raise NasError(
                f"the workers cannot start: {_why(error)}. With too little memory for so many workers, lower "
                "search.workers"
            ) from error
        self._start()

    def _finished(self, job: _Job, outcome: Outcome | None, error: Exception | None) -> None:
        if outcome is not None:
            self._done.append(outcome)
            self._idle.append(job.actor)
            return
        self._replace(job.actor)
        self._losses[job.task.key] = losses = self._losses.get(job.task.key, 0) + 1
        if error is not None:
            LOGGER.warning("a worker was lost and is replaced: %s", _why(error))
        if losses < LOSSES:
            self._waiting.appendleft(job.task)
            return
        why = f"its worker died {losses} times: {_why(error)}"
        self._done.append(Outcome(job.task.key, None, why, 0.0))

    def _cut_short(self) -> None:
        """End the evaluations that take too long."""
        now = time.monotonic()
        late = [reference for reference, job in self._busy.items() if now >= job.until]
        for reference in late:
            job = self._busy.pop(reference)
            self._replace(job.actor)
            why = f"it took longer than search.timeout_seconds = {self._timeout:g} and was ended"
            self._done.append(Outcome(job.task.key, None, why, float(self._timeout or 0.0)))

    def _replace(self, actor: Any) -> None:
        import ray

        ray.kill(actor)
        self._start()

    def _dispatch(self) -> None:
        while self._waiting and self._idle:
            actor, task = self._idle.pop(), self._waiting.popleft()
            until = float("inf") if self._timeout is None else time.monotonic() + self._timeout
            self._busy[actor.run.remote(task)] = _Job(actor, task, until)

    def _warn_when_alone(self) -> None:
        """Say now and then that no worker lives."""
        now = time.monotonic()
        if self._busy or self._idle:
            self._warned = now
        elif now - self._warned > PATIENCE_SECONDS:
            self._warned = now
            LOGGER.warning("no worker lives; waiting for Ray to start one (%g processors)", self._processors())


def _why(error: Exception | None) -> str:
    """Why a worker was lost, in one line."""
    from ray.exceptions import OutOfMemoryError

    if error is None:
        return "for no known reason"
    if isinstance(error, OutOfMemoryError):
        return f"out of memory ({first_line(error)}); lower search.workers, or use machines with more memory"
    return f"{first_line(error)} (perhaps the system ended it for want of memory; then lower search.workers)"
