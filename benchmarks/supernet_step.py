"""What elastic weights cost: a training step of a subnet inside the supernet beside the same exported module.

    python -m benchmarks.supernet_step [--pairs 40] [--threads 2] [--seconds 20]

`step_ratio` is the time of forward and backward in the supernet over that of the exported module, in alternating
pairs: the median, with its 95 % interval under `where`. Beside it: the ratio for a module that has weights of its own
but runs like the supernet, so that the cost of slicing shows alone. `workers_ratio` is how many more subnets a second
two one-thread processes evaluate (recalibration, then validation) than one. With one thread the processor's time is
taken instead of the clock's, which other programs disturb less.
"""

import argparse
import multiprocessing
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.synchronize import Barrier

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.figures import print_figure, tell
from nas.allocator import keep_freed_memory
from nas.export.load import dropped, fill, fresh_model, python_module
from nas.export.source import model_source
from nas.modules import NetworkModule
from nas.supernet.calibrate import calibrate, error_of, with_statistics
from nas.supernet.shapes import shared_shapes
from nas.supernet.weights import Supernet
from predictors.counts import count_network
from search_spaces.catalog import mobile
from search_spaces.network import Network
from search_spaces.space import SearchSpace

CLASSES = 10
WARM_UP = 3
EVALUATED_IMAGES, PART = 1000, 250
SETTINGS = ((32, 128), (32, 32), (8, 128))
"""Image size and batch of each comparison; the first is the one the project holds itself to."""


@dataclass(frozen=True)
class Subject:
    """A subnet that is timed."""

    name: str
    network: Network


def space_for(size: int) -> SearchSpace:
    """The space of the comparison, for square images of `size`: its largest network has about 12 MMACs at 32."""
    return mobile(
        (3, size, size),
        CLASSES,
        resolutions=(size,),
        stem_width=24,
        stem_stride=2 if size >= 32 else 1,
        widths=((24, 32, 40), (48, 64, 80)),
        depths=((1, 2, 3), (1, 2, 3)),
        strides=(2, 2),
        kernels=(3, 5),
        expands=(2, 3, 4),
    )


def subjects(space: SearchSpace) -> list[Subject]:
    """The largest, the median in MACs of 200, the smallest, and the largest with small groups and with zeros."""

    def take(*, last: bool, **fixed: float) -> Network:
        def choose(name: str, options: Sequence[object]) -> object:
            wanted = {"dilation": 1, "sparsity": 0.0, **fixed}.get(name.rpartition(".")[2])
            if wanted is not None and wanted in options:
                return wanted
            return options[-1] if last else options[0]

        network = space.trace(choose).network  # type: ignore[arg-type]
        assert network is not None
        return network

    rng = np.random.default_rng(0)
    drawn = [space.build(space.sample(rng)) for _ in range(200)]
    drawn.sort(key=lambda network: count_network(network).total["macs"])
    return [
        Subject("largest", take(last=True)),
        Subject("median", drawn[100]),
        Subject("smallest", take(last=False, sparsity=0.0)),
        Subject("largest, group size 2", take(last=True, group_size=2)),
        Subject("largest, depthwise", take(last=True, group_size=1)),
        Subject("largest, sparsity .5", take(last=True, sparsity=0.5)),
    ]


def exported(network: Network, supernet: Supernet) -> nn.Module:
    """The exported module of `network` with inherited weights, in training mode."""
    source = model_source(network)
    fresh = NetworkModule(network)
    fresh.load_weights(supernet.weights_for(network))
    weights = dropped(network, fresh.weights())
    with python_module(source.text) as module:
        model = fresh_model(module)
    fill(model, source, network, weights)
    return model.train()


