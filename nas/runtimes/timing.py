"""Timing of one repeated action: warm-up, many repetitions, a median that other work on the machine does not move.

The script that measures other devices contains this file, so it needs Python 3.8 and numpy only.
"""

from __future__ import annotations

import bisect
import time
from dataclasses import dataclass, field
from typing import Callable

import numpy as np
import numpy.typing as npt

Clock = Callable[[], float]
WAITED_SHARE = 0.02
WAITED_S = 5e-6
SLOW = 1.15
SLOW_REFERENCE = 1.12
QUIET_QUANTILE = 0.1
CALM_QUANTILE = 0.02
FEWEST_CALM = 3
LOW, HIGH = 0.1, 0.9
PATIENCE = 3.0
QUIET_ENOUGH = 0.1


@dataclass(frozen=True)
class Measurement:
    """Milliseconds of one inference: median, 10th and 90th percentile of the repetitions that count.

    `quiet_share` is the share of repetitions that nothing disturbed: near 1.0 on an idle machine, and 0.0 where only
    disturbed ones could be had, so that the figures are not to be trusted. `reference_ms` is what the reference took
    beside the repetitions that count; `None` without one.
    """

    median_ms: float
    low_ms: float
    high_ms: float
    repeats: int
    quiet_share: float
    reference_ms: float | None = None


def disturbance(quiet_share: float, reference_ms: float | None, calm_ms: float | None) -> float:
    """How far a measurement is to be doubted; 0 for one to believe.

    Few repetitions were undisturbed, or the reference beside them took longer than `calm_ms`, as on a quiet machine.
    """
    doubt = max(0.0, QUIET_ENOUGH - quiet_share)
    if calm_ms is not None and reference_ms is not None:
        doubt += max(0.0, reference_ms / calm_ms - SLOW_REFERENCE)
    return doubt


@dataclass
class Reference:
    """A short fixed action run between repetitions: while it is slow, somebody else uses the machine.

    `known_s` is what it took on this machine when it was quiet, if that is known.
    """

    run: Callable[[], None]
    clock: Clock = time.perf_counter
    known_s: float | None = None
    sorted_s: list[float] = field(default_factory=list)

    def seconds(self) -> float:
        """Run once to warm the caches that other work left cold; time a second run, remember and return it."""
        self.run()
        before = self.clock()
        self.run()
        taken = self.clock() - before
        bisect.insort(self.sorted_s, taken)
        return taken

    @property
    def calm_s(self) -> float:
        """What it takes on a quiet machine: as known, or less where the 2nd percentile of all its runs is less."""
        seen = self.sorted_s[int(CALM_QUANTILE * len(self.sorted_s))]
        return seen if self.known_s is None else min(seen, self.known_s)

    @property
    def slowdown(self) -> float:
        """Median of all its runs over the quiet value; 1.0 on a machine that does nothing else."""
        return self.sorted_s[len(self.sorted_s) // 2] / self.calm_s


@dataclass(frozen=True)
class Repetitions:
    """Repeated timings: seconds each took, and which were undisturbed.

    Where they are known: processor seconds, and seconds of the reference beside each (the slower of both sides).
    """

    wall_s: tuple[float, ...]
    calm: tuple[bool, ...]
    busy_s: tuple[float, ...] | None = None
    reference_s: tuple[float, ...] | None = None

    @property
    def taken_s(self) -> npt.NDArray[np.float64]:
        """The seconds to go by: wall time when some repetitions were undisturbed, else processor time if known."""
        if sum(self.calm) >= FEWEST_CALM or self.busy_s is None:
            return np.asarray(self.wall_s)
        return np.asarray(self.busy_s)

    def counted(self) -> npt.NDArray[np.bool_]:
        """Which repetitions count: the undisturbed ones (all, when there are none) but for their slow tail."""
        return self._without_tail(self.taken_s)

    def counted_by_wall(self) -> npt.NDArray[np.bool_]:
        """The same by wall time alone, for parts that were timed by the wall clock."""
        return self._without_tail(np.asarray(self.wall_s))

    def _without_tail(self, taken: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        calm = np.asarray(self.calm)
        if calm.sum() < FEWEST_CALM:
            calm = np.ones_like(calm)
        return np.asarray(calm & (taken <= SLOW * np.quantile(taken[calm], QUIET_QUANTILE)))

    @property
    def quiet_share(self) -> float:
        """Share of the repetitions that were undisturbed."""
        return sum(self.calm) / len(self.calm)

    def summary(self) -> Measurement:
        """Median and spread of the repetitions that count."""
        counted = self.counted()
        low, median, high = np.quantile(1e3 * self.taken_s[counted], (LOW, 0.5, HIGH))
        beside = None
        if self.reference_s is not None:
            beside = 1e3 * float(np.median(np.asarray(self.reference_s)[counted]))
        return Measurement(float(median), float(low), float(high), len(self.wall_s), self.quiet_share, beside)


def repeat(
    run: Callable[[], None],
    *,
    seconds: float,
    min_repeats: int = 10,
    max_repeats: int = 2000,
    warm_up: int = 3,
    single_thread: bool = True,
    reference: Reference | None = None,
    clock: Clock = time.perf_counter,
    busy_clock: Clock = time.thread_time,
) -> Repetitions:
    """Call `run()` `warm_up` times, then for `seconds` and until `min_repeats` repetitions were undisturbed.

    Disturbed is a repetition next to which `reference` was more than 12 % slower than on a quiet machine, or, where
    the work is done by the calling thread (`single_thread`), one that took longer than its processor time. The wait
    for undisturbed ones ends after three times `seconds`.
    """
    for _ in range(warm_up):
        run()
    wall: list[float] = []
    busy: list[float] = []
    beside: list[float] = []
    calm: list[bool] = []
    start = clock()
    last = reference.seconds() if reference else 0.0
    while len(wall) < max_repeats:
        elapsed = clock() - start
        waited = elapsed >= PATIENCE * seconds and len(wall) >= min_repeats
        if elapsed >= seconds and (sum(calm) >= min_repeats or waited):
            break
        busy_before, before = busy_clock(), clock()
        run()
        wall.append(clock() - before)
        busy.append(busy_clock() - busy_before)
        undisturbed = not single_thread or wall[-1] - busy[-1] <= WAITED_SHARE * wall[-1] + WAITED_S
        if reference:
            first, last = last, reference.seconds()
            beside.append(max(first, last))
            undisturbed &= beside[-1] <= SLOW_REFERENCE * reference.calm_s
        calm.append(undisturbed)
    return Repetitions(
        tuple(wall),
        tuple(calm),
        tuple(busy) if single_thread else None,
        tuple(beside) if reference else None,
    )
