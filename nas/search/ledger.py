"""The trials of one proposer, and the history that the next one is proposed from; grows without being made anew."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np

from nas.search.domain import Floats, History, Rows
from nas.search.problem import Problem
from nas.search.study import Proposal, Recorded, coded

FEWEST_FAILURES = 3


class Ledger:
    """What is known of the trials 0, 1, ... of one proposer. An outcome never changes once it is known.

    earlier: what was taken over from other searches; it is in every history, before the trials.
    retried: those that had failed, as most had when the search stopped, and are evaluated again.
    """

    def __init__(self, problem: Problem, recorded: Iterable[Recorded], *, earlier: Sequence[Recorded] = ()) -> None:
        self._problem = problem
        self._slots = len(problem.coded.slots)
        self._known = {known.proposal.number: known for known in recorded}
        self.retried = frozenset[int]()
        if self.fails_too_often:
            self.retried = frozenset(number for number, known in self._known.items() if known.failure is not None)
            self._known = {number: replace(known, failure=None) for number, known in self._known.items()}
        self._settled = 0
        self._rows, self._failed = coded([one.proposal.row for one in earlier], self._slots), coded([], self._slots)
        told = [problem.told(one.values or {}) for one in earlier]
        excess = [problem.excess(one.values or {}) for one in earlier]
        self._values: Floats = np.array(told).reshape(len(earlier), len(problem.objectives))
        self._excess: Floats = np.array(excess).reshape(len(earlier), len(problem.limits))
        self._entered, self._skipped = 0, coded([], self._slots)
        self._seen = {problem.identity_of(one.proposal) for one in earlier}
        self._concluded = 0

    def __len__(self) -> int:
        return len(self._known)

    def __getitem__(self, number: int) -> Recorded:
        return self._known[number]

    def __contains__(self, number: int) -> bool:
        return number in self._known

    def all(self) -> list[Recorded]:
        """Everything known, by number."""
        return [self._known[number] for number in sorted(self._known)]

    def put(self, recorded: Recorded) -> None:
        """Add a trial, or what became of it."""
        self._known[recorded.proposal.number] = recorded

    def has_outcome(self, number: int) -> bool:
        """Whether trial `number` has values or has failed for good."""
        known = self._known.get(number)
        return known is not None and (known.values is not None or known.failure is not None)

    def open(self) -> list[int]:
        """The numbers of the trials without an outcome, in order."""
        return [number for number in range(self.concluded, len(self)) if not self.has_outcome(number)]

    @property
    def concluded(self) -> int:
        """How many trials from the first on have an outcome without a gap."""
        while self.has_outcome(self._concluded):
            self._concluded += 1
        return self._concluded

    @property
    def failures(self) -> int:
        """How many failed."""
        return sum(known.failure is not None for known in self._known.values())

    @property
    def fails_too_often(self) -> bool:
        """Whether more than half of the evaluations failed, and at least three."""
        valued = sum(known.values is not None for known in self._known.values())
        return self.failures >= FEWEST_FAILURES and self.failures > valued

    def seen(self) -> set[str]:
        """The identities of all networks proposed."""
        self._enter()
        return self._seen

    def history(self, number: int, lag: int) -> History:
        """What trial `number` is proposed from: the results of those before number - lag, which must be there."""
        self._settle(max(0, number - lag))
        self._enter()
        return History(
            rows=self._rows,
            values=self._values,
            excess=self._excess,
            pending=coded([self._known[i].proposal.row for i in range(self._settled, number)], self._slots),
            excluded=np.concatenate([self._failed, self._skipped]),
        )

    def _settle(self, end: int) -> None:
        """Take up the outcomes of the trials before `end`."""
        for number in range(self._settled, end):
            known = self._known[number]
            row = coded([known.proposal.row], self._slots)
            if known.values is None:
                self._failed = np.concatenate([self._failed, row])
                continue
            self._rows = np.concatenate([self._rows, row])
            self._values = np.concatenate([self._values, self._problem.told(known.values)[None]])
            self._excess = np.concatenate([self._excess, self._problem.excess(known.values)[None]])
        self._settled = max(self._settled, end)

    def _enter(self) -> None:
        """Take up the identities and the skipped rows of all proposals."""
        for number in range(self._entered, len(self)):
            proposal: Proposal = self._known[number].proposal
            self._seen.add(self._problem.identity_of(proposal))
            self._skipped = np.concatenate([self._skipped, self._skipped_by(proposal)])
        self._entered = len(self)

    def _skipped_by(self, proposal: Proposal) -> Rows:
        return coded(proposal.skipped, self._slots)
