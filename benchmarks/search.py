"""Search on a tabular benchmark: the share of the exact front's hypervolume after so many distinct evaluations.

    python -m benchmarks.search --table nas-bench-macro_cifar10.json --objectives error,macs --evaluations 400

Any file of the formats that `benchmarks.table_files` reads will do. The reference point is the worst value of each
objective. Every proposer of the project is run, the one a user gets without asking under the name `default`, and
Optuna's and pymoo's searchers on the same slots, in their default settings (pymoo's with a population of 50, as
Optuna's has). To these a code that is not in the table stands for its nearest row, and one that was evaluated before
is answered again and not counted. Prints one JSON line per figure:

    hypervolume_fraction   median over seeds, range under `where`
    evaluations_to_match   how many the median search needs for the last hypervolume of Optuna's NSGA-II
    proposal_seconds       processor time of a distinct proposal
    duplicates, invalid    how often, in all seeds, a network was proposed again, or a code that is not in the table
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.baselines import BASELINES, missing_library
from benchmarks.figures import Detail, print_figure, tell
from benchmarks.searches import Searched, repeat
from benchmarks.table_files import read_table
from nas.search.proposers import DEFAULT, PROPOSERS
from search_spaces.errors import NasError, unknown_name

MARKS = (25, 50, 100, 200, 400)
NULL = "random"
RIVAL = "optuna-nsga2"
SHOWN_DEFAULT = "default"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the searches on the table and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", type=Path, required=True, help="a file of measurements")
    parser.add_argument("--objectives", default="error,macs", help="names, separated by commas")
    parser.add_argument("--evaluations", type=int, default=400, help="distinct ones, per search")
    parser.add_argument("--seeds", type=int, default=10, help="searches per proposer")
    parser.add_argument("--lag", type=int, default=0, help="results that a proposer has to do without")
    parser.add_argument("--proposers", help="names, separated by commas; all when not given")
    parser.add_argument("--minutes", type=float, default=10.0, help="the most that the proposals of a search may take")
    given = parser.parse_args(arguments)
    objectives = tuple(given.objectives.split(","))
    try:
        names = chosen(given.proposers)
        table = read_table(given.table).table(objectives)
    except NasError as error:
        parser.error(str(error))
    setting = {"table": given.table.name, "objectives": given.objectives, "seeds": given.seeds, "lag": given.lag}
    found: dict[str, Searched] = {}
    with threadpool_limits(1):
        for name in names:
            searched = repeat(
                table,
                objectives,
                name,
                count=given.evaluations,
                lag=given.lag,
                seeds=given.seeds,
                most_seconds=60 * given.minutes,
            )
            found[name] = searched
            report(name, searched, found, setting, given.evaluations)


def chosen(given: str | None) -> list[str]:
    """The names to run, baselines first, without those whose library is not installed; NasError for unknown ones."""
    everything = [NULL, *BASELINES, *(name for name in PROPOSERS if name != NULL)]
    if given is None:
        wanted = set(everything)
    else:
        wanted = {NULL, *(DEFAULT if name == SHOWN_DEFAULT else name for name in given.split(","))}
    for name in wanted:
        if name not in everything:
            raise unknown_name("proposer", name, everything)
    for name in everything:
        library = missing_library(name)
        if name in wanted and library is not None:
            tell(f"{name} is left out: {library} is not installed")
            wanted.remove(name)
    return [name for name in everything if name in wanted]


def report(
    name: str, searched: Searched, found: dict[str, Searched], setting: dict[str, Detail], evaluations: int
) -> None:
    """Print the figures of one proposer, beside those of the baselines that were `found` before it."""
    where: dict[str, Detail] = {"proposer": SHOWN_DEFAULT if name == DEFAULT else name, **setting}
    others = {other: found[other] for other in (NULL, *BASELINES) if other in found}
    for mark in sorted({mark for mark in MARKS if mark < evaluations} | {evaluations}):
        fractions = searched.after(mark)
        if fractions is None:
            tell(f"{name}: not every search came to {mark} evaluations in its time")
            continue
        medians = {other: _median(one, mark) for other, one in others.items()}
        print_figure(
            "hypervolume_fraction",
            float(np.median(fractions)),
            "share",
            baseline={other: median for other, median in medians.items() if median is not None},
            where={**where, "evaluations": mark, "lowest": float(fractions.min()), "highest": float(fractions.max())},
        )
    rival = _median(found[RIVAL], evaluations) if RIVAL in found else None
    needed = None if rival is None else searched.first_at(rival)
    if needed is not None and name != RIVAL:
        print_figure(
            "evaluations_to_match",
            needed,
            "evaluations",
            baseline={RIVAL: evaluations},
            where={**where, "share": rival},
        )
    seconds = {other: one.seconds for other, one in others.items()}
    print_figure(
        "proposal_seconds", searched.seconds, "s", baseline=seconds, where={**where, "evaluations": evaluations}
    )
    for figure, wasted in (("duplicates", searched.duplicates), ("invalid", searched.invalid)):
        print_figure(figure, wasted, "proposals", where={**where, "asked": searched.asked})


def _median(searched: Searched, mark: int) -> float | None:
    fractions = searched.after(mark)
    return None if fractions is None else float(np.median(fractions))


if __name__ == "__main__":
    main()
