"""Searches with stand-in evaluations: everything is real but the seconds of an evaluation, which are slept.

    python -m benchmarks.stand_in FOLDER --storage journal --evaluations 20

runs such a search, or goes on with it, as a driver process of its own.
"""

import argparse
import json
import math
import os
import resource
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from nas.search.driver import SearchResult, search
from nas.search.problem import Problem, Settings
from predictors.tables import CostTables
from search_spaces.catalog.mobile import mobile
from search_spaces.errors import NasError
from search_spaces.space import Architecture, SearchSpace

OBJECTIVES = ("error", "macs")
Core = tuple[str, int, str, float, float]


@dataclass(frozen=True)
class StandIn:
    """Sleeps for `seconds`, then tells a made-up error; one line per evaluation goes into a file in `log`."""

    seconds: float
    log: Path | None = None

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """The error, what the worker needs, and whether it has loaded torch."""
        if self.log is not None:
            with (self.log / str(os.getpid())).open("a") as file:
                file.write(architecture.to_json() + "\n")
        time.sleep(self.seconds)
        sizes = [float(value) for _, value in architecture.picks if isinstance(value, int | float)]
        return {
            "error": 0.9 * math.exp(-sum(map(math.log1p, sizes)) / 50),
            "worker_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "torch_loaded": float("torch" in sys.modules),
        }


@cache
def space() -> SearchSpace:
    """The mobile space for small images: 30 choices, up to five blocks in three stages."""
    return mobile((3, 32, 32), 10, resolutions=(32,), depths=((1, 2), (1, 2), (1,)), strides=(1, 2, 2))


def choices() -> int:
    """How many choices there are in that space."""
    return sum(len(slot.options) > 1 for slot in tables().compiled.slots)


@cache
def tables() -> CostTables:
    """The counted figures of that space."""
    return CostTables(space().compile())


def problem(evaluator: StandIn) -> Problem:
    """Little error at few MACs."""
    costs = tables()
    return Problem(
        space=space(),
        coded=costs.compiled,
        objectives=OBJECTIVES,
        score=costs.score,
        known=costs.names,
        figures=costs.plain,
        evaluator=evaluator,
        identity="fingerprint",
    )


def core_of(result: SearchResult) -> list[Core]:
    """What of a search must not depend on faults: who proposed what, and its objectives."""
    return [
        (one.proposer, one.number, one.fingerprint, one.values["error"], one.values["macs"])
        for one in result.evaluations
    ]


def evaluated(log: Path) -> list[str]:
    """The architectures that workers began to evaluate, as JSON, in no order."""
    return [line for file in sorted(log.iterdir()) for line in file.read_text().splitlines()]


def invalid(architectures: Sequence[str]) -> int:
    """How many of `architectures` the space cannot build."""
    count = 0
    for text in set(architectures):
        try:
            space().build(Architecture.from_json(text))
        except NasError:
            count += 1
    return count


def duplicates(architectures: Sequence[str]) -> int:
    """How often a network was evaluated again that had been evaluated before."""
    prints = Counter(space().build(Architecture.from_json(text)).fingerprint for text in architectures)
    return sum(count - 1 for count in prints.values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Search, or go on with it, and print what was found as one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--storage", default="sqlite")
    parser.add_argument("--address")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--lag", type=int, default=8)
    parser.add_argument("--evaluations", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.0)
    parser.add_argument("--proposer", default="nsga2")
    parser.add_argument("--log", type=Path)
    given = parser.parse_args(arguments)
    settings = Settings(
        evaluations=given.evaluations,
        random_evaluations=0,
        proposer=given.proposer,
        lag=given.lag,
        workers=given.workers,
        storage=given.storage,
        address=given.address,
    )
    result = search(problem(StandIn(given.seconds, given.log)), settings, given.folder, resume=True)
    print(json.dumps({"ended": result.ended, "core": core_of(result)}))


if __name__ == "__main__":
    main()
