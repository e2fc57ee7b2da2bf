"""DeepMAD's programme solved with a proven gap, beside plain mutation search for the same processor time.

    python -m benchmarks.exact_programme [--spaces published,growing,free] [--gap 0.01] [--seconds 100] [--seeds 3]

The budgets are DeepMAD-R18's: 1.82 G MACs, 11.69 M parameters (both with the classifier), effectiveness of at most 0.3.
Every figure is recounted on the built network. The spaces, five stages of equal bottleneck blocks at 224 pixels:

* published: the bounds of the authors' search, an output at most 4 times as wide as the input and at most 10 times as
  wide as the bottleneck; widths in steps of 32 up to 2,048, bottlenecks in steps of 8 up to 256, kernels 3 and 5,
  1 to 24 blocks a stage;
* growing: the same, and no stage narrower than the one before;
* free: as published, but any ratio of widths.

The published network, of the same shape, has an entropy of 32,120.20.
"""

import argparse
import math
import statistics
import time
from collections.abc import Sequence

import numpy as np

from benchmarks.figures import Detail, print_figure, tell
from nas.search.exact import Budgets, Programme, Solution, most_entropy
from nas.search.exact.programme import Floats, Ints
from search_spaces.catalog.deepmad import BottleneckStages
from search_spaces.errors import unknown_name

SPACES = {
    "published": BottleneckStages(),
    "growing": BottleneckStages(growing=True),
    "free": BottleneckStages(most_squeeze=math.inf, most_growth=math.inf),
}
BUDGETS = Budgets(macs=1.82e9, params=11.69e6, effectiveness=0.3)
POPULATION = 256
BASELINE = "mutation search"


def mutation_search(programme: Programme, seconds: float, rng: np.random.Generator) -> tuple[float, int]:
    """Best entropy that mutation of a population reaches in `seconds` of processor time, and how many were scored.

    Every child changes one or two picks, half of them by one step, of a parent drawn from the best 256. Those that
    break a budget rank behind all that keep them, by how much they overdraw.
    """
    population: Ints = np.zeros((1, len(programme.sizes)), dtype=np.int64)
    worth = _worth(programme, population)
    rows = np.arange(POPULATION)
    scored, end = 0, time.process_time() + seconds
    while time.process_time() < end:
        children = population[rng.integers(len(population), size=POPULATION)]
        for chance in (1.0, 0.5):
            variable = rng.integers(len(programme.sizes), size=POPULATION)
            near = children[rows, variable] + rng.choice((-1, 1), size=POPULATION)
            drawn = np.where(rng.random(POPULATION) < 0.5, near, rng.integers(0, programme.sizes[variable]))
            changed = np.clip(drawn, 0, programme.sizes[variable] - 1)
            children[rows, variable] = np.where(rng.random(POPULATION) < chance, changed, children[rows, variable])
        joined, first = np.unique(np.concatenate([population, children]), axis=0, return_index=True)
        values = np.concatenate([worth, _worth(programme, children)])[first]
        order = np.argsort(-values, kind="stable")[:POPULATION]
        population, worth = joined[order], values[order]
        scored += POPULATION
    return max(float(worth[0]), 0.0), scored


def _worth(programme: Programme, points: Ints) -> Floats:
    """Entropy where a point keeps the budgets, else what it overdraws, negative."""
    scores = programme.scores(points)
    behind = np.where(scores.valid, -programme.excess(scores), -np.inf)
    return np.where(programme.feasible(scores), scores.entropy, behind)


def measure(name: str, *, gap: float, seconds: float, seeds: int) -> None:
    """Solve one space, then run the baseline, and print the figures."""
    space = SPACES[name]
    tell(f"{name}: solving")
    found = most_entropy(space, BUDGETS, gap=gap, seconds=seconds)
    tell(f"{name}: {found.architecture.to_json()}")
    programme = Programme(space, BUDGETS)
    plain, scored = [], 0
    for seed in range(seeds):
        tell(f"{name}: {BASELINE}, seed {seed}, {found.seconds:.0f} s")
        entropy, count = mutation_search(programme, found.seconds, np.random.default_rng(seed))
        plain.append(entropy)
        scored += count
    where = _where(name, found) | {
        "baseline_lowest": round(min(plain), 2),
        "baseline_highest": round(max(plain), 2),
        "baseline_scored": scored // seeds,
    }
    middle = statistics.median(plain)
    print_figure("entropy", found.entropy, "", baseline={BASELINE: middle}, where=where)
    print_figure("gap", found.gap, "share", baseline={BASELINE: found.bound / middle - 1}, where=_where(name, found))
    print_figure("seconds", found.seconds, "s", where=_where(name, found))


def _where(name: str, found: Solution) -> dict[str, Detail]:
    space = SPACES[name]
    return {
        "space": name,
        "width_step": space.widths[1] - space.widths[0],
        "kernels": ", ".join(map(str, space.kernels)),
        "blocks_a_stage": f"{space.depths[0]} to {space.depths[-1]}",
        "growing": space.growing,
        "log10_points": round(float(np.log10(Programme(space, BUDGETS).sizes.astype(float)).sum()), 1),
        "bound": round(found.bound, 2),
        "boxes": found.boxes,
        "macs": int(found.figures["macs"]),
        "params": int(found.figures["params"]),
        "effectiveness": round(found.figures["effectiveness"], 5),
        "architecture": found.architecture.to_json(),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--spaces", default=",".join(SPACES))
    parser.add_argument("--gap", type=float, default=0.01, help="stop when this gap is proved")
    parser.add_argument("--seconds", type=float, default=100.0, help="stop after so much processor time")
    parser.add_argument("--seeds", type=int, default=3, help="runs of the baseline")
    given = parser.parse_args(arguments)
    for name in given.spaces.split(","):
        if name not in SPACES:
            raise unknown_name("space", name, SPACES)
        measure(name, gap=given.gap, seconds=given.seconds, seeds=given.seeds)


if __name__ == "__main__":
    main()
