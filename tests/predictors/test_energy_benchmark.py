"""The energy benchmark on a synthetic device, and on files that are none."""

import gzip
import json
from itertools import islice, product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cells import EDGES, OPERATORS, network_of, read_cells
from benchmarks.energy import main, scatter
from predictors.counts import count_network
from search_spaces.errors import NasError

COSTS = np.array([0.1, 0.2, 1.0, 4.0, 0.6])
NOISE = 0.03
HEAD = "arch_idx,ArchitectureString,energy_mj,lat_ms_median"


def cell(edges: tuple[int, ...]) -> str:
    parts = [f"{OPERATORS[operator]}~{edge[0]}" for operator, edge in zip(edges, EDGES, strict=True)]
    return f"|{parts[0]}|+|{parts[1]}|{parts[2]}|+|{parts[3]}|{parts[4]}|{parts[5]}|"


def rows() -> list[str]:
    """Every thirteenth cell, and all without an edge between the inner nodes that have only two operators."""
    rng = np.random.default_rng(0)
    chosen = set(islice(product(range(5), repeat=6), 0, None, 13))
    chosen |= {(a, b, 0, c, d, e) for a, b, c, d, e in product((2, 3), repeat=5)}
    found = []
    for i, edges in enumerate(sorted(chosen)):
        energy = (2 + COSTS[list(edges)].sum()) * np.exp(NOISE * rng.standard_normal())
        found.append(f"{i},{cell(edges)},{energy},{energy / 1.4}")
    return found


@pytest.fixture
def measured(tmp_path: Path) -> Path:
    path = tmp_path / "cells.csv.gz"
    path.write_bytes(gzip.compress("\n".join([HEAD, *rows()]).encode()))
    return path


def test_the_law_is_found_down_to_the_noise(measured: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--data", str(measured), "--fitted", "60", "--tested", "40", "--seeds", "2"])
    *lines, additive = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == 2 * ["mape", "within_10_percent", "coverage"]
    assert [line["where"]["quantity"] for line in lines] == 3 * ["energy_mj"] + 3 * ["latency_ms"]
    assert (additive["figure"], additive["where"]["trained_on"]) == ("additive_mape", 60)
    floor = NOISE * np.sqrt(2 / np.pi)
    assert floor < lines[0]["value"] < 1.5 * floor < lines[0]["baseline"]["boosting"]
    assert lines[0]["where"]["scatter_of_twins"] == pytest.approx(floor, rel=0.5)


def test_a_network_holds_what_lies_between_input_and_output() -> None:
    assert network_of((0, 0, 1, 0, 1, 1)) is None
    assert network_of((1, 1, 1, 0, 0, 0)) is None
    plain, dead = network_of((0, 0, 0, 3, 0, 0)), network_of((0, 2, 3, 3, 3, 0))
    assert plain is not None
    assert dead is not None
    assert plain.fingerprint == dead.fingerprint


def test_the_largest_network_is_as_large_as_published() -> None:
    largest = network_of((3,) * 6)
    assert largest is not None
    total = count_network(largest).total
    assert total["params"] == 1_531_546 + 90 * 65  # NATS-Bench's for ten classes, and ninety more
    assert total["macs"] == pytest.approx(220.12e6, rel=1e-4)


def test_twins_are_mirrored_cells(measured: Path) -> None:
    cells = read_cells(measured)
    assert cells.edges.shape[1] == 6
    assert cells.amounts[0].shape[1] == 4
    for i, j in cells.twins:
        first, second = cells.edges[i], cells.edges[j]
        assert first[2] == second[2] == 0
        assert first[[0, 1, 3, 4, 5]].tolist() == second[[1, 0, 3, 5, 4]].tolist()
    assert scatter(cells, "energy_mj") is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a,b\n1,2", "lacks the columns ArchitectureString, energy_mj, lat_ms_median"),
        ("", "lacks the columns"),
        (f"{HEAD}\n0,|conv~0|,1,1", r"line 2: '\|conv~0\|' is not a cell of NAS-Bench-201"),
        (f"{HEAD}\n0,{cell((1,) * 6)},fast,1", "line 2, energy_mj: 'fast' is not a number above 0"),
        (f"{HEAD}\n0,{cell((1,) * 6)},-1,1", "'-1' is not a number above 0"),
        (f"{HEAD}\n0,{cell((1,) * 6)},nan,1", "'nan' is not a number above 0"),
    ],
)
def test_wrong_files_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "wrong.csv"
    path.write_text(text)
    with pytest.raises(NasError, match=said):
        read_cells(path)


def test_a_missing_file_ends_with_a_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.csv.gz").write_text("not compressed")
    for name in ("missing.csv", "no.csv.gz"):
        with pytest.raises(SystemExit):
            main(["--data", str(tmp_path / name)])
        assert "cannot be read as a CSV file" in capsys.readouterr().err


def test_the_published_cells_are_read(data_folder: Path) -> None:
    cells = read_cells(data_folder / "nb201_pi5_onnx_cifar100_lat_energy_acc.csv.gz")
    assert cells.edges.shape == (6466, 6)
    found = scatter(cells, "energy_mj")
    assert found is not None
    assert 0.02 < found < 0.04
