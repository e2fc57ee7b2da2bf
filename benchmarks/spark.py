"""Masked pretraining: what stays hidden, and whether it helps where few labels are there.

    python -m benchmarks.spark [--data cifar10_jpeg.tar.xz] [--seeds 3] [--epochs 8] [--labels 5000] [--counts-only]

`kept_cells`: of 49 at a mask ratio of 0.6. `visible_share`: of a masked map after 1, 2, 4 and 8 3x3 convolutions, with
hidden positions set to zero again after each (`where.again`) and without. `decoder_parameters`: of the light decoder.
`hidden_largest`: the largest absolute value that any layer of a network has where its image is hidden. Then, per seed,
a network is pretrained on the unlabelled training images and fine-tuned on `--labels` labelled ones; `test_error` is
the mean over seeds, its baseline that of the same network trained from scratch with equal fine-tuning steps, and
`where` the range of both. The test part is read once per training.
"""

import argparse
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.figures import print_figure, tell
from nas.allocator import keep_freed_memory
from nas.modules import TRAINING, NetworkModule
from nas.pretrain.decoder import LightDecoder
from nas.pretrain.masking import kept_cells, mask_at, random_masks
from nas.pretrain.training import PretrainSettings, pretrain
from nas.pretrain.visible import Pyramid, leak_test, pyramid_of, visible_maps
from nas.supernet.alone import train_alone
from nas.supernet.calibrate import error_of
from nas.supernet.settings import TrainSettings
from nas.tasks.classification import ClassificationTask, classification
from nas.tasks.data import load_data
from search_spaces.catalog import mobile
from search_spaces.network import Network

LAYERS = (1, 2, 4, 8)
PUBLISHED = {1: 0.519, 2: 0.624, 4: 0.811, 8: 1.0}
DECODERS = {256: 2.577e6, 512: 10.305e6, 768: 23.183e6}
TEST_BATCH = 500


def network_for(task: ClassificationTask) -> Network:
    """A small mobile network that halves its maps three times."""
    channels, size, _ = task.input_shape
    space = mobile(
        task.input_shape,
        task.classes,
        resolutions=(size,),
        stem_width=16,
        widths=((24,), (40,), (80,)),
        depths=((2,), (2,), (2,)),
        strides=(2, 2, 2),
        kernels=(3,),
        expands=(3,),
        group_sizes=(1,),
        dilations=(1,),
        sparsities=(0.0,),
    )
    assert channels == task.input_shape[0]
    return space.build(space.repair({}))


def print_masks() -> None:
    """Print what follows from the definition."""
    print_figure("kept_cells", kept_cells(49, 0.6), "", baseline={"published": 20})
    for layers in LAYERS:
        for again in (False, True):
            published = 20 / 49 if again else PUBLISHED[layers]
            where = {"layers": layers, "again": again}
            print_figure(
                "visible_share", leak_test(layers, again=again), "share", baseline={"published": published}, where=where
            )
    for width, published in DECODERS.items():
        with torch.device("meta"):
            parameters = sum(p.numel() for p in LightDecoder(width, 5, 3).parameters())
        print_figure(
            "decoder_parameters", parameters, "parameters", baseline={"published": published}, where={"width": width}
        )


def print_hidden(network: Network) -> None:
    """Print the largest absolute value where hidden, over all maps of the network."""
    pyramid = pyramid_of(network)
    grid = network.nodes[pyramid.last].shape[1:]
    module = NetworkModule(network)
    generator = torch.Generator().manual_seed(0)
    mask = random_masks(4, grid, ratio=0.6, generator=generator)
    x = torch.randn(4, *network.input.shape, generator=generator)
    x = x * mask_at(mask, tuple(x.shape[2:]))
    worst = 0.0
    rank = len(network.input.shape)
    maps = [i for i in range(pyramid.last + 1) if len(network.nodes[i].shape) == rank]
    found = visible_maps(network, module.weights(), x, mask, Pyramid(tuple(maps)), mode=TRAINING)
    for out in found:
        hidden = ~mask_at(mask, tuple(out.shape[2:])).expand_as(out)
        worst = max(worst, float(out.detach()[hidden].abs().max()))
    print_figure("hidden_largest", worst, "", where={"maps": len(maps), "grid": "x".join(map(str, grid))})


def print_errors(args: argparse.Namespace) -> None:
    """Pretrain, fine-tune, train from scratch, and print."""
    data = load_data(str(args.data), cache=args.cache)
    unlabelled = classification(data, seed=0, limit=args.images)
    network = network_for(unlabelled)
    print_hidden(network)
    errors: dict[str, list[float]] = {"pretrained": [], "scratch": []}
    for seed in range(args.seeds):
        labelled = classification(data, seed=seed, limit=args.labels)
        settings = PretrainSettings(epochs=args.epochs, batch_size=args.batch_size, decoder_width=args.width, seed=seed)
        started = time.monotonic()
        done = pretrain(network, unlabelled, settings)
        seconds = time.monotonic() - started
        tell(f"seed {seed}: pretrained in {seconds:.0f} s, losses {[round(loss, 3) for loss in done.losses]}")
        tuning = TrainSettings(epochs=args.tuning_epochs, batch_size=args.batch_size, learning_rate=args.learning_rate)
        for name, start in (("pretrained", done.weights), ("scratch", None)):
            weights = train_alone(network, labelled, replace(tuning, precision="fp32"), seed=seed, start=start)
            errors[name].append(error_of(network, weights, labelled, labelled.test_batches(TEST_BATCH)))
            tell(f"seed {seed}, {name}: test error {errors[name][-1]:.4f}")
    ranges = {f"{name}_{end.__name__}": end(values) for name, values in errors.items() for end in (min, max)}
    where = {
        "data": Path(args.data).name,
        "note": data.note,
        "labels": args.labels,
        "images": len(unlabelled.train_indices),
        "epochs": args.epochs,
        "tuning_epochs": args.tuning_epochs,
        "seeds": args.seeds,
        **ranges,
    }
    scratch = {"scratch": statistics.fmean(errors["scratch"])}
    print_figure("test_error", statistics.fmean(errors["pretrained"]), "share", baseline=scratch, where=where)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Masked pretraining, and whether it helps where labels are few.")
    parser.add_argument("--data", default=Path(os.environ.get("NAS_DATA", ".")) / "cifar10_jpeg.tar.xz")
    parser.add_argument("--cache", type=Path, default=None, help="folder where decoded images are kept")
    parser.add_argument("--images", type=int, default=None, help="unlabelled images, by default all")
    parser.add_argument("--labels", type=int, default=5000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--tuning-epochs", type=int, default=30)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--learning-rate", type=float, default=0.1)
    parser.add_argument("--width", type=int, default=64, help="of the decoder")
    parser.add_argument("--counts-only", action="store_true", help="leave the training out")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    keep_freed_memory()
    print_masks()
    if not args.counts_only:
        print_errors(args)
    print_figure("seconds", time.monotonic() - started, "s")


if __name__ == "__main__":
    main()
