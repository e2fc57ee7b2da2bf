"""A tiny task and a tiny space, for tests of training."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from nas.supernet.settings import supernet_for
from nas.supernet.shapes import shared_shapes, uses_of
from nas.supernet.subnets import Coded, Subnets
from nas.supernet.train import Trainer, TrainSettings
from nas.supernet.weights import Supernet
from predictors.tables import CostTables, compile_for_costs
from search_spaces.blocks import classifier, conv_norm_act, mbconv
from search_spaces.builder import NetworkBuilder, Pick, Value
from search_spaces.builder import Tensor as Node
from search_spaces.catalog import mobile
from search_spaces.network import Network
from search_spaces.space import SearchSpace

BATCH = tuple[Tensor, Tensor]
HIGH = 1000
"""Added to the labels of batches whose loss is a hundred times as high."""


@dataclass(frozen=True)
class Bars:
    """Pictures [1, 8, 8] of horizontal bars (class 0), vertical bars (1) or neither (2) in noise."""

    fingerprint: str = "bars"
    steps: int = 4
    broken_at: int | None = None
    """Number of the batch of the first epoch whose pixels are NaN."""
    scaled_from: int | None = None
    """Number of the batch of the first epoch from which on losses are a hundred times as high."""
    channels: int = 1
    """What it says its images have."""
    kinds: int = 3
    """How many classes it says there are."""

    @property
    def input_shape(self) -> tuple[int, ...]:
        return (self.channels, 8, 8)

    @property
    def classes(self) -> int:
        return self.kinds

    def to(self, device: torch.device | str) -> "Bars":
        return self

    def steps_per_epoch(self, batch_size: int) -> int:
        return self.steps

    def train_batches(self, batch_size: int, *, seed: int, epoch: int, start: int = 0) -> Iterator[BATCH]:
        for step in range(start, self.steps):
            images, target = self._draw(batch_size, [seed, epoch, step])
            if epoch == 0 and step == self.broken_at:
                images = images * float("nan")
            if epoch == 0 and self.scaled_from is not None and step >= self.scaled_from:
                target = target + HIGH
            yield images, target

    def calibration_batches(self, count: int, size: int) -> Iterator[BATCH]:
        for step in range(count):
            yield self._draw(size, [98, step])

    def validation_batches(self, size: int) -> Iterator[BATCH]:
        yield self._draw(96, [99])

    def test_batches(self, size: int) -> Iterator[BATCH]:
        yield self._draw(96, [100])

    def loss(self, output: Tensor, target: Tensor, *, label_smoothing: float = 0.0) -> Tensor:
        factor = 100.0 if int(target.min()) >= HIGH else 1.0
        return factor * functional.cross_entropy(output, target % HIGH, label_smoothing=label_smoothing)

    def metric(self, output: Tensor, target: Tensor) -> float:
        return float((output.argmax(1) != target).sum())

    def _draw(self, size: int, seed: list[int]) -> BATCH:
        rng = np.random.default_rng(seed)
        target = rng.integers(0, 3, size)
        images = rng.normal(0, 0.5, (size, 1, 8, 8))
        lines = rng.choice([-1.0, 1.0], (size, 8))
        images[target == 0] += lines[target == 0][:, None, :, None]
        images[target == 1] += lines[target == 1][:, None, None, :]
        return torch.from_numpy(images).float(), torch.from_numpy(target)


def space(*, dropout: float = 0.0) -> SearchSpace:
    """A small space in which all seven dimensions vary."""
    return mobile(
        (1, 8, 8),
        3,
        resolutions=(6, 8),
        stem_width=8,
        widths=((8, 12), (12, 16)),
        depths=((1, 2), (1, 2)),
        strides=(1, 2),
        kernels=(3, 5),
        expands=(1, 2),
        group_sizes=(1, 2, 4),
        dilations=(1, 2),
        sparsities=(0.0, 0.5),
        dropout=dropout,
    )


def subnets(of: SearchSpace) -> Subnets:
    """The ends of the space, one between, and random ones."""

    def end(position: int) -> Network:
        def choose(name: str, options: tuple[Value, ...]) -> Value:
            return 0.0 if name.endswith("sparsity") else options[position]

        network = of.trace(choose).network
        assert network is not None
        return network

    def draw(rng: np.random.Generator) -> Network:
        return of.build(of.sample(rng))

    return Subnets(end(-1), end(0), draw(np.random.default_rng(5)), draw)


def supernet(of: SearchSpace, *, seed: int = 0) -> Supernet:
    """Shared weights with room for many networks of the space."""
    rng = np.random.default_rng(0)
    ends = subnets(of)
    networks = [of.build(of.sample(rng)) for _ in range(200)]
    return Supernet(shared_shapes(uses_of([*networks, ends.largest, ends.smallest])), seed=seed)


def trainer(folder: Path, *, task: Bars | None = None, settings: TrainSettings | None = None) -> Trainer:
    """A training of the small space on `task`."""
    of = space()
    chosen = settings or TrainSettings(epochs=3, batch_size=16, precision="fp32", ema=0.9)
    return Trainer(supernet(of), subnets(of), task or Bars(), chosen, folder)


def blocks(net: NetworkBuilder, pick: Pick) -> Node:
    """One to three blocks; `down` says which one shrinks the map."""
    side = pick("resolution", (6, 8))
    x = conv_norm_act(net, net.input(1, side, side), 8, name="stem")
    depth = pick("depth", (1, 2, 3))
    down = pick("down", tuple(range(depth)))
    for i in range(depth):
        with net.scope(f"block{i}") as here:
            x = mbconv(
                net,
                x,
                here.pick("width", (8, 12)),
                stride=2 if i == down else 1,
                kernel=here.pick("kernel", (3, 5)),
                expand=here.pick("expand", (1, 2)),
                group_size=here.pick("group_size", (1, 4)),
                sparsity=here.pick("sparsity", (0.0, 0.5, "2:4")),
            )
    return classifier(net, x, 3)


@cache
def coded_subnets() -> Subnets:
    """The ends of a smaller space, compiled: drawn by cost, or dimension by dimension."""
    of = SearchSpace(blocks)
    tables = CostTables(compile_for_costs(of), check=0)
    ends = [tables.extreme(largest=largest) for largest in (False, True)]
    coded = Coded.of(tables, largest=ends[1])
    smallest, largest = (coded.subnet(row).network for row in ends)

    def draw(rng: np.random.Generator) -> Network:
        return coded.subnet(coded.compiled.sample(rng, 1)[0]).network

    return Subnets(largest, smallest, draw(np.random.default_rng(1)), draw, coded)


def coded_trainer(
    folder: Path, settings: TrainSettings, *, task: Bars | None = None, as_given: bool = False
) -> Trainer:
    """A training of the compiled space, brief unless `as_given`; three sets of weights for a mixture."""
    subnets = coded_subnets()
    assert subnets.coded is not None
    uses = subnets.coded.compiled.weight_uses
    if not as_given:
        settings = replace(settings, epochs=1, batch_size=8, members=3, precision="fp32")
    shared = supernet_for(shared_shapes(uses), settings)
    return Trainer(shared, subnets, task or Bars(steps=6), settings, folder)
