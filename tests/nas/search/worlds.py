"""Tiny worlds in which every answer is known: a real space small enough to enumerate, and a formula for its error."""

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import search_spaces as ss
from nas.search.domain import Floats, History, Rows
from nas.search.gain import non_dominated
from nas.search.problem import Problem
from predictors.counts import count_network
from search_spaces.space import Architecture, SearchSpace


def stack(net: ss.NetworkBuilder, pick: ss.Pick) -> ss.Tensor:
    """Up to three convolutions; some pairs of picks build one network, since width 8 stands twice."""
    x = net.input(3, 8, 8)
    for i in range(pick("depth", (1, 2, 3))):
        with net.scope(f"block{i}") as here:
            width = here.pick("width", ("narrow", "also narrow", "wide"))
            x = ss.blocks.conv_norm_act(net, x, 16 if width == "wide" else 8, kernel=here.pick("kernel", (1, 3, 5)))
    return ss.blocks.classifier(net, x, classes=10)


SPACE = SearchSpace(stack)


def figures(network: ss.Network) -> dict[str, float | None]:
    """What is counted here."""
    total = count_network(network).total
    return {"macs": float(total["macs"]), "params": float(total["params"]), "energy_mj": None}


def error_of(architecture: Architecture) -> float:
    """A made-up error: falls with depth, width and kernel, with a preference for kernel 3 in the first block."""
    values = architecture.values
    gain = 0.0
    for i in range(int(values["depth"])):
        gain += (
            0.08 * (values[f"block{i}.width"] == "wide") + 0.03 * {1: 0, 3: 2, 5: 2.4}[int(values[f"block{i}.kernel"])]
        )
    return 0.9 - gain - 0.05 * (values["block0.kernel"] == 3)


@dataclass(frozen=True)
class Formula:
    """Evaluates by `error_of`, after `seconds`; writes one line per evaluation to `log`; fails where told to."""

    seconds: float = 0.0
    log: Path | None = None
    failing: frozenset[str] = field(default_factory=frozenset)
    weights: Mapping[str, Floats] = field(default_factory=dict)

    def setup(self) -> None:
        """Nothing to do."""

    def evaluate(self, architecture: Architecture, seed: int) -> dict[str, float]:
        """The error, and the seed as a figure of its own."""
        if self.log is not None:
            with self.log.open("a") as file:
                file.write(f"{os.getpid()} {architecture.to_json()}\n")
        time.sleep(self.seconds)
        if architecture.to_json() in self.failing:
            raise ValueError("this one does not work")
        return {"error": error_of(architecture), "luck": float(seed)}


class World:
    """The space, coded, with every figure of every row in one table."""

    def __init__(self) -> None:
        self.coded = SPACE.compile()
        architectures = list(SPACE.enumerate())
        self.rows = np.stack([self.coded.encode(architecture) for architecture in architectures])
        self.networks = [SPACE.build(architecture) for architecture in architectures]
        self.costs = {
            name: np.array([figures(network)[name] for network in self.networks], dtype=float)
            for name in ("macs", "params")
        }
        self.errors = np.array([error_of(architecture) for architecture in architectures])
        self._places = {tuple(row): i for i, row in enumerate(self.rows.tolist())}

    def places(self, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where rows stand in the table."""
        return np.array([self._places[tuple(row)] for row in rows.tolist()], dtype=np.int64)

    def score(self, rows: Rows) -> dict[str, Floats]:
        """The counted figures of rows."""
        places = self.places(rows)
        return {name: column[places] for name, column in self.costs.items()}

    def problem(self, **changes: Any) -> Problem:
        """The search for little error and few MACs."""
        arguments: dict[str, Any] = {
            "space": SPACE,
            "coded": self.coded,
            "objectives": ("error", "macs"),
            "score": self.score,
            "known": ("macs", "params"),
            "figures": figures,
            "evaluator": Formula(),
            "provenance": {"macs": "counted", "params": "counted", "error": "validation"},
        }
        return Problem(**{**arguments, **changes})

    def front(self) -> set[tuple[float, float]]:
        """The exact front of error and MACs, as points."""
        points = np.stack([self.errors, self.costs["macs"]], axis=1)
        return {(round(float(e), 12), float(m)) for e, m in points[non_dominated(points)]}


@dataclass(frozen=True)
class Column:
    """One slot of a made-up space."""

    name: str
    options: tuple[Any, ...]


class Blocks:
    """A space too large to enumerate: `depth` blocks of eight are active, each with four slots of four options."""

    def __init__(self) -> None:
        self.slots = (
            Column("depth", tuple(range(1, 9))),
            *(Column(f"block{i // 4}.slot{i % 4}", (1, 2, 3, 4)) for i in range(32)),
        )

    def repair(self, rows: Rows) -> Rows:
        """Slots of inactive blocks to 0."""
        made = rows.copy()
        active = np.arange(32) // 4 < made[:, :1] + 1
        made[:, 1:] *= active
        return made

    def sample(self, rng: np.random.Generator, n: int) -> Rows:
        """Uniform options."""
        counts = [len(slot.options) for slot in self.slots]
        return self.repair(rng.integers(counts, size=(n, len(counts))).astype(np.int16))

    def decode(self, row: Rows) -> Architecture:
        """Every slot's option."""
        return Architecture(tuple((s.name, s.options[i]) for s, i in zip(self.slots, row.tolist(), strict=True)))


def block_costs(rows: Rows) -> dict[str, Floats]:
    """Two costs of `Blocks` that pull apart: sums over active blocks with weights that rise, or fall, with depth."""
    active = np.arange(8) < rows[:, :1] + 1
    work = (rows[:, 1:].reshape(-1, 8, 4) + 1).prod(2) * active
    return {"macs": work @ np.arange(1.0, 9.0), "params": work @ np.arange(8.0, 0.0, -1.0) ** 2}


def block_error(rows: Rows) -> Floats:
    """An error that falls with the logarithm of the work, more in early blocks."""
    active = np.arange(8) < rows[:, :1] + 1
    work = np.log((rows[:, 1:].reshape(-1, 8, 4) + 1).prod(2)) * active
    return 0.9 * np.exp(-0.03 * (work @ np.linspace(2.0, 1.0, 8)))


BLOCKS = Blocks()


def history_of(rows: Rows, values: Floats, excess: Floats, pending: Rows) -> History:
    """A history without exclusions."""
    return History(rows, values, excess, pending, rows[:0])
