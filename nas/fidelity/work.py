"""The work that judging a supernet takes: trainings of single networks, each result kept in a file of its own."""

import hashlib
import json
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.run_folder import read_json
from nas.search.evaluators import Arrays
from nas.search.problem import Buildable
from nas.search.workers import Evaluator, Task, pool
from search_spaces.files import write_json
from search_spaces.space import Architecture

if TYPE_CHECKING:
    from nas.modules import Weights
    from nas.supernet.train import TrainSettings
    from nas.tasks.protocol import Task as LearningTask

LOGGER = logging.getLogger("nas")
VALIDATION_BATCH = 256
SECONDS = "seconds"
"""What an evaluation took, kept beside its figures."""


@dataclass(frozen=True)
class AloneEvaluator:
    """Validation error of networks trained alone: from fresh weights, or from those in `starts` by their id."""

    space: Buildable
    task: "LearningTask"
    settings: "TrainSettings"
    starts: "Mapping[str, Weights]" = field(default_factory=dict)

    def setup(self) -> None:
        """Make repeated steps cheap for the memory allocator."""
        from nas.allocator import keep_freed_memory

        keep_freed_memory()

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """{"error": share of wrong answers}; `seed` as for `train_alone`."""
        from nas.supernet.alone import train_alone
        from nas.supernet.calibrate import error_of

        network = self.space.build(architecture)
        weights = train_alone(network, self.task, self.settings, seed=seed, start=self.starts.get(network.id))
        return {"error": error_of(network, weights, self.task, self.task.validation_batches(VALIDATION_BATCH))}


@dataclass(frozen=True)
class ScoresEvaluator:
    """Zero-cost scores of networks from one batch of images; a score that a network does not have is left out."""

    space: Buildable
    batch: Arrays

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """{score: value}; `seed` is that of the initial weights."""
        from nas.supernet.zero_cost import zero_cost_scores

        scores = zero_cost_scores(self.space.build(architecture), self.batch.tensors(), seed=seed)
        return {name: score for name, score in scores.items() if score is not None}


@dataclass(frozen=True)
class Kept:
    """Results of one kind of work, one file per network; `depends` on which they rest is part of the file's name."""

    folder: Path
    kind: str
    depends: Mapping[str, Any]

    def get(self, key: str) -> dict[str, Any] | None:
        """The result of network `key`, `None` where there is none yet."""
        found: dict[str, Any] | None = read_json(self._path(key), default=None)
        return found

    def put(self, key: str, result: Mapping[str, Any]) -> None:
        """Keep the result of network `key`."""
        write_json(self._path(key), dict(result))

    def missing(self, keys: Sequence[str]) -> list[str]:
        """Those of `keys` that have no result yet."""
        return [key for key in keys if not self._path(key).is_file()]

    def _path(self, key: str) -> Path:
        text = json.dumps(self.depends, sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return self.folder / f"{self.kind}-{key}-{digest}.json"


@dataclass(frozen=True, slots=True)
class Job:
    """One network to be evaluated: under which key its result is kept, and the seed of its training."""

    key: str
    architecture: Architecture
    seed: int


def work_off(
    evaluator: Callable[[], Evaluator],
    jobs: Sequence[Job],
    kept: Kept,
    *,
    workers: int,
    deadline: float | None = None,
    advance: Callable[[], None] = lambda: None,
) -> list[str]:
    """Evaluate those of `jobs` without a kept result and keep theirs; return what went wrong, a line each.

    evaluator: made when there is work. deadline: `time.monotonic()` after which no further job is begun. advance:
    called after each.
    """
    todo = set(kept.missing([job.key for job in jobs]))
    waiting = deque(job for job in jobs if job.key in todo)
    if not waiting:
        return []
    problems: list[str] = []
    running = 0
    with pool(evaluator(), min(workers, len(waiting))) as workplace:
        while True:
            late = deadline is not None and time.monotonic() > deadline
            while waiting and running < max(1, workers) and not late:
                job = waiting.popleft()
                workplace.submit(Task((job.key, 0), job.architecture, job.seed))
                running += 1
            if not running:
                return problems
            outcome = workplace.next(None)
            assert outcome is not None
            running -= 1
            if outcome.values is None:
                problems.append(f"{outcome.key[0]}: {outcome.failure}")
                LOGGER.warning(problems[-1])
            else:
                kept.put(outcome.key[0], {**outcome.values, SECONDS: round(outcome.seconds, 3)})
            advance()
