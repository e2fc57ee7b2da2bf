"""MACMD's decoder: its counts, and a search over its dilations, kernels and encoder beside a plain U-Net.

    python -m benchmarks.macmd [--data dsb2018_256gray.npz] [--seeds 3] [--counts-only]

`hd_conv_parameters`, `hd_conv_extent`, `hd_conv_taps`: of HDConv(8, 8), the latter two from an impulse.
`decoder_parameters`: on the channels of PVTv2-B2, without the up-convolutions, which the release makes anew in every
call and never trains, and with the layer norms that it registers and never runs; `where` tells both, and how many this
network has. `evaluations_identical`: 1 where two runs on one input agree in every bit. Then, on microscope images of
nuclei split by image: the space `macmd` is searched for validation error and latency on this machine (`front_dice`),
and `dice` is the test part's mean over `--seeds` trainings from scratch of the best network found; its baseline is the
largest plain U-Net whose predicted latency does not exceed that network's, trained with equal steps. `hd95` of the
same, in pixels.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

import nas
from benchmarks.figures import print_figure, tell
from benchmarks.segmented import Scores, print_scores, trained
from nas.modules import NetworkModule, execute
from nas.supernet.settings import TrainSettings
from nas.tasks.masks import load_masks
from nas.tasks.segmentation import SegmentationTask, segmentation
from predictors.costs import network_costs
from predictors.counts import count_network
from predictors.latency import LatencyModel
from predictors.tables import CostTables, compile_for_costs
from search_spaces import NetworkBuilder
from search_spaces.blocks.attention_decoder import hybrid_dilated, macmd_decoder
from search_spaces.catalog import macmd, unet
from search_spaces.network import Network
from search_spaces.space import SearchSpace

PVT_B2 = ((64, 56), (128, 28), (320, 14), (512, 7))
UNUSED_NORMS = 2 * (512 + 640 + 256 + 128)
"""Parameters of the layer norms of the release's upward blocks, which no forward pass reaches."""
ENCODER = {
    "resolutions": [128],
    "stem_width": 16,
    "stem_stride": 2,
    "widths": [[16], [32], [48, 64], [64, 96]],
    "depths": [[1, 2]] * 4,
    "strides": [2, 2, 2, 2],
    "kernels": [3, 5],
    "expands": [2, 4],
    "group_sizes": [1],
    "dilations": [1],
    "sparsities": [0.0],
}
BATCH, DRAWN = 8, 4000


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def decoder_on(channels: Sequence[tuple[int, int]]) -> Network:
    """The decoder alone, over maps that 1x1 convolutions make in a scope of their own."""
    net = builder()
    x = net.input(3, channels[0][1], channels[0][1])
    with net.scope("maps"):
        maps = [net.conv(net.resize(x, size), width, kernel=1) for width, size in channels]
    fine, *sides = macmd_decoder(net, maps)
    return net.finish({"output": fine, **{f"side{i}": side for i, side in enumerate(sides)}})


def print_counts() -> None:
    """Print what follows from the definition."""
    net = builder()
    network = net.finish(hybrid_dilated(net, net.input(8, 31, 31), 8))
    module = NetworkModule(network)
    print_figure(
        "hd_conv_parameters", count_network(network).total["params"], "parameters", baseline={"published": 608}
    )
    weights = {
        path: {name: torch.full_like(t, float(name == "weight")) for name, t in of.items()}
        for path, of in module.weights().items()
    }
    impulse = torch.zeros(1, 8, 31, 31)
    impulse[:, :, 15, 15] = 1
    with torch.no_grad():
        seen = execute(network, weights, impulse)["output"][0, 0].nonzero()
    extent = int(seen.max(0).values[0] - seen.min(0).values[0]) + 1
    print_figure("hd_conv_extent", extent, "pixels", baseline={"published": 11})
    print_figure("hd_conv_taps", len(seen), "", baseline={"published": 33})
    counts = count_network(decoder_on(PVT_B2))
    rows = [row for row in counts.operators if row.name.startswith("decoder.")]
    total = sum(row.counts.params for row in rows)
    up = sum(row.counts.params for row in rows if row.name.startswith("decoder.pooled.up"))
    print_figure(
        "decoder_parameters",
        total - up + UNUSED_NORMS,
        "parameters",
        baseline={"published": 9_750_900},
        where={"up_convolutions": up, "layer_norms_never_run": UNUSED_NORMS, "in_this_network": total},
    )
    print_figure("decoder_macs", sum(row.counts.macs for row in rows), "MACs", baseline={"published": 2_060_800_000})


