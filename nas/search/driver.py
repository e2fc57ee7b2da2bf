"""The search itself: propose, record, evaluate, in an order that does not depend on who finishes first."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from nas.search.asking import ask
from nas.search.domain import Rows, no_rows
from nas.search.earlier import EARLIER, Earlier, known_figures, taken_over
from nas.search.ledger import Ledger
from nas.search.limits import check_limits, describe
from nas.search.problem import Problem, Settings
from nas.search.proposers import proposer
from nas.search.record import RANDOM, Evaluation
from nas.search.screening import bar, is_partial
from nas.search.storage import locked
from nas.search.study import Proposal, Recorded, StudyRecord, evaluation_of, open_study
from nas.search.workers import Outcome, Pool, Task, pool
from search_spaces.errors import NasError
from search_spaces.space import Architecture

LOGGER = logging.getLogger(__name__)
POLL_SECONDS = 0.5
Ending = Literal["complete", "deadline", "interrupted", "exhausted"]


class Step(Protocol):
    """Something that shows progress, such as `nas.console.progress` gives."""

    def advance(self, amount: float = 1.0, *, note: str = "") -> None:
        """Say that `amount` more of the evaluations are done."""


@dataclass(frozen=True)
class Failure:
    """An evaluation that failed, and why."""

    number: int
    proposer: str
    architecture: Architecture
    reason: str


@dataclass(frozen=True)
class SearchResult:
    """What a search found: evaluations and failures, by proposer and number; how it ended; the seconds it took now.

    "exhausted": the proposer had no more architectures before its budget was spent. start_seconds: those among
    `seconds` in which the workers started.
    """

    evaluations: tuple[Evaluation, ...]
    failures: tuple[Failure, ...]
    ended: Ending
    seconds: float
    start_seconds: float = 0.0


def streams(settings: Settings) -> tuple[tuple[str, int], ...]:
    """The proposers that run one after the other, with their budgets: the chosen one, then the random baseline."""
    chosen = (settings.proposer, settings.evaluations)
    if settings.proposer == RANDOM:
        return (chosen,)
    budget = settings.evaluations if settings.random_evaluations is None else settings.random_evaluations
    return (chosen, (RANDOM, budget)) if budget else (chosen,)


def search(
    problem: Problem,
    settings: Settings,
    folder: Path,
    *,
    resume: bool = False,
    progress: Step | None = None,
    deadline: float | None = None,
    earlier: Earlier | None = None,
) -> SearchResult:
    """Search `problem` and record every trial in `folder`; with `resume`, go on from what is recorded there.

    Drivers that share a study in PostgreSQL divide the trials among them, and come to the same result as one alone.

    deadline: on `time.monotonic()`; what is being evaluated then is given up, and what is done is returned. Ctrl-C
    does the same. progress advances by one for each evaluation, recorded ones included. earlier: what other searches
    evaluated; what is learned from is recorded first, as proposals of "earlier", beside the budget.

    Raises NasError before anything is evaluated when the limits cannot be met, and when the study cannot be used,
    the workers cannot start, or most evaluations fail.
    """
    started = time.monotonic()
    check_limits(problem.domain, np.random.default_rng([settings.seed, 0]))
    with _one_thread(), ExitStack() as stack:
        stack.enter_context(locked(folder, settings.storage))
        header = problem.header(settings)
        record = stack.enter_context(
            open_study(folder, header, name=settings.name, storage=settings.storage, resume=resume)
        )
        run = _Run(problem, settings, record, stack, progress=progress, deadline=deadline, earlier=earlier or Earlier())
        ended = run.all()
    evaluations = [evaluation_of(known, problem.limits, problem.provenance) for known in run.recorded()]
    failures = [
        Failure(known.proposal.number, known.proposal.proposer, known.proposal.architecture, known.failure)
        for known in run.recorded()
        if known.failure is not None
    ]
    found = tuple(evaluation for evaluation in evaluations if evaluation is not None)
    return SearchResult(found, tuple(failures), ended, time.monotonic() - started, run.start_seconds)


@contextmanager
def _one_thread() -> Iterator[None]:
    """One thread for linear algebra, whose rounding would otherwise depend on the number of cores."""
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    with threadpool_limits(1):
        yield


class _Run:
    """All streams of one search, and the evaluations they share."""

    def __init__(
        self,
        problem: Problem,
        settings: Settings,
        record: StudyRecord,
        stack: ExitStack,
        *,
        progress: Step | None,
        deadline: float | None,
        earlier: Earlier,
    ) -> None:
        self.problem, self.settings, self.record = problem, settings, record
        self.deadline = deadline
        self._stack, self._progress = stack, progress
        self._pool: Pool | None = None
        known = record.load()
        self.earlier = self._taken_over(earlier, known)
        self.streams = [_Stream(self, name, budget, known) for name, budget in streams(settings)]
        self.start_seconds = 0.0
        self.cache: dict[str, dict[str, float]] = known_figures(problem, earlier.known)
        for recorded in self.earlier:
            self.cache[problem.identity_of(recorded.proposal)] = dict(recorded.values or {})
        for recorded in self.recorded():
            if recorded.values is not None:
                self.remember(recorded.proposal, recorded.values)

    def recorded(self) -> list[Recorded]:
        """Everything known: what was taken over, then stream by stream, by number."""
        return [*self.earlier, *(known for stream in self.streams for known in stream.known.all())]

    def _taken_over(self, earlier: Earlier, known: list[Recorded]) -> list[Recorded]:
        """What is learned from other searches; recorded here when it was not yet."""
        there = {one.proposal.number: one for one in known if one.proposal.proposer == EARLIER and one.values}
        for one in taken_over(self.problem, earlier.learned, root=self.settings.seed):
            if one.proposal.number not in there and one.values is not None:
                self.record.add(one.proposal, one.values)
                there[one.proposal.number] = one
        return [there[number] for number in sorted(there)]

    def remember(self, proposal: Proposal, values: Mapping[str, float]) -> None:
        """Keep the figures of a network for whoever proposes it again."""
        if not is_partial(values):
            self.cache.setdefault(self.problem.identity_of(proposal), dict(values))

    def cached(self, proposal: Proposal) -> dict[str, float] | None:
        """All figures of a network that was evaluated before, here or by another search; else `None`."""
        given = self.cache.get(self.problem.identity_of(proposal))
        return None if given is None else {**proposal.figures, **given}

    def refresh(self) -> None:
        """Take up what other drivers recorded, and which of them died."""
        everything = self.record.load()
        for stream in self.streams:
            stream.take_up(everything)

    def advance(self, recorded: Recorded) -> None:
        """Show that one more is done."""
        if self._progress is not None:
            values = recorded.values or {}
            parts = [f"{name} {values[name]:.4g}" for name in self.problem.objectives if name in values]
            self._progress.advance(1.0, note=", ".join(parts) or "failed")

    def workers(self) -> Pool:
        """The pool, started when first needed."""
        if self._pool is None:
            settings = self.settings
            if settings.workers > settings.lag + 1:
                LOGGER.warning(
                    "search.lag is %d, so at most %d of %d workers have work at a time; a lag of workers - 1 or more "
                    "keeps all busy",
                    settings.lag,
                    settings.lag + 1,
                    settings.workers,
                )
            started = time.monotonic()
            made = pool(
                self.problem.evaluator,
                settings.workers,
                address=settings.address,
                timeout_seconds=settings.timeout_seconds,
            )
            self._pool = self._stack.enter_context(made)
            self.start_seconds = time.monotonic() - started
        return self._pool

    def all(self) -> Ending:
        """Run every stream; how the last one that ran ended, or "exhausted" if any was."""
        ended: Ending = "complete"
        for stream in self.streams:
            for recorded in stream.known.all():
                if stream.known.has_outcome(recorded.proposal.number):
                    self.advance(recorded)
        for stream in self.streams:
            try:
                outcome = stream.run()
            except KeyboardInterrupt:
                outcome = "interrupted"
            except NasError:
                self.record.give_up()
                raise
            if outcome in ("deadline", "interrupted"):
                self.record.give_up()
                return outcome
            ended = outcome if outcome == "exhausted" else ended
        return ended


class _Stream:
    """The trials of one proposer."""

    def __init__(self, run: _Run, name: str, budget: int, recorded: list[Recorded]) -> None:
        self._run, self._name, self._budget = run, name, budget
        self._proposer = proposer(name, run.problem.domain)
        self._earlier = [] if name == RANDOM else run.earlier
        mine = [known for known in recorded if known.proposal.proposer == name]
        self.known = Ledger(run.problem, mine, earlier=self._earlier)
        starts = None if name == RANDOM else run.problem.starts
        self._starts = no_rows(run.problem.domain) if starts is None else run.problem.domain.within(starts)
        self._in_flight: dict[int, Proposal] = {}
        self._inspected: dict[bytes, Proposal] = {}
        self._refreshed = time.monotonic()

    def run(self) -> Ending:
        """Evaluate what was left unfinished, then propose and evaluate until the budget is spent."""
        exhausted = False
        while True:
            self._start_what_is_left()
            while not exhausted and len(self.known) < self._budget and self._may_propose():
                if self._overdue():
                    return "deadline"
                exhausted = not self._propose()
            if not self.known.open():
                return "exhausted" if exhausted else "complete"
            if self._overdue():
                return "deadline"
            self._wait()

    def _start_what_is_left(self) -> None:
        """Start again what nobody evaluates: the trials of dead drivers, and those that were given up."""
        for number in self.known.open():
            unclaimed = self.known[number].running is None and not self.known.has_outcome(number)
            if unclaimed and number not in self._in_flight and self._has_room():
                self._start(self._proposed_again(self.known[number].proposal))

    def _may_propose(self) -> bool:
        """Whether all results that the next trial is proposed from are in, and there is somebody to evaluate it."""
        return self._has_room() and self.known.concluded >= len(self.known) - self._run.settings.lag

    def _has_room(self) -> bool:
        """Whether this driver should take on more: what its workers do and as much again, where others work too."""
        return not self._run.record.is_shared or len(self._in_flight) < 2 * max(1, self._run.settings.workers)

    def _wait(self) -> None:
        """Wait until something was evaluated here, or elsewhere."""
        elsewhere = any(self.known[number].running == "elsewhere" for number in self.known.open())
        seconds = self._seconds_left()
        if elsewhere:
            seconds = POLL_SECONDS if seconds is None else min(POLL_SECONDS, seconds)
        if self._in_flight:
            outcome = self._run.workers().next(seconds)
            if outcome is not None:
                self._take(outcome)
        elif elsewhere:
            time.sleep(seconds or 0.0)
        if elsewhere and time.monotonic() - self._refreshed >= POLL_SECONDS:
            self._refresh()

    def _refresh(self) -> None:
        self._refreshed = time.monotonic()
        self._run.refresh()

    def take_up(self, everything: list[Recorded]) -> None:
        """Learn what other drivers recorded, and which of their trials are to be evaluated again."""
        for recorded in everything:
            number = recorded.proposal.number
            if recorded.proposal.proposer != self._name or number in self._in_flight or self.known.has_outcome(number):
                continue
            if recorded.failure is not None and number in self.known.retried:
                continue
            if recorded.values is not None:
                self._run.remember(recorded.proposal, recorded.values)
            if recorded.running == "here":
                self._submit(recorded.proposal)
            elif recorded.values is not None or recorded.failure is not None:
                self._conclude(recorded)
            else:
                self.known.put(recorded)

    def _propose(self) -> bool:
        """Propose and start the next trial; whether there was one."""
        number = len(self.known)
        seen = self.known.seen()
        seed = (self._run.settings.seed, 1 + (self._name == RANDOM), number)
        history = self.known.history(number, self._run.settings.lag)

        def is_new(row: Rows) -> bool:
            return self._run.problem.identity_of(self._inspect(row)) not in seen

        start = next(filter(is_new, self._starts), None)
        row, skipped = (start, history.rows[:0]) if start is not None else ask(self._proposer, history, is_new, seed)
        if row is None:
            LOGGER.info("%s has no more architectures to propose after %d", self._name, number)
            return False
        rows = tuple(tuple(map(int, other)) for other in skipped)
        proposal = replace(self._inspect(row), number=number, skipped=rows)
        values = self._run.cached(proposal)
        if values is None or self._missing(values):
            self._start(proposal)
        elif self._run.record.add(proposal, values):
            self._conclude(Recorded(proposal, dict(values), None, cached=True))
        else:
            self._refresh()
        return True

    def _inspect(self, row: Rows) -> Proposal:
        key = row.tobytes()
        if key not in self._inspected:
            self._inspected[key] = self._run.problem.inspect(
                row, number=-1, proposer=self._name, root=self._run.settings.seed
            )
        return self._inspected[key]

    def _proposed_again(self, proposal: Proposal) -> Proposal:
        """The same proposal, inspected anew; NasError when its row builds another network now."""
        row = np.array(proposal.row, dtype=np.int16)
        again = replace(self._inspect(row), number=proposal.number, skipped=proposal.skipped)
        if again.id != proposal.id:
            raise NasError(
                f"the space has changed since this search began: {describe(proposal.architecture)} builds another "
                "network. Restore the space, or choose another --name"
            )
        return again

    def _start(self, proposal: Proposal) -> None:
        """Record and submit `proposal`, unless another driver was first."""
        if self._run.record.start(proposal):
            self._submit(proposal)
        else:
            self._refresh()

    def _submit(self, proposal: Proposal) -> None:
        self.known.put(Recorded(proposal, None, None, running="here"))
        self._in_flight[proposal.number] = proposal
        self._run.workers().submit(Task(proposal.key, proposal.architecture, proposal.seed, self._bar(proposal)))

    def _bar(self, proposal: Proposal) -> float | None:
        """The error that a proposal must stay below, from what was settled when it was made."""
        if not self._run.settings.early_stop:
            return None
        settled = [self.known[number] for number in range(max(0, proposal.number - self._run.settings.lag))]
        return bar(self._run.problem, proposal, (*self._earlier, *settled))

    def _take(self, outcome: Outcome) -> None:
        """Record what came of a task; another driver's result counts where that one took the trial over."""
        proposal = self._in_flight[outcome.key[1]]
        values = {**proposal.figures, **(outcome.values or {})}
        failure = outcome.failure or self._missing(values)
        record = self._run.record
        taken = record.finish(proposal, values, outcome.seconds) if failure is None else record.fail(proposal, failure)
        del self._in_flight[proposal.number]
        if not taken:
            LOGGER.warning("trial %d of %s was taken over by another driver", proposal.number, proposal.proposer)
            self.known.put(Recorded(proposal, None, None))
            self._refresh()
        elif failure is None:
            self._run.remember(proposal, values)
            self._conclude(Recorded(proposal, values, None, outcome.seconds))
        else:
            self._fail(Recorded(proposal, None, failure, outcome.seconds))

    def _fail(self, recorded: Recorded) -> None:
        """Go on after a failure; NasError when there are too many."""
        architecture = describe(recorded.proposal.architecture)
        LOGGER.warning("evaluation of %s failed: %s", architecture, recorded.failure)
        self._conclude(recorded)
        if self.known.fails_too_often:
            done = sum(self.known.has_outcome(number) for number in range(len(self.known)))
            raise NasError(
                f"{self.known.failures} of {done} evaluations failed, so the search stops. The last, of "
                f"{architecture}: {recorded.failure}. Mend it and continue with --resume, which tries the failed ones "
                "again"
            )

    def _missing(self, values: Mapping[str, float]) -> str | None:
        """Why `values` will not do: an objective or a limited figure is not among them."""
        problem = self._run.problem
        missing = [name for name in (*problem.objectives, *problem.limits) if name not in values]
        if not missing:
            return None
        return f"nobody gave {' and '.join(dict.fromkeys(missing))}; there are {', '.join(sorted(values))}"

    def _conclude(self, recorded: Recorded) -> None:
        self.known.put(recorded)
        self._run.advance(recorded)

    def _overdue(self) -> bool:
        return self._run.deadline is not None and time.monotonic() >= self._run.deadline

    def _seconds_left(self) -> float | None:
        return None if self._run.deadline is None else max(0.0, self._run.deadline - time.monotonic())
