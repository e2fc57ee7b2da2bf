"""Tables of measurements as spaces: read from tiny files of each format, and closed over their rows."""

import csv
import gzip
import itertools
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.table_files import cell_macs, read_table
from benchmarks.tables import Table, TableSlot, TableSpace
from search_spaces.errors import NasError

EDGE_SOURCES = "001012"


def write_macro(path: Path, rng: np.random.Generator) -> Path:
    """Every code with identities in the last stage, and figures that depend on the sum of the digits."""
    codes = [f"{''.join(digits)}000" for digits in itertools.product("012", repeat=5)]
    data = {}
    for code in codes:
        work = sum(map(int, code))
        data[code] = {"mean_acc": 90 - 20 / (1 + work), "flops": 1e6 * (1 + work), "params": 1e5 * (2 + work)}
    path.write_text(json.dumps(data))
    return path


def write_cells(path: Path, rng: np.random.Generator) -> Path:
    """Sixty cells of NAS-Bench-201, two of them twins."""
    operators = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    lines = []
    for edges in list(itertools.product(operators[1:], repeat=3))[:60]:
        cell = [edges[0], "nor_conv_3x3", edges[1], "none", edges[2], "nor_conv_1x1"]
        parts = [f"{operator}~{source}" for operator, source in zip(cell, EDGE_SOURCES, strict=True)]
        text = f"|{parts[0]}|+|{parts[1]}|{parts[2]}|+|{parts[3]}|{parts[4]}|{parts[5]}|"
        work = sum(operators.index(edge) ** 2 for edge in edges)
        lines.append(
            {
                "ArchitectureString": text,
                "lat_ms_median": 1 + 0.1 * work,
                "energy_mj": 2 + 0.3 * work + rng.random(),
                "CIFAR100TestAccuracy200Epochs": 70 - 100 / (3 + work),
            }
        )
    return write_csv(path, lines)