def print_identical() -> None:
    """Print whether two evaluations of one input agree."""
    space = macmd((1, 64, 64), 2, encoder_options={**ENCODER, "resolutions": [64]})
    module = NetworkModule(space.build(space.repair({}))).eval()
    x = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        print_figure("evaluations_identical", int(torch.equal(module(x), module(x))), "")


def space_for(task: SegmentationTask) -> SearchSpace:
    """The space, over an encoder of the mobile space."""
    options = {**ENCODER, "resolutions": [task.input_shape[1]]}
    return macmd(task.input_shape, task.classes, encoder_options=options, kernels=(3, 5))


def rival(task: SegmentationTask, latency: LatencyModel, limit_ms: float) -> Network:
    """The plain U-Net with the most MACs among those predicted to be no slower than `limit_ms`."""
    space = unet(task.input_shape, task.classes)
    tables = CostTables(compile_for_costs(space), latency=latency)
    rows = tables.compiled.sample(np.random.default_rng(0), DRAWN)
    scores = tables.score(rows, ("macs", "latency_ms"))
    fits = np.flatnonzero(scores["latency_ms"] <= limit_ms)
    row = rows[fits[scores["macs"][fits].argmax()]] if len(fits) else tables.extreme(largest=False)
    return space.build(tables.compiled.decode(row))


def print_search(args: argparse.Namespace) -> None:
    """Search, train the best and its rival, print."""
    task = segmentation(load_masks(str(args.data), size=(args.size,) * 2, classes=2), seed=0)
    with tempfile.TemporaryDirectory() as folder:
        started = time.monotonic()
        run = nas.run(
            space_for(task),
            task={"name": "segmentation", "data": str(args.data), "size": [args.size] * 2, "classes": 2},
            target={"name": "this", "minutes": args.profile_minutes},
            objectives=("error", "latency_ms"),
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
        tell(f"searched in {time.monotonic() - started:.0f} s")
        for entry in run.front:
            values = entry["values"]
            print_figure(
                "front_dice", 1 - values["error"], "", where={"latency_ms": values["latency_ms"], "part": "validation"}
            )
        best = min(run.evaluations(), key=lambda evaluation: evaluation.values["error"])
        latency = run.target.latency
        assert latency is not None
        networks = {
            "macmd": run.network(best.architecture),
            "unet": rival(task, latency, best.values["latency_ms"]),
        }
        predicted = {name: network_costs(network, latency=latency)["latency_ms"] for name, network in networks.items()}
    tell(f"found {best.architecture.to_json()}, predicted latencies {predicted}")
    settings = TrainSettings(
        epochs=args.final_epochs, batch_size=BATCH, learning_rate=args.learning_rate, label_smoothing=0.0
    )
    scores: dict[str, list[Scores]] = {name: [] for name in networks}
    for seed in range(args.seeds):
        for name, network in networks.items():
            scores[name].append(trained(network, task, settings, seed=seed))
            tell(f"{name}, seed {seed}: {scores[name][-1]}")
    where = {f"{name}_latency_ms": value for name, value in predicted.items()}
    about = {**where, "epochs": args.final_epochs, "size": args.size, "data": Path(args.data).name}
    print_scores(scores, "macmd", where=about, unit="pixels")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="MACMD's decoder: its counts, and a search beside a plain U-Net.")
    parser.add_argument("--data", default=Path(os.environ.get("NAS_DATA", ".")) / "dsb2018_256gray.npz")
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--final-epochs", type=int, default=25)
    parser.add_argument("--evaluations", type=int, default=60)
    parser.add_argument("--profile-minutes", type=float, default=4.0)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--counts-only", action="store_true", help="leave the search out")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    print_counts()
    print_identical()
    if not args.counts_only:
        print_search(args)
    print_figure("seconds", time.monotonic() - started, "s", where={"counts_only": args.counts_only})


if __name__ == "__main__":
    main()
