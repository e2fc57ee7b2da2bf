"""Group convolutions of constant group size: what is counted, what is measured here, and what a search makes of them.

    python -m benchmarks.constant_groups --data cifar10.tar.xz [--seeds 3] [--epochs 12] [--limit 12000]

Three parts. Counted: `energy_ratio`, predicted energy of MobileNet-V1 with a constant group size over that with a
constant group count at matched MACs, and `best_group_size` for hardware of 25.4 multiply-adds per element. Measured:
`latency_ms` of MobileNet-V1 by group size, width and resolution on this machine, drawn with `--heat-map FILE.svg`.
Searched: per seed, three spaces around MobileNet-V1 that differ in their group convolutions alone (group size free per
stage; depthwise; one group count for the network) are trained and searched with equal steps and evaluations for error
and latency. `hypervolume` is that of the measured front (test error, latency measured afterwards) of the free space,
mean over seeds, as a share of the box up to the worst of the three fronts; `baseline` has the others, `where` the
range. `--parts` chooses.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import nas
from benchmarks.figures import Detail, print_figure, tell
from benchmarks.heat_map import HeatMap, heat_map_svg
from nas.console import progress
from nas.runtimes.base import Setting
from nas.runtimes.meter import Meter
from nas.runtimes.profile import profile
from nas.search.gain import hypervolume
from predictors.counts import count_network
from predictors.energy import best_group_size, energy_relative
from search_spaces.catalog import mobilenet_v1
from search_spaces.files import write_text
from search_spaces.space import SearchSpace

PARTS = ("counted", "measured", "searched")
PAIRS = ((8, 32), (32, 8))
"""Group sizes and group counts of about equal MACs on MobileNet-V1."""
RIDGE = 25.4
FREE, DEPTHWISE, COUNT = "group size free", "depthwise", "constant group count"
SIZES, COUNTS = (1, 2, 4, 8, 16), (2, 4, 8)
IMAGE = (3, 224, 224)
Points = np.ndarray


@dataclass(frozen=True)
class Scale:
    """What may vary in all three spaces."""

    resolutions: tuple[int, ...] = (24, 32)
    width_multipliers: tuple[float, ...] = (0.25, 0.375, 0.5)
    kernels: tuple[int, ...] = (3, 5)
    fewer_layers: tuple[int, ...] = (0, 2, 4)
    strides_kept_out: int = 1


def spaces(input_shape: tuple[int, ...], classes: int, scale: Scale) -> dict[str, SearchSpace]:
    """The three spaces, by name."""

    def build(**groups: object) -> SearchSpace:
        return mobilenet_v1(
            input_shape,
            classes,
            resolutions=scale.resolutions,
            width_multipliers=scale.width_multipliers,
            kernels=scale.kernels,
            fewer_layers=scale.fewer_layers,
            strides_kept_out=scale.strides_kept_out,
            **groups,  # type: ignore[arg-type]
        )

    return {
        FREE: build(group_sizes=SIZES, per="stage"),
        DEPTHWISE: build(group_sizes=(1,)),
        COUNT: build(group_counts=COUNTS),
    }


def print_counted() -> None:
    """Energies of matched pairs, and the best group size of hardware with a ridge of 25.4."""
    for size, count in PAIRS:
        totals = []
        for groups in ({"group_sizes": (size,)}, {"group_counts": (count,)}):
            space = mobilenet_v1(IMAGE, 1000, **groups)  # type: ignore[arg-type]
            totals.append(count_network(space.build(space.repair({}))).total)
        by_size, by_count = (energy_relative(total["macs"], total["moved_elements"]) for total in totals)
        where: dict[str, Detail] = {"group_size": size, "group_count": count}
        where |= {"macs": totals[0]["macs"], "macs_of_count": totals[1]["macs"]}
        print_figure("energy_ratio", by_size / by_count, "", baseline={COUNT: 1.0}, where=where)
    best = best_group_size(RIDGE, size=28, kernel=3)
    assert best is not None
    print_figure("best_group_size", best, "channels", where={"ridge": RIDGE, "size": 28, "kernel": 3})


def print_measured(
    group_sizes: Sequence[int],
    widths: Sequence[float],
    resolutions: Sequence[int],
    *,
    seconds: float,
    heat_map: Path | None,
) -> None:
    """Latency of MobileNet-V1 on this machine, a figure each, and the heat map."""
    meter = Meter("onnxruntime", Setting())
    cases = [(size, width, side) for side in resolutions for width in widths for size in group_sizes]
    networks = []
    for size, width, side in cases:
        space = mobilenet_v1((3, side, side), 1000, width_multipliers=(width,), group_sizes=(size,))
        networks.append(space.build(space.repair({})))
    with progress("measuring", len(cases)) as step:
        found = meter.latencies(networks, seconds=seconds, step=step)
    ms = {case: one.median_ms for case, one in zip(cases, found, strict=True)}
    for (size, width, side), network in zip(cases, networks, strict=True):
        where: dict[str, Detail] = {"group_size": size, "width": width, "resolution": side}
        where["macs"] = count_network(network).total["macs"]
        depthwise = {DEPTHWISE: ms[1, width, side]} if (1, width, side) in ms else {}
        print_figure("latency_ms", ms[size, width, side], "ms", baseline=depthwise, where=where)
    if heat_map is not None:
        rows = [f"{side} px, width {width:g}" for side in resolutions for width in widths]
        values = [[ms[size, width, side] for size in group_sizes] for side in resolutions for width in widths]
        picture = HeatMap("Latency of MobileNet-V1 (ms)", rows, [f"G = {size}" for size in group_sizes], values)
        write_text(heat_map, heat_map_svg(picture))


def front_of(
    space: SearchSpace, target: Path, given: argparse.Namespace, *, seed: int, root: Path, name: str
) -> Points:
    """[n, 2] test error and measured latency of the front that one search finds."""
    run = nas.run(
        space,
        task={"data": given.data, "limit": given.limit},
        target=str(target),
        objectives=("error", "latency_ms"),
        supernet={"epochs": given.epochs, "batch_size": given.batch_size, "seed": seed},
        search={"evaluations": given.evaluations, "random_evaluations": 0, "workers": given.workers, "seed": seed},
        export={"top": 0},
        name=name,
        root=root,
    )
    rows = [(entry["test_error"], entry["measured"]["latency_ms"]) for entry in run.front]
    return np.array(rows, dtype=np.float64)


def shares(fronts: Mapping[str, Points]) -> dict[str, float]:
    """Hypervolume of each front in the box from 0 to the worst of all fronts, as a share of it."""
    corner = np.concatenate(list(fronts.values())).max(0)
    return {name: float(hypervolume(points / corner, np.ones(2))) for name, points in fronts.items()}


def print_searched(
    given: argparse.Namespace, scale: Scale, *, shape_of: Callable[[], tuple[tuple[int, ...], int]]
) -> None:
    """Train and search the three spaces for each seed, and compare their fronts."""
    found: dict[str, list[float]] = {FREE: [], DEPTHWISE: [], COUNT: []}
    every = spaces(*shape_of(), scale)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        with progress("profiling", 60 * given.profile_minutes) as step:
            target = profile(tuple(every.values()), minutes=given.profile_minutes, step=step)
        target.save(root / "target.json")
        for seed in range(given.seeds):
            fronts = {}
            for number, (name, space) in enumerate(every.items()):
                place = f"seed{seed}-{number}"
                fronts[name] = front_of(space, root / "target.json", given, seed=seed, root=root, name=place)
            for name, share in shares(fronts).items():
                found[name].append(share)
            tell(f"seed {seed}: " + ", ".join(f"{name} {values[-1]:.4f}" for name, values in found.items()))
    ahead = sum(max(pair) < own for own, *pair in zip(*found.values(), strict=True))
    where: dict[str, Detail] = {"seeds": given.seeds, "epochs": given.epochs, "evaluations": given.evaluations}
    where |= {"images": given.limit, "seeds_ahead_of_both": ahead, "data": Path(given.data).name}
    for name, values in found.items():
        where |= {f"lowest, {name}": min(values), f"highest, {name}": max(values)}
    means = {name: statistics.fmean(values) for name, values in found.items()}
    print_figure("hypervolume", means.pop(FREE), "share", baseline=means, where=where)


def _shape(data: str) -> tuple[tuple[int, ...], int]:
    from nas.tasks.data import load_data

    images = load_data(data)
    return images.input_shape, len(images.class_names)


def main(arguments: Sequence[str] | None = None, *, scale: Scale | None = None) -> None:
    """Count, measure, search, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--data", default=os.path.join(os.environ.get("NAS_DATA", "."), "cifar10_jpeg.tar.xz"))
    parser.add_argument("--limit", type=int, default=12_000, help="images to train on")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--profile-minutes", type=float, default=3.0)
    parser.add_argument("--group-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    parser.add_argument("--widths", type=float, nargs="+", default=[0.25, 0.5, 1.0])
    parser.add_argument("--resolutions", type=int, nargs="+", default=[64, 128, 224])
    parser.add_argument("--seconds", type=float, default=0.5, help="measuring time of each network")
    parser.add_argument("--heat-map", type=Path, help="where the picture goes")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    if "counted" in given.parts:
        print_counted()
    if "measured" in given.parts:
        print_measured(
            given.group_sizes, given.widths, given.resolutions, seconds=given.seconds, heat_map=given.heat_map
        )
    if "searched" in given.parts:
        print_searched(given, scale or Scale(), shape_of=lambda: _shape(given.data))
    print_figure("seconds", time.monotonic() - started, "s", where={"parts": " ".join(given.parts)})


if __name__ == "__main__":
    main()
