"""How fast whole populations are screened by table look-ups, beside building and counting each architecture.

    python -m benchmarks.screening [--target FILE] [--rows 1048576] [--repeats 7] [--threads 2]

Five costs together: MACs, parameters, peak memory, latency and energy. Three forms of `mobile` with 20 blocks: as
usual, with one stage that may be empty, and with every stage possibly empty. Every figure is the median over repeats.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.figures import Detail, print_figure, tell
from predictors.tables import CostTables, compile_for_costs
from predictors.target import load_target
from search_spaces.catalog.mobile import mobile
from search_spaces.space import SearchSpace

FIGURES = ("macs", "params", "peak_memory_bytes", "latency_ms", "energy_relative")
WIDTHS = ((16, 24, 32), (24, 32, 48), (32, 48, 64), (64, 80, 96), (96, 128, 160))
FULL, EMPTY = (1, 2, 3, 4), (0, 1, 2, 3, 4)
DEPTHS = {
    "depth 1 to 4": (FULL,) * 5,
    "one stage may be empty": (FULL, EMPTY, FULL, FULL, FULL),
    "every stage may be empty": (EMPTY,) * 5,
}
PLAIN = 300


def screen(name: str, space: SearchSpace, *, target: str, rows: int, repeats: int, threads: int) -> None:
    """Compile, check and time one space; print its figures."""
    latency = load_target(target).latency
    tell(f"{name}: compiling")
    start = time.perf_counter()
    compiled = compile_for_costs(space)
    learned = time.perf_counter() - start
    tables = CostTables(compiled, latency=latency)
    tables.score(compiled.default_row[None], FIGURES)
    ready = time.perf_counter() - start
    rng = np.random.default_rng(0)
    population = compiled.sample(rng, rows)
    size = compiled.size()
    where: dict[str, Detail] = {
        "space": name,
        "slots": len(compiled.slots),
        "log10_size": round(math.log10(size.value), 1),
        "size_proved": size.proved,
        "verified_on": size.verified_on,
        "target": target,
    }
    print_figure("compile_seconds", ready, "s", where={**where, "learning_seconds": round(learned, 2)})

    tell(f"{name}: {PLAIN} architectures the plain way")
    start = time.perf_counter()
    plain = [tables.plain(space.build(compiled.decode(row))) for row in population[:PLAIN]]
    per_second = PLAIN / (time.perf_counter() - start)
    found = tables.score(population[:PLAIN], FIGURES)
    difference = max(
        abs(found[figure][i] - values[figure]) / values[figure] for figure in FIGURES for i, values in enumerate(plain)
    )

    tell(f"{name}: {rows} architectures, {repeats} times")
    speeds = [_speed(lambda: tables.score(population, FIGURES, threads=threads), rows) for _ in range(repeats)]
    speed = statistics.median(speeds)
    where |= {
        "figures": ", ".join(FIGURES),
        "threads": threads,
        "rows": rows,
        "slowest": round(min(speeds)),
        "fastest": round(max(speeds)),
        "times_plain_path": round(speed / per_second),
        "largest_relative_difference": float(f"{difference:.2g}"),
    }
    print_figure("architectures_per_second", speed, "1/s", baseline={"plain path": per_second}, where=where)
    mixed = rng.permuted(population, axis=0)
    repaired = statistics.median(_speed(lambda: compiled.repair(mixed), rows) for _ in range(3))
    print_figure("repaired_per_second", repaired, "1/s", where={"space": name, "threads": 1})


def _speed(work: Callable[[], object], rows: int) -> float:
    start = time.perf_counter()
    work()
    return rows / (time.perf_counter() - start)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default="jetson_nano", help="target file or packaged target for the latency")
    parser.add_argument("--rows", type=int, default=1 << 20)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    for name, depths in DEPTHS.items():
        space = mobile((3, 32, 32), 10, widths=WIDTHS, depths=depths, strides=(1, 2, 2, 1, 2))
        screen(name, space, target=given.target, rows=given.rows, repeats=given.repeats, threads=given.threads)


if __name__ == "__main__":
    main()