def compare(subject: Subject, supernet: Supernet, *, size: int, batch: int, pairs: int, threads: int) -> None:
    """Time one subnet inside and outside of the supernet, in turns; print the ratio."""
    network = subject.network
    module = exported(network, supernet)
    own = NetworkModule(network)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(batch, *network.input.shape, generator=generator)
    images = images.contiguous(memory_format=torch.channels_last)
    target = torch.randint(CLASSES, (batch,), generator=generator)

    clock = time.process_time if threads == 1 else time.perf_counter

    def step(forward: Callable[[Tensor], Tensor], tensors: Sequence[Tensor]) -> float:
        started = clock()
        functional.cross_entropy(forward(images), target).backward()  # type: ignore[no-untyped-call]
        elapsed = clock() - started
        for tensor in tensors:
            tensor.grad = None
        return elapsed

    ways: list[tuple[Callable[[Tensor], Tensor], list[Tensor]]] = [
        (lambda x: supernet.forward(x, network)["output"], list(supernet.tensors.values())),
        (module, list(module.parameters())),
        (own, list(own.parameters())),
    ]
    times = [[step(*way) for way in ways] for _ in range(pairs + WARM_UP)][WARM_UP:]
    ratios = sorted(inside / outside for inside, outside, _ in times)
    alone = statistics.median(plain / outside for _, outside, plain in times)
    low, high = interval(ratios)
    print_figure(
        "step_ratio",
        statistics.median(ratios),
        "",
        baseline={"exported module": 1.0, "own weights, run like the supernet": alone},
        where={
            "subnet": subject.name,
            "batch": batch,
            "image_size": size,
            "macs": count_network(network).total["macs"],
            "pairs": pairs,
            "low": round(low, 4),
            "high": round(high, 4),
            "supernet_ms": round(1e3 * statistics.median(row[0] for row in times), 2),
            "exported_ms": round(1e3 * statistics.median(row[1] for row in times), 2),
            "threads": threads,
        },
    )


def interval(ordered: Sequence[float]) -> tuple[float, float]:
    """95 % interval of the median of ordered values, by order statistics."""
    reach = 0.98 * len(ordered) ** 0.5
    low = max(0, int(len(ordered) / 2 - reach))
    return ordered[low], ordered[min(len(ordered) - 1, int(len(ordered) / 2 + reach))]


def evaluate_for(seconds: float, seed: int, ready_to_go: Barrier, rates: "multiprocessing.Queue[float]") -> None:
    """Evaluate random subnets on one thread from the moment all are ready; put how many a second into `rates`."""
    torch.set_num_threads(1)
    keep_freed_memory()
    space = space_for(32)
    rng = np.random.default_rng(seed)
    networks = [space.build(space.sample(rng)) for _ in range(50)]
    supernet = Supernet.of_networks(networks)
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(EVALUATED_IMAGES, 3, 32, 32, generator=generator).contiguous(memory_format=torch.channels_last)
    target = torch.zeros(PART, dtype=torch.int64)
    batches = [(images[start : start + PART], target) for start in range(0, EVALUATED_IMAGES, PART)]
    ready_to_go.wait()
    started, done = time.perf_counter(), 0
    while time.perf_counter() < started + seconds:
        network = networks[done % len(networks)]
        weights = supernet.weights_for(network)
        ready = with_statistics(weights, calibrate(network, weights, batches[:2]))
        error_of(network, ready, Wrong(), batches)
        done += 1
    rates.put(done / (time.perf_counter() - started))


class Wrong:
    """Judges answers as a classification task does."""

    def metric(self, output: Tensor, target: Tensor) -> float:
        """Number of wrong answers."""
        return float((output.argmax(1) != target).sum())


def per_second(workers: int, seconds: float) -> float:
    """Subnets a second that `workers` processes evaluate together."""
    context = multiprocessing.get_context("spawn")
    start, rates = context.Barrier(workers), context.Queue()
    running = [
        context.Process(target=evaluate_for, args=(seconds, 0, start, rates), daemon=True) for _ in range(workers)
    ]
    for process in running:
        process.start()
    total: float = sum(rates.get() for _ in running)
    for process in running:
        process.join()
    return total


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=40)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each of three turns with one and two workers")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    for size, batch in SETTINGS:
        space = space_for(size)
        supernet = Supernet(shared_shapes(space.compile().weight_uses))
        for subject in subjects(space):
            tell(f"{subject.name}, {size} × {size}, batch {batch}")
            compare(subject, supernet, size=size, batch=batch, pairs=given.pairs, threads=given.threads)
    turns = []
    for turn in range(3):
        tell(f"workers, turn {turn + 1} of 3")
        turns.append((per_second(1, given.seconds), per_second(2, given.seconds)))
    print_figure(
        "workers_ratio",
        statistics.median(two / one for one, two in turns),
        "",
        baseline={"one worker": 1.0},
        where={
            "workers": 2,
            "images": EVALUATED_IMAGES,
            "subnets_per_second_one": round(statistics.median(one for one, _ in turns), 3),
            "subnets_per_second_two": round(statistics.median(two for _, two in turns), 3),
        },
    )


if __name__ == "__main__":
    main()
