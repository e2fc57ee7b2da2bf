"""Tabular benchmarks: published measurements of whole spaces, as coded spaces that a search can be run on."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nas.search.domain import Domain, Floats, Rows, row_keys
from search_spaces.builder import Value
from search_spaces.errors import NasError, unknown_name
from search_spaces.space import Architecture


@dataclass(frozen=True)
class TableSlot:
    """One position of the code."""

    name: str
    options: tuple[Value, ...]


class TableSpace:
    """The rows of a table that holds every combination of its slots' options."""

    def __init__(self, slots: tuple[TableSlot, ...]) -> None:
        self.slots = slots
        self._counts = np.array([len(slot.options) for slot in slots])

    def repair(self, rows: Rows) -> Rows:
        """Every combination is there."""
        return rows

    def sample(self, rng: np.random.Generator, n: int) -> Rows:
        """`n` uniform rows."""
        return rng.integers(self._counts, size=(n, len(self.slots))).astype(np.int16)

    def decode(self, row: Rows) -> Architecture:
        """The options of one row."""
        pairs = zip(self.slots, row, strict=True)
        return Architecture(tuple((slot.name, slot.options[int(index)]) for slot, index in pairs))


@dataclass(frozen=True)
class Table:
    """Measured rows [n, n_slots], figure name to column [n], and a number per row that equal networks share."""

    space: TableSpace
    rows: Rows
    figures: Mapping[str, Floats]
    network: np.ndarray[tuple[int], np.dtype[np.int64]]
    known: tuple[str, ...]

    def places(self, rows: Rows) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """Where `rows` [m, n_slots] stand in the table."""
        order = np.argsort(row_keys(self.rows), kind="stable")
        return np.asarray(order[np.searchsorted(row_keys(self.rows)[order], row_keys(rows))])

    def domain(self, objectives: tuple[str, ...], limits: Mapping[str, float] | None = None) -> Domain:
        """The search problem in which counted figures are known and the others must be looked up."""
        for name in objectives:
            if name not in self.figures:
                raise unknown_name("figure of this table", name, self.figures)

        def score(rows: Rows) -> dict[str, Floats]:
            places = self.places(rows)
            return {name: self.figures[name][places] for name in self.known}

        return Domain(self.space, objectives, score, self.known, dict(limits or {}))


def nas_bench_macro(path: Path) -> Table:
    """NAS-Bench-Macro: 6,561 codes of 3,969 networks; error on CIFAR-10, MACs and parameters (both counted).

    Operators are identity, k3 e3 and k5 e6, in stages of 2, 3 and 3 blocks; an identity among the blocks that do
    not change the shape may stand anywhere in its stage without changing the network.
    """
    data = json.loads(path.read_text())
    codes = sorted(data)
    if not codes or any(len(code) != 8 or set(code) - set("012") for code in codes):
        raise NasError(f"{path} is not NAS-Bench-Macro: its keys are not codes such as '02012100'")
    rows = np.array([[int(digit) for digit in code] for code in codes], dtype=np.int16)
    slots = tuple(TableSlot(f"block{i}", ("identity", "k3e3", "k5e6")) for i in range(8))
    figures = {
        "error": np.array([1 - data[code]["mean_acc"] / 100 for code in codes]),
        "macs": np.array([float(data[code]["flops"]) for code in codes]),
        "params": np.array([float(data[code]["params"]) for code in codes]),
    }
    numbers: dict[str, int] = {}
    network = np.array([numbers.setdefault(_canonical(code), len(numbers)) for code in codes])
    return Table(TableSpace(slots), rows, figures, network, ("macs", "params"))


def _canonical(code: str) -> str:
    """The code with the identities that change nothing moved to the end of their stage."""
    stages = (code[:2], code[2:5], code[5:])
    return "/".join(stage[0] + stage[1:].replace("0", "").ljust(len(stage) - 1, "0") for stage in stages)


READERS = {"nas-bench-macro_cifar10.json": nas_bench_macro}


def read_table(path: Path) -> Table:
    """The table of a file, told by its name; NasError when there is no reader for it."""
    if path.name not in READERS:
        raise unknown_name("table", path.name, READERS)
    return READERS[path.name](path)
