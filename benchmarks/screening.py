"""How fast whole populations are screened by table look-ups, beside building and counting each architecture.

    python -m benchmarks.screening [--target FILE] [--rows 1048576] [--repeats 7] [--threads 2]

Five costs together: MACs, parameters, peak memory, learned latency and learned energy, these two with intervals. Three
forms of `mobile` with 20 blocks: as usual, with one stage that may be empty, and with every stage possibly empty. Every
figure is the median over repeats. Without `--target`, a measured target whose networks were metered, latency and energy
are learned from made-up measurements of the space's networks: the time of a look-up does not depend on what it holds.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.figures import Detail, print_figure, tell
from predictors.kernels import kernels
from predictors.latency import LatencyModel, MeasuredLatency, fit_latency
from predictors.learned_energy import EnergyModel, MeasuredEnergy, fit_energy
from predictors.roofline import AnalyticEnergy, Roofline
from predictors.tables import CostTables, compile_for_costs
from predictors.target import load_target
from search_spaces.catalog.mobile import mobile
from search_spaces.errors import NasError
from search_spaces.space import SearchSpace

FIGURES = ("macs", "params", "peak_memory_bytes", "latency_ms", "energy_mj")
LEARNED = ("latency_ms", "energy_mj")
CONFIDENCE = 0.9
MADE_UP, MADE_UP_NOISE = 80, 0.03
MADE_UP_DEVICE = (Roofline(200.0, 20.0), AnalyticEnergy(5.0, 100.0))
WIDTHS = ((16, 24, 32), (24, 32, 48), (32, 48, 64), (64, 80, 96), (96, 128, 160))
FULL, EMPTY = (1, 2, 3, 4), (0, 1, 2, 3, 4)
DEPTHS = {
    "depth 1 to 4": (FULL,) * 5,
    "one stage may be empty": (FULL, EMPTY, FULL, FULL, FULL),
    "every stage may be empty": (EMPTY,) * 5,
}
PLAIN = 300


def made_up_models(space: SearchSpace) -> tuple[LatencyModel, EnergyModel]:
    """Latency and energy learned from networks of `space` whose measurements were drawn, a fifth of them held out."""
    rng = np.random.default_rng(0)
    device, meter = MADE_UP_DEVICE
    parts = [kernels(space.build(space.sample(rng))) for _ in range(MADE_UP)]
    noise = np.exp(MADE_UP_NOISE * rng.standard_normal((2, MADE_UP)))
    times = noise[0] * [0.1 + device.predict_ms(part).sum() for part in parts]
    taken = noise[1] * [0.1 + meter.predict_mj(part).sum() for part in parts]
    timed = [MeasuredLatency(part, (), float(ms)) for part, ms in zip(parts, times, strict=True)]
    held_out = [i % 5 == 4 for i in range(MADE_UP)]
    latency = fit_latency(
        [row for row, held in zip(timed, held_out, strict=True) if not held],
        [row for row, held in zip(timed, held_out, strict=True) if held],
    )
    metered = [MeasuredEnergy(part, float(mj), held) for part, mj, held in zip(parts, taken, held_out, strict=True)]
    return latency, fit_energy(metered, latency=latency)


def models(space: SearchSpace, target: str | None) -> tuple[LatencyModel, EnergyModel]:
    """The models to look up; `NasError` where the target's do not know their errors."""
    if target is None:
        return made_up_models(space)
    loaded = load_target(target)
    energy = loaded.energy_model
    if energy is None or None in (energy.interval(1.0), loaded.latency.interval(1.0)):
        raise NasError(
            f"target {target!r} does not know latency and energy with intervals; name a measured one whose networks "
            "were metered, or none"
        )
    return loaded.latency, energy


def screen(name: str, space: SearchSpace, *, target: str | None, rows: int, repeats: int, threads: int) -> None:
    """Compile, check and time one space; print its figures."""
    tell(f"{name}: models")
    latency, energy = models(space, target)
    tell(f"{name}: compiling")
    start = time.perf_counter()
    compiled = compile_for_costs(space)
    learned = time.perf_counter() - start
    tables = CostTables(compiled, latency=latency, energy=energy)
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
        "target": target or "made up",
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

    def work() -> None:
        values = tables.score(population, FIGURES, threads=threads)
        assert set(tables.intervals(values, confidence=CONFIDENCE)) == set(LEARNED)

    speeds = [_speed(work, rows) for _ in range(repeats)]
    speed = statistics.median(speeds)
    where |= {
        "figures": ", ".join(FIGURES),
        "intervals": ", ".join(LEARNED),
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
    parser.add_argument("--target", help="a measured target whose networks were metered; else one is made up")
    parser.add_argument("--rows", type=int, default=1 << 20)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    try:
        for name, depths in DEPTHS.items():
            space = mobile((3, 32, 32), 10, widths=WIDTHS, depths=depths, strides=(1, 2, 2, 1, 2))
            screen(name, space, target=given.target, rows=given.rows, repeats=given.repeats, threads=given.threads)
    except NasError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main()
