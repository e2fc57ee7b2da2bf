"""Readers of the published files of measurements; which one a file needs is told by what is in it."""

import csv
import gzip
import json
import re
from collections.abc import Callable, Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.tables import Measurements, TableSlot
from nas.search.domain import Floats
from search_spaces.errors import NasError

Lines = Sequence[Mapping[str, str]]
CELL = "ArchitectureString"
PI_COLUMNS = {"latency_ms": "lat_ms_median", "energy_mj": "energy_mj"}
PI_ERROR = "CIFAR100TestAccuracy200Epochs"
CELL_EDGES = ((0,), (0, 1), (0, 1, 2))
KERNELS = {"nor_conv_1x1": 1, "nor_conv_3x3": 3}
MACS_PER_TAP = 15 * 16**2 * 32**2
BLOCK_SLOT = re.compile(r"block\d+_(e|k|l|se)")
NO_FIGURES = {"val_top1", "file", "split"}
MAXIMISED = "throughput"
COUNTED = ("macs_m", "params_m")


def read_table(path: Path) -> Measurements:
    """The measurements of a file of a known format; NasError when it is missing, damaged, or of another format.

    Known are NAS-Bench-Macro (JSON: code to figures), NAS-Bench-201 on a device (CSV with architecture strings) and
    Accel-NASBench (CSV with a column per choice of each block); CSV may be compressed with gzip.
    """
    try:
        raw = path.read_bytes()
        text = (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
        if text.lstrip().startswith("{"):
            return nas_bench_macro(json.loads(text))
        lines = list(csv.DictReader(text.splitlines()))
        columns = set(lines[0]) if lines else set()
        for needed, reader in CSV_READERS.items():
            if set(needed) <= columns:
                return reader(lines)
    except (OSError, EOFError, UnicodeDecodeError, ValueError, KeyError, TypeError) as error:
        raise NasError(f"{path} cannot be read as a table of measurements: {type(error).__name__}: {error}") from error
    raise NasError(
        f"{path} is no table of a known format. Known are NAS-Bench-Macro (JSON with keys such as '02012100'), "
        f"NAS-Bench-201 on a device (CSV with the columns {CELL} and {PI_ERROR}) and Accel-NASBench (CSV with columns "
        "such as block0_e, and val_top1)"
    )


def nas_bench_macro(data: Mapping[str, Mapping[str, Any]]) -> Measurements:
    """NAS-Bench-Macro: error on CIFAR-10, and MACs and parameters, both counted.

    Operators are identity, k3 e3 and k5 e6, in stages of 2, 3 and 3 blocks; an identity among the blocks that do
    not change the shape may stand anywhere in its stage without changing the network.
    """
    codes = sorted(data)
    if not codes or any(len(code) != 8 or set(code) - set("012") for code in codes):
        raise ValueError("the keys are not codes such as '02012100'")
    figures = {
        "error": np.array([1 - data[code]["mean_acc"] / 100 for code in codes]),
        "macs": np.array([float(data[code]["flops"]) for code in codes]),
        "params": np.array([float(data[code]["params"]) for code in codes]),
    }
    slots = tuple(TableSlot(f"block{i}", ("identity", "k3e3", "k5e6")) for i in range(8))
    rows = np.array([[int(digit) for digit in code] for code in codes], dtype=np.int16)
    return Measurements(slots, rows, figures, ("macs", "params"), _stages)


def _stages(code: tuple[int, ...]) -> Hashable:
    """The code with the identities that change nothing left out."""
    stages = (code[:2], code[2:5], code[5:])
    return tuple((stage[0], *(digit for digit in stage[1:] if digit)) for stage in stages)


def nas_bench_201(lines: Lines) -> Measurements:
    """NAS-Bench-201 on a device: error on CIFAR-100, latency and energy, all measured, and the counted cell_macs."""
    cells = [re.findall(r"([\w]+)~(\d)", line[CELL]) for line in lines]
    edges = [str(source) for sources in CELL_EDGES for source in sources]
    if any([source for _, source in cell] != edges for cell in cells):
        raise ValueError(f"the column {CELL} holds other cells than those of NAS-Bench-201")
    operators = tuple(sorted({operator for cell in cells for operator, _ in cell}))
    slots = tuple(TableSlot(f"edge{i}", operators) for i in range(len(edges)))
    rows = np.array([[operators.index(operator) for operator, _ in cell] for cell in cells], dtype=np.int16)
    figures = {"error": 1 - _column(lines, PI_ERROR) / 100}
    figures |= {name: _column(lines, column) for name, column in PI_COLUMNS.items()}
    figures["cell_macs"] = np.array([cell_macs(tuple(operator for operator, _ in cell)) for cell in cells])
    return Measurements(slots, rows, figures, ("cell_macs",), lambda code: _cell(tuple(operators[i] for i in code)))


def _cell(operators: tuple[str, ...]) -> Hashable:
    """What the last node of the cell computes, written out, with sums in order, skips left out and zeros marked.

    NATS-Bench (Dong et al., 2021) tells cells apart like this, to the letter: 6,466 of 15,625.
    """
    nodes = ["0"]
    chosen = iter(operators)
    for sources in CELL_EDGES:
        terms = []
        for source in sources:
            operator, node = next(chosen), nodes[source]
            if operator == "none" or node == "#":
                terms.append("#")
            else:
                terms.append(node if operator == "skip_connect" else f"({node})@{operator}")
        nodes.append("+".join(sorted(terms)))
    return nodes[-1]


def cell_macs(operators: tuple[str, ...]) -> float:
    """MACs of the convolutions, in all cells, that lie on a path from the input to the output of their cell."""
    edges = [(source, node) for node, sources in enumerate(CELL_EDGES, start=1) for source in sources]
    live = [(edge, operator) for edge, operator in zip(edges, operators, strict=True) if operator != "none"]
    reached = {0}
    for (source, node), _ in sorted(live):
        reached |= {node} if source in reached else set()
    needed = {len(CELL_EDGES)}
    for (source, node), _ in sorted(live, reverse=True):
        needed |= {source} if node in needed else set()
    kernels = [KERNELS.get(operator, 0) for (source, node), operator in live if source in reached and node in needed]
    return float(sum(kernel**2 * MACS_PER_TAP for kernel in kernels))


def accel_nasbench(lines: Lines) -> Measurements:
    """Accel-NASBench: error, and every measured column under its own name; throughputs are negated.

    MACs and parameters are counted. A few codes stand twice.
    """
    names = [name for name in lines[0] if BLOCK_SLOT.fullmatch(name)]
    options = [tuple(sorted({int(line[name]) for line in lines})) for name in names]
    slots = tuple(TableSlot(name, values) for name, values in zip(names, options, strict=True))
    codes = [[values.index(int(line[name])) for name, values in zip(names, options, strict=True)] for line in lines]
    figures = {"error": 1 - _column(lines, "val_top1") / 100}
    for name in lines[0]:
        if name not in NO_FIGURES and name not in names:
            column = _column(lines, name)
            figures[name] = -column if name.startswith(MAXIMISED) else column
    known = tuple(name for name in COUNTED if name in figures)
    return Measurements(slots, np.array(codes, dtype=np.int16), figures, known)


def _column(lines: Lines, name: str) -> Floats:
    """A column as numbers, nan where it is empty."""
    return np.array([float(line[name]) if line[name] else np.nan for line in lines])


CSV_READERS: dict[tuple[str, ...], Callable[[Lines], Measurements]] = {
    (CELL, PI_ERROR): nas_bench_201,
    ("block0_e", "val_top1"): accel_nasbench,
}
