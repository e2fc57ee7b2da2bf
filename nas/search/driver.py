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
from nas.search.domain import History, Rows, no_rows
from nas.search.earlier import EARLIER, Earlier, known_figures, taken_over
from nas.search.limits import check_limits, describe
from nas.search.problem import Problem, Settings
from nas.search.proposers import proposer
from nas.search.record import RANDOM, Evaluation
from nas.search.screening import bar, is_partial
from nas.search.storage import locked
from nas.search.study import Proposal, Recorded, StudyRecord, coded, evaluation_of, open_study
from nas.search.workers import Outcome, Pool, Task, pool
from search_spaces.errors import NasError
from search_spaces.space import Architecture

LOGGER = logging.getLogger(__name__)
FEWEST_FAILURES = 3
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

    "exhausted": the proposer had no more architectures before its budget was spent.
    """

    evaluations: tuple[Evaluation, ...]
    failures: tuple[Failure, ...]
    ended: Ending
    seconds: float


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

    deadline: on `time.monotonic()`; what is being evaluated then is given up, and what is done is returned. Ctrl-C
    does the same. progress advances by one for each evaluation, recorded ones included. earlier: what other searches
    evaluated; what is learned from is recorded first, as proposals of "earlier", beside the budget.

    Raises NasError before anything is evaluated when the limits cannot be met, and when the study cannot be used,
    the workers cannot start, or most evaluations fail.
    """
    started = time.monotonic()
    check_limits(problem.domain, np.random.default_rng([settings.seed, 0]))
    with _one_thread(), ExitStack() as stack:
        stack.enter_context(locked(folder))
        header = problem.header(settings)
        record = stack.enter_context(
            open_study(folder, header, name=settings.name, kind=settings.storage, resume=resume)
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
    return SearchResult(found, tuple(failures), ended, time.monotonic() - started)


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
        self.cache: dict[str, dict[str, float]] = known_figures(problem, earlier.known)
        for recorded in self.earlier:
            self.cache[problem.identity_of(recorded.proposal)] = dict(recorded.values or {})
        for stream in self.streams:
            for recorded in stream.known.values():
                if recorded.values is not None:
                    self.remember(recorded.proposal, recorded.values)

    def recorded(self) -> list[Recorded]:
        """Everything known: what was taken over, then stream by stream, by number."""
        own = [stream.known[number] for stream in self.streams for number in sorted(stream.known)]
        return [*self.earlier, *own]

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
            made = pool(self.problem.evaluator, settings.workers, address=settings.address)
            self._pool = self._stack.enter_context(made)
        return self._pool

    def all(self) -> Ending:
        """Run every stream; how the last one that ran ended, or "exhausted" if any was."""
        ended: Ending = "complete"
        for stream in self.streams:
            for recorded in stream.known.values():
                if stream.has_outcome(recorded.proposal.number):
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
        self.known = {known.proposal.number: known for known in recorded if known.proposal.proposer == name}
        if self._too_many_failures():
            self.known = {number: replace(known, failure=None) for number, known in self.known.items()}
        self._earlier = [] if name == RANDOM else run.earlier
        starts = None if name == RANDOM else run.problem.starts
        self._starts = no_rows(run.problem.domain) if starts is None else run.problem.domain.within(starts)
        self._in_flight: dict[int, Proposal] = {}
        self._inspected: dict[bytes, Proposal] = {}

    def has_outcome(self, number: int) -> bool:
        """Whether trial `number` has values or has failed for good."""
        known = self.known.get(number)
        return known is not None and (known.values is not None or known.failure is not None)

    def run(self) -> Ending:
        """Evaluate what was left unfinished, then propose and evaluate until the budget is spent."""
        for number in sorted(self.known):
            if not self.has_outcome(number):
                self._start(self._proposed_again(self.known[number].proposal))
        exhausted = False
        while True:
            while not exhausted and len(self.known) < self._budget and self._may_propose():
                if self._overdue():
                    return "deadline"
                exhausted = not self._propose()
            if not self._in_flight:
                return "exhausted" if exhausted else "complete"
            if self._overdue():
                return "deadline"
            outcome = self._run.workers().next(self._seconds_left())
            if outcome is not None:
                self._take(outcome)

    def _may_propose(self) -> bool:
        """Whether all results that the next trial is proposed from are in."""
        first = len(self.known) - self._run.settings.lag
        return all(self.has_outcome(number) for number in range(first)) if first > 0 else True

    def _propose(self) -> bool:
        """Propose and start the next trial; whether there was one."""
        number = len(self.known)
        known = (*self._earlier, *self.known.values())
        seen = {self._run.problem.identity_of(one.proposal) for one in known}
        seed = (self._run.settings.seed, 1 + (self._name == RANDOM), number)
        history = self._history(number)

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
        else:
            self._run.record.add(proposal, values)
            self._conclude(Recorded(proposal, values, None, cached=True))
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

    def _history(self, number: int) -> History:
        """What trial `number` may be proposed from."""
        problem = self._run.problem
        slots = len(problem.coded.slots)
        settled = max(0, number - self._run.settings.lag)
        done = [self.known[i] for i in range(settled)]
        valued = [*self._earlier, *(known for known in done if known.values is not None)]
        failed = [known.proposal.row for known in done if known.values is None]
        skipped = [row for i in range(number) for row in self.known[i].proposal.skipped]
        values = [problem.told(known.values or {}) for known in valued]
        excess = [problem.excess(known.values or {}) for known in valued]
        return History(
            rows=coded([known.proposal.row for known in valued], slots),
            values=np.array(values).reshape(len(valued), len(problem.objectives)),
            excess=np.array(excess).reshape(len(valued), len(problem.limits)),
            pending=coded([self.known[i].proposal.row for i in range(settled, number)], slots),
            excluded=coded(failed + skipped, slots) if failed or skipped else no_rows(problem.domain),
        )

    def _start(self, proposal: Proposal) -> None:
        self._run.record.start(proposal)
        self.known[proposal.number] = Recorded(proposal, None, None)
        self._in_flight[proposal.number] = proposal
        self._run.workers().submit(Task(proposal.key, proposal.architecture, proposal.seed, self._bar(proposal)))

    def _bar(self, proposal: Proposal) -> float | None:
        """The error that a proposal must stay below, from what was settled when it was made."""
        if not self._run.settings.early_stop:
            return None
        settled = [self.known[number] for number in range(max(0, proposal.number - self._run.settings.lag))]
        return bar(self._run.problem, proposal, (*self._earlier, *settled))

    def _take(self, outcome: Outcome) -> None:
        """Record what came of a task."""
        proposal = self._in_flight[outcome.key[1]]
        values = {**proposal.figures, **(outcome.values or {})}
        failure = outcome.failure or self._missing(values)
        if failure is None:
            self._run.record.finish(proposal, values, outcome.seconds)
            del self._in_flight[proposal.number]
            self._run.remember(proposal, values)
            self._conclude(Recorded(proposal, values, None, outcome.seconds))
            return
        LOGGER.warning("evaluation of %s failed: %s", describe(proposal.architecture), failure)
        self._run.record.fail(proposal, failure)
        del self._in_flight[proposal.number]
        self._conclude(Recorded(proposal, None, failure, outcome.seconds))
        if self._too_many_failures():
            done = sum(self.has_outcome(number) for number in self.known)
            failed = sum(known.failure is not None for known in self.known.values())
            raise NasError(
                f"{failed} of {done} evaluations failed, so the search stops. The last, of "
                f"{describe(proposal.architecture)}: {failure}. Mend it and continue with --resume, which tries the "
                "failed ones again"
            )

    def _missing(self, values: Mapping[str, float]) -> str | None:
        """Why `values` will not do: an objective or a limited figure is not among them."""
        problem = self._run.problem
        missing = [name for name in (*problem.objectives, *problem.limits) if name not in values]
        if not missing:
            return None
        return f"nobody gave {' and '.join(dict.fromkeys(missing))}; there are {', '.join(sorted(values))}"

    def _conclude(self, recorded: Recorded) -> None:
        self.known[recorded.proposal.number] = recorded
        self._run.advance(recorded)

    def _too_many_failures(self) -> bool:
        """Whether more than half of the evaluations failed, and at least three."""
        failed = sum(known.failure is not None for known in self.known.values())
        valued = sum(known.values is not None for known in self.known.values())
        return failed >= FEWEST_FAILURES and failed > valued

    def _overdue(self) -> bool:
        return self._run.deadline is not None and time.monotonic() >= self._run.deadline

    def _seconds_left(self) -> float | None:
        return None if self._run.deadline is None else max(0.0, self._run.deadline - time.monotonic())
