"""What is learnt of choices: a score for each option, moved by gradients, and the probabilities that follow from it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from search_spaces.compile_lookup import Rows
from search_spaces.compiled import CompiledSpace

FIRST_TEMPERATURE, LAST_TEMPERATURE = 10.0, 1.0
PHASES = 6
RATE = 0.02
MEMORY = (0.9, 0.99)
Probabilities = Mapping[str, tuple[float, ...]]
"""Of the options of a choice, by its name."""


def temperature(share: float) -> float:
    """That of OSNet-AIN after `share` of training: 10, halved after each sixth of it, and at least 1."""
    return max(LAST_TEMPERATURE, FIRST_TEMPERATURE * 0.5 ** int(PHASES * share))


def gumbel(rng: np.random.Generator, count: int) -> Tensor:
    """[count] draws of the standard Gumbel distribution, in double precision."""
    return torch.from_numpy(rng.gumbel(size=count))


@dataclass
class Scores:
    """The scores [n_options] of one choice: logarithms of its options' probabilities but for a constant.

    They move by Adam's rule, so that a short training moves them too; the paper moves the probabilities' own weights
    by plain gradients over 120 epochs. mean, square: its running moments. moved: how often.
    """

    values: list[float]
    mean: list[float] = field(default_factory=list)
    square: list[float] = field(default_factory=list)
    moved: int = 0

    def leaf(self) -> Tensor:
        """The scores as a tensor [n_options] that asks for gradients."""
        return torch.tensor(self.values, dtype=torch.float64, requires_grad=True)

    def move(self, gradient: Sequence[float], rate: float) -> None:
        """One step of Adam against `gradient` [n_options]; none where that is not finite."""
        if not all(map(math.isfinite, gradient)):
            return
        zeros = [0.0] * len(self.values)
        self.moved += 1
        squares = [slope * slope for slope in gradient]
        self.mean = [_towards(old, new, MEMORY[0]) for old, new in zip(self.mean or zeros, gradient, strict=True)]
        self.square = [_towards(old, new, MEMORY[1]) for old, new in zip(self.square or zeros, squares, strict=True)]
        first, second = (1 - memory**self.moved for memory in MEMORY)
        for i, (mean, square) in enumerate(zip(self.mean, self.square, strict=True)):
            self.values[i] -= rate * (mean / first) / (math.sqrt(square / second) + 1e-12)

    @property
    def probabilities(self) -> tuple[float, ...]:
        """Of the options; they sum to 1."""
        weights = np.exp(np.asarray(self.values) - max(self.values))
        return tuple((weights / weights.sum()).tolist())

    def to_json(self) -> dict[str, Any]:
        """As plain data, exactly."""
        return {"values": self.values, "mean": self.mean, "square": self.square, "moved": self.moved}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> "Scores":
        """Inverse of `to_json`."""
        return cls(list(data["values"]), list(data["mean"]), list(data["square"]), int(data["moved"]))


def _towards(old: float, new: float, memory: float) -> float:
    return memory * old + (1 - memory) * new


def drawn(compiled: CompiledSpace, rows: Rows, likely: Probabilities, rng: np.random.Generator) -> Rows:
    """`rows` [n, n_slots] with the choices in `likely` drawn by their probabilities, repaired."""
    found = rows.copy()
    for place, slot in enumerate(compiled.slots):
        if slot.name in likely:
            shares = np.asarray(likely[slot.name])
            found[:, place] = rng.choice(len(shares), size=len(rows), p=shares / shares.sum())
    return compiled.repair(found)


def likeliest(compiled: CompiledSpace, row: Rows, likely: Probabilities) -> Rows:
    """`row` [n_slots] with the likeliest option of every choice in `likely`, repaired."""
    found = row.copy()
    for place, slot in enumerate(compiled.slots):
        if slot.name in likely:
            found[place] = int(np.argmax(likely[slot.name]))
    return np.asarray(compiled.repair(found[None])[0])
