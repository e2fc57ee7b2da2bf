"""Searches on a table by any proposer or baseline, and how their hypervolume grew."""

import time
from dataclasses import dataclass

import numpy as np

from benchmarks.baselines import BASELINES
from benchmarks.figures import tell
from benchmarks.tables import Table
from nas.search.asking import ask
from nas.search.domain import Floats, History
from nas.search.gain import hypervolume
from nas.search.proposers import proposer

PATIENCE = 20


@dataclass(frozen=True)
class Trace:
    """One search: the rows of the table it evaluated, in order, each once; what was asked in all, and its price.

    duplicates: how often a network was proposed again. invalid: how often a code that is not in the table.
    """

    places: tuple[int, ...]
    seconds: float
    asked: int
    duplicates: int = 0
    invalid: int = 0


@dataclass(frozen=True)
class Searched:
    """Searches of one proposer: per seed the hypervolume after each evaluation, as a share of the exact front's.

    seconds: of a proposal. asked, duplicates, invalid: of all seeds together. exhausted: the curves end because every
    row of the table was evaluated.
    """

    curves: tuple[Floats, ...]
    seconds: float
    asked: int
    duplicates: int
    invalid: int
    exhausted: bool

    def after(self, evaluations: int) -> Floats | None:
        """[n_seeds] the shares after so many evaluations; `None` when not every search came so far."""
        shortest = min(len(curve) for curve in self.curves)
        if shortest == 0 or (shortest < evaluations and not self.exhausted):
            return None
        return np.array([curve[min(evaluations, len(curve)) - 1] for curve in self.curves])

    def first_at(self, share: float) -> int | None:
        """The first number of evaluations at which the median over seeds is at least `share`."""
        length = min(len(curve) for curve in self.curves)
        median = np.median([curve[:length] for curve in self.curves], axis=0)
        reached = np.flatnonzero(median >= share)
        return int(reached[0]) + 1 if len(reached) else None


def repeat(
    table: Table,
    objectives: tuple[str, ...],
    name: str,
    *,
    count: int,
    lag: int = 0,
    seeds: int = 10,
    most_seconds: float = np.inf,
) -> Searched:
    """Search for `count` distinct evaluations with each of the seeds 0, 1, ...

    lag: a proposer of the project decides from the results before the latest `lag`; baselines know all. A search
    ends early once its proposals have taken `most_seconds`.
    """
    values = table.values(objectives)
    worst = values.max(0)
    whole = hypervolume(values, worst)
    traces: list[Trace] = []
    curves: list[Floats] = []
    for seed in range(seeds):
        if name in BASELINES:
            trace = trace_baseline(table, objectives, name, count=count, seed=seed, most_seconds=most_seconds)
        else:
            trace = trace_proposer(table, objectives, name, count=count, lag=lag, seed=seed, most_seconds=most_seconds)
        traces.append(trace)
        curves.append(growth(values[list(trace.places)], worst) / whole)
        last = curves[-1][-1] if len(curves[-1]) else 0.0
        tell(f"{name}, seed {seed}: {last:.4f} after {len(trace.places)} evaluations, {trace.seconds:.1f} s")
    return Searched(
        curves=tuple(curves),
        seconds=sum(trace.seconds for trace in traces) / max(1, sum(len(trace.places) for trace in traces)),
        asked=sum(trace.asked for trace in traces),
        duplicates=sum(trace.duplicates for trace in traces),
        invalid=sum(trace.invalid for trace in traces),
        exhausted=all(len(trace.places) == len(values) for trace in traces),
    )


def trace_proposer(
    table: Table,
    objectives: tuple[str, ...],
    name: str,
    *,
    count: int,
    lag: int = 0,
    seed: int = 0,
    most_seconds: float = np.inf,
) -> Trace:
    """One search by a proposer of the project, one proposal after the other."""
    space, values = table.space, table.values(objectives)
    clock = time.process_time()
    asked = proposer(name, table.domain(objectives))
    seconds = time.process_time() - clock
    places: list[int] = []
    proposed = duplicates = invalid = 0
    while proposed < min(count, len(values)) and seconds < most_seconds:
        settled = max(0, len(places) - lag)
        tried = space.all_rows[places]
        told = values[places[:settled]]
        history = History(tried[:settled], told, np.empty((settled, 0)), tried[settled:], tried[:0])
        clock = time.process_time()
        row, _ = ask(asked, history, lambda row: True, (seed, proposed))
        seconds += time.process_time() - clock
        if row is None:
            break
        proposed += 1
        found, exact = space.find(row[None])
        invalid += int(not exact[0])
        duplicates += int(found[0]) in places
        if int(found[0]) not in places:
            places.append(int(found[0]))
    return Trace(tuple(places), seconds, proposed, duplicates, invalid)


def trace_baseline(
    table: Table, objectives: tuple[str, ...], name: str, *, count: int, seed: int = 0, most_seconds: float = np.inf
) -> Trace:
    """One search by another library; what it asks again is answered again, and not counted.

    Ends when it has asked twenty times as often as it may evaluate.
    """
    space, values = table.space, table.values(objectives)
    count = min(count, len(values))
    searcher = BASELINES[name](space.slots, len(objectives), seed)
    places: dict[int, None] = {}
    asked = duplicates = invalid = 0
    seconds = 0.0
    while len(places) < count and asked < PATIENCE * count and seconds < most_seconds:
        clock = time.process_time()
        codes = searcher.ask()
        seconds += time.process_time() - clock
        if len(codes) == 0:
            break
        found, exact = space.find(codes)
        asked += len(codes)
        invalid += int((~exact).sum())
        for place in found.tolist():
            duplicates += place in places
            if len(places) < count:
                places.setdefault(place)
        clock = time.process_time()
        searcher.tell(values[found])
        seconds += time.process_time() - clock
    return Trace(tuple(places), seconds, asked, duplicates, invalid)


def growth(values: Floats, reference: Floats) -> Floats:
    """[n] hypervolume of the first 1, 2, ... of `values` [n, n_objectives]."""
    grown = np.zeros(len(values))
    front = values[:0]
    volume = 0.0
    for n, value in enumerate(values):
        if not (front <= value).all(1).any():
            front = np.concatenate([front[~(value <= front).all(1)], value[None]])
            volume = hypervolume(front, reference)
        grown[n] = volume
    return grown
