"""Measured cells of NAS-Bench-201 (Dong and Yang 2020): their files, what they consist of, and their networks."""

import csv
import gzip
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats
from search_spaces.builder import NetworkBuilder, Tensor
from search_spaces.errors import NasError
from search_spaces.network import Network

OPERATORS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
INPUT, STEM, STAGES, CELLS, CLASSES = (3, 32, 32), 16, (16, 32, 64), 5, 100
EDGES = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
CELL = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
QUANTITIES = {"energy_mj": "energy_mj", "latency_ms": "lat_ms_median"}


@dataclass(frozen=True)
class Cells:
    """Measured cells: operator of each edge [n, 6] as its place in `OPERATORS`, and per quantity what it took [n]."""

    edges: npt.NDArray[np.int64]
    measured: dict[str, Floats]

    @property
    def amounts(self) -> tuple[Floats, Floats]:
        """How often each operator but "none" occurs [n, 4], and whether it lies on each edge [n, 24]."""
        placed = (self.edges[:, :, None] == np.arange(1, len(OPERATORS))).astype(np.float64)
        return placed.sum(axis=1), placed.reshape(len(placed), -1)

    @property
    def twins(self) -> list[tuple[int, int]]:
        """Pairs of rows that are one network with its inner nodes exchanged."""
        place = {tuple(row): i for i, row in enumerate(self.edges.tolist())}
        pairs = []
        for (first, second, between, last, third, fourth), i in place.items():
            twin = place.get((second, first, between, last, fourth, third)) if between == 0 else None
            if twin is not None and i < twin:
                pairs.append((i, twin))
        return pairs


def read_cells(path: Path) -> Cells:
    """The cells of a CSV file (gzip allowed); `NasError` names what is missing or wrong and where."""
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else path.open() as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise NasError(f"{path} cannot be read as a CSV file: {error}") from error
    wanted = ["ArchitectureString", *QUANTITIES.values()]
    if missing := [name for name in wanted if not rows or name not in rows[0]]:
        raise NasError(f"{path} lacks the columns {', '.join(missing)}; expected {', '.join(wanted)}")
    edges = [_edges(row["ArchitectureString"], f"{path}, line {i}") for i, row in enumerate(rows, start=2)]
    measured = {
        name: np.array([_number(row[column], f"{path}, line {i}, {column}") for i, row in enumerate(rows, start=2)])
        for name, column in QUANTITIES.items()
    }
    return Cells(np.array(edges), measured)


def _edges(cell: str | None, where: str) -> list[int]:
    found = CELL.fullmatch(cell or "")
    if found is None or not set(found.groups()) <= set(OPERATORS):
        raise NasError(f"{where}: {cell!r} is not a cell of NAS-Bench-201 with operators {', '.join(OPERATORS)}")
    return [OPERATORS.index(name) for name in found.groups()]


def _number(text: str | None, where: str) -> float:
    try:
        value = float(text or "")
    except ValueError:
        value = -1.0
    if not 0 < value < np.inf:
        raise NasError(f"{where}: {text!r} is not a number above 0")
    return value


def network_of(edges: Sequence[int]) -> Network | None:
    """The network of a cell, 15 times over in three stages; `None` where no edge leads from its input to its output."""
    used = _used(edges)
    if not used:
        return None
    net = NetworkBuilder(lambda _name, options: options[0])
    x = net.batch_norm(net.conv(net.input(*INPUT), STEM, kernel=3))
    for stage, width in enumerate(STAGES):
        if stage:
            beside = net.conv(net.pool(x, "average", kernel=2), width, kernel=1)
            x = net.add(_conv(net, _conv(net, x, width, kernel=3, stride=2), width, kernel=3), beside)
        for _ in range(CELLS):
            x = _cell(net, x, used, edges)
    x = net.activation(net.batch_norm(x), "relu")
    return net.finish(net.linear(net.flatten(net.global_pool(x)), CLASSES))


def _used(edges: Sequence[int]) -> list[int]:
    """The edges that lie on a way from the cell's input to its output."""
    there = [i for i, operator in enumerate(edges) if OPERATORS[operator] != "none"]
    fed, wanted = {0}, {3}
    for i in sorted(there, key=lambda i: EDGES[i][0]):
        fed |= {EDGES[i][1]} if EDGES[i][0] in fed else set()
    for i in sorted(there, key=lambda i: -EDGES[i][1]):
        wanted |= {EDGES[i][0]} if EDGES[i][1] in wanted else set()
    return [i for i in there if EDGES[i][0] in fed and EDGES[i][1] in wanted]


def _cell(net: NetworkBuilder, x: Tensor, used: Sequence[int], edges: Sequence[int]) -> Tensor:
    nodes = {0: x}
    for i in used:
        source, target = EDGES[i]
        found = _operator(net, nodes[source], OPERATORS[edges[i]])
        nodes[target] = net.add(nodes[target], found) if target in nodes else found
    return nodes[3]


def _operator(net: NetworkBuilder, x: Tensor, name: str) -> Tensor:
    if name == "avg_pool_3x3":
        return net.pool(x, "average", kernel=3, stride=1, padding=1)
    return x if name == "skip_connect" else _conv(net, x, x.channels, kernel=1 if name == "nor_conv_1x1" else 3)


def _conv(net: NetworkBuilder, x: Tensor, width: int, *, kernel: int, stride: int = 1) -> Tensor:
    return net.batch_norm(net.conv(net.activation(x, "relu"), width, kernel=kernel, stride=stride))
