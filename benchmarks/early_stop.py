"""What giving evaluations up early saves, on a tabular benchmark whose errors are played as answers to single images.

    python -m benchmarks.early_stop --table nas-bench-macro_cifar10.json --evaluations 100 --seeds 3

Each network answers `--images` validation images, in batches of `--batch`, wrong in the share that the table gives, in
an order of its own; an evaluation costs its recalibration images too. The second objective is known. Prints one JSON
line per figure and proposer:

    images_share           images seen, recalibration included, as a share of those without early stops; median over
                           seeds, range under `where`
    hypervolume_fraction   of the exact front, by what was evaluated to the end; the baseline is without early stops
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from benchmarks.figures import Detail, print_figure, tell
from benchmarks.table_files import read_table
from benchmarks.tables import Table
from nas.search.asking import ask
from nas.search.domain import History
from nas.search.gain import hypervolume
from nas.search.proposers import DEFAULT, proposer
from nas.search.screening import hopeless
from search_spaces.errors import NasError

RIVALS = ("nsga2", "random")


@dataclass(frozen=True)
class Played:
    """Images of a whole validation part, of a batch, and of the recalibration before it."""

    images: int
    batch: int
    recalibration: int

    def end(self, place: int, error: float, bar: float | None) -> tuple[int, float]:
        """After how many images the evaluation of the network at `place` ends, with which error so far.

        bar: what it has to beat.
        """
        if bar is None:
            return self.images, error
        wrong = np.random.default_rng([7, place]).permutation(np.arange(self.images) < round(error * self.images))
        counts = np.cumsum(wrong)
        for seen in range(self.batch, self.images, self.batch):
            if hopeless(float(counts[seen - 1]), seen, bar):
                return seen, float(counts[seen - 1]) / seen
        return self.images, error


def searched(
    table: Table, names: tuple[str, str], name: str, *, played: Played, count: int, seed: int, early: bool
) -> tuple[float, float]:
    """One search: images seen as a share of all, and the share of the exact front's hypervolume."""
    values, rows = table.values(names), table.space.all_rows
    asked = proposer(name, table.domain(names))
    places: list[int] = []
    ends: list[int] = []
    told: list[tuple[float, float]] = []
    for number in range(min(count, len(values))):
        tried = rows[places]
        results = np.array(told).reshape(number, 2)
        history = History(tried, results, np.empty((number, 0)), tried[:0], tried[:0])
        row, _ = ask(asked, history, lambda row: True, (seed, number))
        if row is None:
            break
        place = int(table.space.find(row[None])[0][0])
        error, cost = map(float, values[place])
        whole = [pair for pair, end in zip(told, ends, strict=True) if end == played.images]
        bar = min((pair[0] for pair in whole if pair[1] <= cost), default=None) if early else None
        end, so_far = played.end(place, error, bar)
        places.append(place)
        ends.append(end)
        told.append((so_far, cost))
    used = sum(ends) + len(ends) * played.recalibration
    kept = [place for place, end in zip(places, ends, strict=True) if end == played.images]
    worst = values.max(0)
    share = hypervolume(values[kept], worst) / hypervolume(values, worst)
    return used / (len(ends) * (played.images + played.recalibration)), share


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the searches with and without early stops and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--table", type=Path, required=True, help="a file of measurements")
    parser.add_argument("--known", default="macs", help="the objective beside the error")
    parser.add_argument("--evaluations", type=int, default=100)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=5000, help="of the validation part")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--recalibration", type=int, default=1024, help="images of it")
    given = parser.parse_args(arguments)
    names = ("error", str(given.known))
    try:
        table = read_table(given.table).table(names)
    except NasError as error:
        parser.error(str(error))
    played = Played(given.images, given.batch, given.recalibration)
    where: dict[str, Detail] = {
        "table": given.table.name,
        "evaluations": given.evaluations,
        "seeds": given.seeds,
        "images": given.images,
    }
    with threadpool_limits(1):
        for name in (DEFAULT, *RIVALS):
            runs = []
            for seed in range(given.seeds):
                found = [
                    searched(table, names, name, played=played, count=given.evaluations, seed=seed, early=early)
                    for early in (True, False)
                ]
                tell(f"{name}, seed {seed}: {found[0][0]:.3f} of the images, {found[0][1]:.4f} of {found[1][1]:.4f}")
                runs.append(found)
            shares = [early[0] for early, _ in runs]
            ends = (round(min(shares), 4), round(max(shares), 4))
            spread: dict[str, Detail] = {"proposer": name, "least": ends[0], "most": ends[1]}
            print_figure("images_share", float(np.median(shares)), "share", where={**where, **spread})
            print_figure(
                "hypervolume_fraction",
                float(np.median([early[1] for early, _ in runs])),
                "share",
                baseline={"without early stops": float(np.median([plain[1] for _, plain in runs]))},
                where={**where, "proposer": name},
            )


if __name__ == "__main__":
    main()
