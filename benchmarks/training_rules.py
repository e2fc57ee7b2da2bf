"""How well each way of training a supernet serves its smallest, middle and largest networks, at equal cost.

    python -m benchmarks.training_rules [--data digits] [--epochs 20] [--seeds 2] [--ways sandwich delayed ...]
        [--way-epochs N]

Cost is the multiply-accumulates of all forward and backward passes; the budget is that of the paper's sandwich over
`--epochs`, and every other way gets as many epochs as fit, or `--way-epochs`, such as those that take as much processor
time: light steps cost more time than their multiply-accumulates tell. `subnet_error` is the share of wrong answers on
the validation part: of the smallest network, the largest, and on average over `--middle` random ones between the 30th
and the 70th percentile of MACs, each a mean over the seeds. Beside it: the sandwich's, and that of the same networks
trained alone for as many optimiser steps, with the same schedule, as the sandwich has. With `--data` a path, images are
32 x 32 and `--limit` of them are used. The mixture of supernets is left out: the maps of these spaces shrink at fixed
places.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from benchmarks.figures import print_figure, tell
from nas.allocator import keep_freed_memory
from nas.supernet.calibrate import calibrate, error_of, with_statistics
from nas.supernet.lessons import Lesson, Outcome
from nas.supernet.rules import Moment, Rule, make_rule
from nas.supernet.rules.base import State
from nas.supernet.shapes import shared_shapes
from nas.supernet.subnets import Coded, Subnet, Subnets
from nas.supernet.train import Trainer, TrainSettings
from nas.supernet.weights import Supernet
from nas.tasks.classification import ClassificationTask, classification
from nas.tasks.data import load_data
from predictors.counts import count_network
from predictors.tables import CostTables, compile_for_costs
from search_spaces.catalog import mobile
from search_spaces.network import Network

BACKWARD = 3
"""Forward and backward of a pass, in units of its forward MACs."""
DRAWN = 200
PROBED = 60
CALIBRATION = (4, 256)
VALIDATION_SHARE = 0.3

SANDWICH = TrainSettings(random_subnets=2, teacher_every=1)
"""As in the paper."""
WAYS: Mapping[str, TrainSettings] = {
    "sandwich": SANDWICH,
    "sandwich, one random": replace(SANDWICH, random_subnets=1),
    "sandwich, four random": replace(SANDWICH, random_subnets=4),
    "sandwich, teacher every 4": replace(SANDWICH, teacher_every=4),
    "sandwich, one random, teacher every 4": replace(SANDWICH, random_subnets=1, teacher_every=4),
    "sandwich, one random, teacher every 8": TrainSettings(),
    "single_path": TrainSettings(rule="single_path"),
    "single_path, cost": TrainSettings(rule="single_path", sampling="cost"),
    "progressive": TrainSettings(rule="progressive"),
    "delayed": TrainSettings(rule="delayed"),
    "delayed, full 0.25": TrainSettings(rule="delayed", full_share=0.25),
    "sandwich, cost": replace(SANDWICH, sampling="cost"),
    "sandwich, shift": replace(SANDWICH, sampling="shift"),
    "sandwich, best_up": replace(SANDWICH, sampling="best_up"),
    "sandwich, worst_up": replace(SANDWICH, sampling="worst_up"),
    "sandwich, alpha_divergence": replace(SANDWICH, distillation="alpha_divergence"),
    "sandwich, ste": replace(SANDWICH, sparsity_gradient="ste"),
    "sandwich, sr_ste": replace(SANDWICH, sparsity_gradient="sr_ste"),
    "sandwich, cubic": replace(SANDWICH, sparsity_schedule="cubic"),
}


@dataclass(frozen=True)
class World:
    """What all ways share: data, networks, the networks that are judged, and settings that are no part of a way."""

    task: ClassificationTask
    subnets: Subnets
    middle: tuple[Network, ...]
    batch_size: int
    learning_rate: float

    @property
    def judged(self) -> dict[str, tuple[Network, ...]]:
        """The networks by their place among costs."""
        return {"smallest": (self.subnets.smallest,), "middle": self.middle, "largest": (self.subnets.largest,)}

    def settings(self, way: TrainSettings, *, epochs: int, seed: int) -> TrainSettings:
        """A way with everything else filled in."""
        return replace(
            way,
            epochs=epochs,
            seed=seed,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            precision="fp32",
        )

    def supernet(self, settings: TrainSettings) -> Supernet:
        """Fresh shared weights."""
        assert self.subnets.coded is not None
        shapes = shared_shapes(self.subnets.coded.compiled.weight_uses)
        return Supernet(shapes, seed=settings.seed, members=4 if settings.rule == "mixture" else 1)


class Counting:
    """A rule that also counts the MACs of its lessons."""

    def __init__(self, inner: Rule) -> None:
        self.inner = inner
        self.macs = 0

    @property
    def listens(self) -> bool:
        """As the rule inside."""
        return self.inner.listens

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """Those of the rule inside, counted."""
        given = self.inner.lessons(moment)
        self.macs += BACKWARD * sum(macs(lesson.subnet.network) for lesson in given)
        return given

    def shrinks_at(self, steps: int) -> int | None:
        """Passed on."""
        return self.inner.shrinks_at(steps)

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Passed on."""
        self.inner.heard(moment, outcomes)

    def state(self) -> State:
        """Passed on."""
        return self.inner.state()

    def restore(self, state: State) -> None:
        """Passed on."""
        self.inner.restore(state)


