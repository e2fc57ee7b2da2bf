"""Depth and width under a limit on training memory: reversible networks beside ones that keep their activations.

    python -m benchmarks.reversible_unet [--data hippocampus.tar] [--limit "24 MiB"] [--seeds 3]

First, on stacks of couplings: `gradient_difference` (the largest of any gradient, float64), `saved_bytes_ratio` (bytes
autograd keeps without and with recomputation) and `training_memory_error` (the prediction's share off). Then, on
volumes: the space `reversible_unet` is searched twice with equal budgets under one limit on `training_memory_bytes` of
one sample, once with and once without recomputation. `blocks`, `channels`: depth (couplings of all stages) and width
(sum over levels) of the network with the least validation error of each search, and of the largest that fits
(`where.network`). `dice`: the test part's mean over `--seeds` trainings of those networks from scratch with equal
steps; `hd95`: of the same, in voxels. Volumes are split by file; nothing but `dice` and `hd95` reads the test part.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

import nas
from benchmarks.figures import print_figure, tell
from benchmarks.reversible_memory import print_gradients, print_memory
from benchmarks.segmented import Scores, print_scores, trained
from nas.supernet.settings import TrainSettings
from nas.tasks.masks import load_masks
from nas.tasks.segmentation import SegmentationTask, segmentation
from predictors.figures import parse_quantity
from predictors.tables import CostTables
from search_spaces.catalog import reversible_unet
from search_spaces.space import Architecture, SearchSpace

WIDTHS = ((8, 16), (16, 32), (32, 48))
DECODER_DEPTHS, KERNELS = (1, 2), (3,)
BATCH = 4


def space_for(args: argparse.Namespace, task: SegmentationTask, *, recompute: bool) -> SearchSpace:
    """The space of one kind of network."""
    return reversible_unet(
        task.input_shape,
        task.classes,
        widths=WIDTHS,
        depths=args.depths,
        decoder_depths=DECODER_DEPTHS,
        kernels=KERNELS,
        expands=args.expands,
        reversible=(recompute,),
    )


def size_of(architecture: Architecture) -> tuple[int, int]:
    """(couplings of all stages, channels summed over levels)."""
    values = architecture.values
    blocks = sum(int(value) for name, value in values.items() if name.endswith(".depth"))
    return blocks, sum(int(value) for name, value in values.items() if name.endswith(".width"))


def largest_fitting(tables: CostTables, limit: float, draws: int = 2000) -> Architecture:
    """Of random architectures, both ends and their neighbours, the one with the most MACs below the limit."""
    compiled = tables.compiled
    ends = np.stack([tables.extreme(largest=most) for most in (False, True)])
    rows = np.concatenate([ends, compiled.sample(np.random.default_rng(0), draws)])
    for _ in range(6):
        scores = tables.score(rows, ("macs", "training_memory_bytes"))
        fits = np.flatnonzero(scores["training_memory_bytes"] <= limit)
        best = rows[fits[scores["macs"][fits].argmax()]]
        rows = compiled.repair(_neighbours(best, [len(slot.options) for slot in compiled.slots]))
    return compiled.decode(best)


def _neighbours(row: np.ndarray, sizes: Sequence[int]) -> np.ndarray:
    """`row` and all rows that differ from it in one or two choices."""
    found = [row]
    for first, options in enumerate(sizes):
        for value in range(options):
            one = row.copy()
            one[first] = value
            found.append(one)
            for second in range(first):
                for other in range(sizes[second]):
                    two = one.copy()
                    two[second] = other
                    found.append(two)
    return np.unique(np.stack(found), axis=0)


def searched(args: argparse.Namespace, task: SegmentationTask, *, recompute: bool) -> dict[str, Architecture]:
    """Under the limit, the architecture with the least validation error that a search finds, and the largest one."""
    with tempfile.TemporaryDirectory() as folder:
        run = nas.run(
            space_for(args, task, recompute=recompute),
            task={"name": "segmentation", "data": str(args.data), "size": list(args.size)},
            objectives=("error", "macs"),
            limits={"training_memory_bytes": args.limit},
            supernet={
                "epochs": args.epochs,
                "batch_size": BATCH,
                "learning_rate": args.learning_rate,
                "label_smoothing": 0.0,
                "random_subnets": 1,
            },
            search={"evaluations": args.evaluations, "random_evaluations": 0, "workers": 1, "seed": 0},
            export={"top": 0},
            root=folder,
        )
        best = min(run.evaluations(), key=lambda evaluation: evaluation.values["error"])
        limit = parse_quantity(args.limit, "bytes")
        return {"found": best.architecture, "largest": largest_fitting(CostTables(run.compiled), limit)}


def report(args: argparse.Namespace, task: SegmentationTask) -> None:
    """Search, train and print, for both kinds."""
    limit = parse_quantity(args.limit, "bytes")
    names = {False: "plain", True: "reversible"}
    found: dict[bool, dict[str, Architecture]] = {}
    for recompute, name in names.items():
        started = time.monotonic()
        found[recompute] = searched(args, task, recompute=recompute)
        tell(f"{name}: searched in {time.monotonic() - started:.0f} s: {found[recompute]['found'].to_json()}")
    for network in ("found", "largest"):
        sizes = {name: size_of(found[recompute][network]) for recompute, name in names.items()}
        for position, figure in enumerate(("blocks", "channels")):
            print_figure(
                figure,
                sizes["reversible"][position],
                "",
                baseline={"plain": sizes["plain"][position]},
                where={"network": network, "limit_bytes": limit},
            )
    settings = TrainSettings(
        epochs=args.final_epochs, batch_size=BATCH, learning_rate=args.learning_rate, label_smoothing=0.0
    )
    scores: dict[str, list[Scores]] = {name: [] for name in names.values()}
    for seed in range(args.seeds):
        for recompute, name in names.items():
            best = space_for(args, task, recompute=recompute).build(found[recompute]["found"])
            scores[name].append(trained(best, task, settings, seed=seed))
            tell(f"{name}, seed {seed}: {scores[name][-1]}")
    print_scores(scores, "reversible", where={"epochs": args.final_epochs, "data": Path(args.data).name}, unit="voxels")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Depth and width under a limit on training memory.")
    parser.add_argument("--data", default=Path(os.environ.get("NAS_DATA", ".")) / "hippocampus_dev.tar")
    parser.add_argument("--size", type=int, nargs="+", default=[24, 32, 24])
    parser.add_argument("--limit", default="24 MiB")
    parser.add_argument("--depths", type=int, nargs="+", default=[1, 2, 3, 4])
    parser.add_argument("--expands", type=int, nargs="+", default=[2, 4])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--final-epochs", type=int, default=20)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--learning-rate", type=float, default=0.05)
    parser.add_argument("--blocks", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--memory-only", action="store_true", help="leave the search on volumes out")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    for blocks in args.blocks:
        print_memory(blocks, side=args.side)
        print_gradients(blocks, side=max(4, args.side // 2))
    if not args.memory_only:
        report(args, segmentation(load_masks(str(args.data), size=args.size), seed=0))
    print_figure("seconds", time.monotonic() - started, "s", where={"memory_only": args.memory_only})


if __name__ == "__main__":
    main()