def write_blocks(path: Path, rng: np.random.Generator) -> Path:
    """Half of the codes of two MnasNet blocks; the first stands twice, and one throughput is missing."""
    grid = list(itertools.product((1, 4, 6), (3, 5), (1, 2, 3), (0, 1), (1, 4, 6), (3, 5)))
    chosen = rng.permutation(len(grid))[: len(grid) // 2]
    names = ("block0_e", "block0_k", "block0_l", "block0_se", "block1_e", "block1_k")
    lines = []
    for at in [chosen[0], *chosen]:
        code = grid[at]
        work = float(np.prod(code[:3]) + np.prod(code[4:]))
        line = dict(zip(names, code, strict=True))
        figures = {
            "val_top1": 70 - 60 / (2 + work) + rng.random(),
            "macs_m": work,
            "params_m": work / 7,
            "throughput_a100": 9000 / work,
            "latency_vck190": 1 + work / 9,
            "file": "x.json",
            "split": "train",
        }
        lines.append({**line, **figures})
    lines[-1]["throughput_a100"] = ""
    return write_csv(path, lines)


def write_csv(path: Path, lines: list[dict[str, object]]) -> Path:
    """The lines as a compressed file with a heading."""
    with gzip.open(path, "wt", newline="") as file:
        writer = csv.DictWriter(file, list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)
    return path


Writer = Callable[[Path, np.random.Generator], Path]
FORMATS: dict[str, tuple[str, Writer, tuple[str, ...]]] = {
    "macro": ("any.json", write_macro, ("error", "macs")),
    "cells": ("any.csv.gz", write_cells, ("error", "latency_ms", "energy_mj")),
    "blocks": ("any.csv.gz", write_blocks, ("error", "throughput_a100", "latency_vck190")),
}


def table_of(kind: str, folder: Path) -> Table:
    """The table of a freshly written file."""
    name, write, objectives = FORMATS[kind]
    return read_table(write(folder / name, np.random.default_rng(0))).table(objectives)


def test_figures_of_nas_bench_macro(tmp_path: Path) -> None:
    table = table_of("macro", tmp_path)
    place = table.space.find(np.array([[2, 1, 1, 0, 2, 0, 0, 0]], dtype=np.int16))[0][0]
    assert table.figures["error"][place] == pytest.approx(1 - (90 - 20 / 7) / 100)
    assert table.figures["macs"][place] == 7e6
    assert table.known == ("macs", "params")


def test_twins_of_nas_bench_macro_are_one_row(tmp_path: Path) -> None:
    space = table_of("macro", tmp_path).space
    twins = np.array([[0, 1, 2, 1, 0, 0, 0, 0], [0, 1, 2, 0, 1, 0, 0, 0], [0, 1, 2, 1, 1, 0, 0, 0]], dtype=np.int16)
    places, exact = space.find(twins)
    assert exact.all()
    assert places[0] == places[1] != places[2]
    assert len(space.all_rows) == 9 * 3 * (1 + 2 + 4)


def test_figures_of_cells(tmp_path: Path) -> None:
    table = table_of("cells", tmp_path)
    operators = table.space.slots[0].options
    cell = ["nor_conv_3x3", "nor_conv_3x3", "nor_conv_1x1", "none", "avg_pool_3x3", "nor_conv_1x1"]
    row = np.array([[operators.index(operator) for operator in cell]], dtype=np.int16)
    (place,), (exact,) = table.space.find(row)
    assert exact
    assert table.figures["latency_ms"][place] == pytest.approx(1 + 0.1 * (9 + 4 + 16))
    assert table.domain(("error",)).score(row)["cell_macs"][0] == (9 + 9 + 1 + 1) * 15 * 16**2 * 32**2


def test_convolutions_that_lead_nowhere_cost_nothing() -> None:
    behind_nothing, before_nothing = "nor_conv_3x3", "nor_conv_3x3"
    cell = (before_nothing, "none", "none", "nor_conv_1x1", "none", behind_nothing)
    assert cell_macs(cell) == 15 * 16**2 * 32**2


def test_throughputs_are_to_be_made_large_and_repeats_are_averaged(tmp_path: Path) -> None:
    path = write_blocks(tmp_path / "any.csv.gz", np.random.default_rng(0))
    lines = list(csv.DictReader(gzip.decompress(path.read_bytes()).decode().splitlines()))
    table = read_table(path).table(("error", "throughput_a100"))
    assert len(table.space.all_rows) == len(lines) - 2
    options = [slot.options for slot in table.space.slots]
    names = [slot.name for slot in table.space.slots]
    code = [values.index(int(lines[0][name])) for name, values in zip(names, options, strict=True)]
    place = table.space.find(np.array([code], dtype=np.int16))[0][0]
    assert table.figures["throughput_a100"][place] == -float(lines[0]["throughput_a100"])
    both = [float(line["val_top1"]) for line in lines[:2]]
    assert table.figures["error"][place] == pytest.approx(1 - np.mean(both) / 100)


def test_networks_without_a_figure_count_where_it_is_not_asked_for(tmp_path: Path) -> None:
    measured = read_table(write_blocks(tmp_path / "any.csv.gz", np.random.default_rng(0)))
    sizes = [len(measured.table(objectives).space.all_rows) for objectives in (("error",), ("throughput_a100",))]
    assert sizes[0] == sizes[1] + 1


@pytest.mark.parametrize("kind", FORMATS)
def test_the_space_is_closed_over_the_rows_of_the_table(kind: str, tmp_path: Path) -> None:
    space = table_of(kind, tmp_path).space
    counts = [len(slot.options) for slot in space.slots]
    codes = np.random.default_rng(1).integers(counts, size=(3000, len(counts))).astype(np.int16)
    repaired = space.repair(codes)
    rows = set(map(tuple, space.all_rows.tolist()))
    assert set(map(tuple, repaired.tolist())) <= rows
    assert space.repair(repaired).tolist() == repaired.tolist()
    assert space.repair(space.all_rows).tolist() == space.all_rows.tolist()
    assert set(map(tuple, space.sample(np.random.default_rng(2), 50).tolist())) <= rows


def test_codes_that_are_not_in_the_table_stand_for_the_nearest_row() -> None:
    slots = (TableSlot("kind", ("a", "b", "c")), TableSlot("size", (1, 2, 4, 8)), TableSlot("depth", (1, 2, 3)))
    rng = np.random.default_rng(0)
    grid = np.array(list(itertools.product(range(3), range(4), range(3))), dtype=np.int16)
    order = rng.permutation(len(grid))
    rows, others = grid[np.sort(order[:9])], grid[order[9:]]
    space = TableSpace(slots, rows, rows[:0], np.empty(0, dtype=np.int64))

    def apart(code: np.ndarray) -> list[tuple[int, int, int]]:
        return [(int((code != row).sum()), int(np.abs(code - row)[1:].sum()), at) for at, row in enumerate(rows)]

    expected = [min(apart(code))[2] for code in others]
    places, exact = space.find(others)
    assert places.tolist() == expected
    assert not exact.any()
    architecture = space.decode(rows[0])
    assert architecture.values == {slot.name: slot.options[i] for slot, i in zip(slots, rows[0], strict=True)}


def test_unknown_objectives_and_files_are_refused(tmp_path: Path) -> None:
    path = write_blocks(tmp_path / "any.csv.gz", np.random.default_rng(0))
    with pytest.raises(NasError, match="did you mean 'throughput_a100'"):
        read_table(path).table(("error", "throughput_a10"))
    other = tmp_path / "other.csv"
    other.write_text("a,b\n1,2\n")
    with pytest.raises(NasError, match="no table of a known format"):
        read_table(other)
    other.write_text('{"x": 1}')
    with pytest.raises(NasError, match="the keys are not codes"):
        read_table(other)
    with pytest.raises(NasError, match="cannot be read"):
        read_table(tmp_path / "absent.json")


def test_the_published_tables_have_their_published_sizes(data_folder: Path) -> None:
    macro = read_table(data_folder / "nas-bench-macro_cifar10.json")
    assert len(macro.codes) == 6561
    assert len(macro.table(("error", "macs")).space.all_rows) == 3969
    pi = read_table(data_folder / "nb201_pi5_onnx_cifar100_lat_energy_acc.csv.gz")
    assert len(pi.table(("error", "latency_ms", "energy_mj")).space.all_rows) == 6466
    accel = read_table(data_folder / "accel_nasbench_trainval.csv.gz")
    assert len(accel.table(("error", "throughput_a100", "latency_vck190")).space.all_rows) == 4614


def test_published_twins_are_alike(data_folder: Path) -> None:
    macro = read_table(data_folder / "nas-bench-macro_cifar10.json")
    table = macro.table(("error", "macs", "params"))
    places, exact = table.space.find(macro.codes)
    assert exact.all()
    for name, column in table.figures.items():
        np.testing.assert_allclose(column[places], macro.figures[name], rtol=1e-12)