@dataclass(frozen=True)
class Always:
    """Trains one network alone, on the labels."""

    lesson: Lesson
    listens: bool = False

    def lessons(self, moment: Moment) -> tuple[Lesson, ...]:
        """The network."""
        return (self.lesson,)

    def shrinks_at(self, steps: int) -> int | None:
        """Never."""
        return None

    def heard(self, moment: Moment, outcomes: Sequence[Outcome]) -> None:
        """Nothing."""

    def state(self) -> State:
        """Empty."""
        return {}

    def restore(self, state: State) -> None:
        """Nothing."""


def macs(network: Network) -> int:
    """Forward MACs of one image."""
    return count_network(network).total["macs"]


def make_world(data: str, *, limit: int | None, middle: int) -> World:
    """Digits with the quickstart's space, or 32 x 32 images with one of similar depth."""
    digits = data == "digits"
    cache = Path(tempfile.gettempdir()) / "nas_benchmark_data"
    images = load_data(os.path.expandvars(data), cache=cache)
    task = classification(images, validation_share=VALIDATION_SHARE if digits else 0.2, limit=None if digits else limit)
    space = mobile(
        task.input_shape,
        task.classes,
        resolutions=(7, 8) if digits else (24, 28, 32),
        stem_width=16,
        widths=((8, 16, 24), (16, 24, 32), (32, 48, 64)) if digits else ((16, 24), (32, 40), (64, 80)),
        depths=((1, 2), (1, 2), (1, 2)),
        strides=(1, 2, 1) if digits else (2, 2, 2),
        kernels=(3, 5),
        expands=(2, 3),
        group_sizes=(1, 4, 8),
        dilations=(1, 2),
        sparsities=(0.0, 0.5, 0.75),
    )
    tables = CostTables(compile_for_costs(space), check=0)
    ends = [tables.extreme(largest=largest) for largest in (False, True)]
    coded = Coded.of(tables, largest=ends[1])
    rows = coded.compiled.sample(np.random.default_rng(0), DRAWN)
    ordered = rows[coded.macs(rows).argsort(kind="stable")]
    picked = np.linspace(0.3, 0.7, middle) * (DRAWN - 1)
    between = tuple(coded.subnet(ordered[round(position)]).network for position in picked)

    def draw(rng: np.random.Generator) -> Network:
        return coded.subnet(coded.compiled.sample(rng, 1)[0]).network

    smallest, largest = (coded.subnet(row).network for row in ends)
    subnets = Subnets(largest, smallest, between[middle // 2], draw, coded)
    return World(task, subnets, between, 64 if digits else 128, 0.2)


def cost_of(world: World, settings: TrainSettings) -> float:
    """Expected training MACs of one step and image, over the whole of training."""
    rule = Counting(make_rule(settings, world.subnets, world.supernet(settings)))
    for step in range(PROBED):
        rule.lessons(Moment(step, PROBED))
    return rule.macs / PROBED


def train(world: World, settings: TrainSettings) -> tuple[Supernet, float]:
    """Train a supernet; it, and the training MACs of one image of each step summed up."""
    supernet = world.supernet(settings)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(supernet, world.subnets, world.task, settings, Path(folder))
        counting = Counting(trainer.rule)
        trainer.rule = counting
        trainer.run(advance=lambda steps, note: None)
    return supernet, counting.macs


def alone(world: World, network: Network, settings: TrainSettings) -> float:
    """Validation error of a network trained alone with the steps and the schedule of `settings`."""
    supernet = Supernet.of_networks([network], seed=settings.seed)
    only = Subnets(network, network, network, lambda rng: network)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(supernet, only, world.task, settings, Path(folder))
        trainer.rule = Always(Lesson(Subnet(network), labels=1.0))
        trainer.run(advance=lambda steps, note: None)
    return error(world, supernet, network)


def error(world: World, supernet: Supernet, network: Network) -> float:
    """Validation error with recalibrated statistics."""
    with torch.no_grad():
        weights = supernet.weights_for(network)
    ready = with_statistics(weights, calibrate(network, weights, world.task.calibration_batches(*CALIBRATION)))
    return error_of(network, ready, world.task, world.task.validation_batches(256))


def errors(world: World, supernet: Supernet) -> dict[str, float]:
    """Mean error by place among costs."""
    return {
        place: statistics.mean(error(world, supernet, network) for network in networks)
        for place, networks in world.judged.items()
    }


def mean_of(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means by key."""
    return {key: statistics.mean(row[key] for row in rows) for key in rows[0]}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--limit", type=int, default=6000, help="images used of data from a path")
    parser.add_argument("--epochs", type=int, default=20, help="of the sandwich, whose cost is the budget")
    parser.add_argument("--way-epochs", type=int, help="of every way, whatever they cost")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--middle", type=int, default=6, help="random networks judged in the middle")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--no-alone", action="store_true", help="leave out training the judged networks alone")
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)
    keep_freed_memory()
    world = make_world(given.data, limit=given.limit, middle=given.middle)
    base = world.settings(WAYS["sandwich"], epochs=given.epochs, seed=0)
    budget = cost_of(world, base) * given.epochs
    stand_alone: dict[str, float] = {}
    if not given.no_alone:
        for place, networks in world.judged.items():
            tell(f"{place} alone")
            found = [
                alone(world, network, replace(base, seed=seed)) for network in networks for seed in range(given.seeds)
            ]
            stand_alone[place] = statistics.mean(found)
    sandwich: dict[str, float] = {}
    for way in given.ways:
        settings = world.settings(WAYS[way], epochs=1, seed=0)
        fitting = max(1, round(budget / cost_of(world, settings)))
        settings = replace(settings, epochs=given.way_epochs or fitting)
        rows, spent = [], []
        started = time.process_time()
        for seed in range(given.seeds):
            tell(f"{way}, seed {seed}: {settings.epochs} epochs")
            supernet, used = train(world, replace(settings, seed=seed))
            rows.append(errors(world, supernet))
            spent.append(used)
        means = mean_of(rows)
        sandwich = sandwich or (means if way == "sandwich" else {})
        relative = statistics.mean(spent) / (budget * world.task.steps_per_epoch(base.batch_size))
        report(
            world,
            way,
            means,
            rows,
            settings=settings,
            baselines={"sandwich": sandwich, "alone": stand_alone},
            where={"cost": round(relative, 4), "processor_seconds": round(time.process_time() - started, 1)},
        )


def report(
    world: World,
    way: str,
    means: Mapping[str, float],
    rows: Sequence[Mapping[str, float]],
    *,
    settings: TrainSettings,
    baselines: Mapping[str, Mapping[str, float]],
    where: Mapping[str, float],
) -> None:
    """Print the figures of one way; `where` says what they cost."""
    steps = settings.epochs * world.task.steps_per_epoch(settings.batch_size)
    for place, value in means.items():
        print_figure(
            "subnet_error",
            value,
            "share",
            baseline={name: errors[place] for name, errors in baselines.items() if errors},
            where={
                "way": way,
                "subnet": place,
                "networks": len(world.judged[place]),
                "seeds": len(rows),
                "low": round(min(row[place] for row in rows), 5),
                "high": round(max(row[place] for row in rows), 5),
                "steps": steps,
                "epochs": settings.epochs,
                **where,
                "data": world.task.data.name,
                "training_images": len(world.task.train_indices),
                "validation_images": len(world.task.validation_indices),
            },
        )


if __name__ == "__main__":
    main()
