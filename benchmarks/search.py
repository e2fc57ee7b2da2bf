"""Search on a tabular benchmark: the share of the exact front's hypervolume after so many distinct evaluations.

    python -m benchmarks.search --table nas-bench-macro_cifar10.json --objectives error,macs --seeds 10

The reference point is the worst value of each objective. Prints one JSON line per proposer and number of evaluations
(median over seeds; range under `where`), with random search of the same run as the baseline, and the time of a
proposal. The proposer a user gets without asking is printed as `default`.
"""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.tables import Table, read_table
from nas.search.asking import ask
from nas.search.domain import History, Rows
from nas.search.gain import hypervolume
from nas.search.proposers import DEFAULT, PROPOSERS, proposer

MARKS = (25, 50, 100, 200, 400)
BASELINE = "random"


def run_one(table: Table, objectives: tuple[str, ...], name: str, *, count: int, lag: int, seed: int) -> list[Rows]:
    """The rows that proposer `name` has evaluated, in order, each proposed from the results before n - lag."""
    domain = table.domain(objectives)
    asked = proposer(name, domain)
    values = np.stack([table.figures[objective] for objective in objectives], axis=1)
    chosen: list[Rows] = []
    seen: set[int] = set()
    twins = table.rows[:0]
    for n in range(count):
        tried = np.array(chosen, dtype=np.int16).reshape(n, -1) if chosen else table.rows[:0]
        done = max(0, n - lag)
        results = values[table.places(tried[:done])].reshape(done, len(objectives))
        history = History(tried[:done], results, np.empty((done, 0)), tried[done:], twins)
        row, skipped = ask(asked, history, lambda row: network_of(table, row) not in seen, (seed, n))
        twins = np.concatenate([twins, skipped])
        if row is None:
            break
        chosen.append(row)
        seen.add(network_of(table, row))
    return chosen


def network_of(table: Table, row: Rows) -> int:
    """The number of the network that `row` builds."""
    return int(table.network[table.places(row[None])[0]])


def measure(
    table: Table, objectives: tuple[str, ...], name: str, *, count: int, lag: int, seeds: int
) -> tuple[dict[int, list[float]], float]:
    """Hypervolume fractions by number of evaluations, one per seed, and the mean seconds of a proposal."""
    values = np.stack([table.figures[objective] for objective in objectives], axis=1)
    worst = values.max(0)
    whole = hypervolume(values, worst)
    found: dict[int, list[float]] = {mark: [] for mark in MARKS if mark <= count}
    spent = 0.0
    proposals = 0
    for seed in range(seeds):
        started = time.perf_counter()
        rows = run_one(table, objectives, name, count=count, lag=lag, seed=seed)
        spent += time.perf_counter() - started
        proposals += len(rows)
        reached = values[table.places(np.array(rows))]
        for mark, fractions in found.items():
            fractions.append(hypervolume(reached[:mark], worst) / whole)
        print(f"{name}, seed {seed}: {', '.join(f'{f[-1]:.4f}' for f in found.values())}", file=sys.stderr)
    return found, spent / max(1, proposals)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run every proposer on the table and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("--objectives", default="error,macs")
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--lag", type=int, default=0)
    parser.add_argument("--proposers", default=",".join(PROPOSERS))
    given = parser.parse_args(arguments)
    table = read_table(given.table)
    objectives = tuple(given.objectives.split(","))
    setting = {"table": given.table.name, "objectives": objectives, "seeds": given.seeds, "lag": given.lag}
    size = {"count": given.evaluations, "lag": given.lag, "seeds": given.seeds}
    baseline, _ = measure(table, objectives, BASELINE, **size)
    for name in given.proposers.split(","):
        found, seconds = (baseline, 0.0) if name == BASELINE else measure(table, objectives, name, **size)
        shown = "default" if name == DEFAULT else name
        for mark, fractions in found.items():
            line = {
                "figure": "hypervolume_fraction",
                "value": float(np.median(fractions)),
                "unit": "share",
                "baseline": {BASELINE: float(np.median(baseline[mark]))},
                "where": {
                    "proposer": shown,
                    "evaluations": mark,
                    "lowest": min(fractions),
                    "highest": max(fractions),
                    **setting,
                },
            }
            print(json.dumps(line), flush=True)
        if seconds:
            where = {"proposer": shown, "evaluations": given.evaluations, **setting}
            print(json.dumps({"figure": "proposal_seconds", "value": seconds, "unit": "s", "where": where}))


if __name__ == "__main__":
    main()
