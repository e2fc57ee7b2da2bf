"""The benchmark on published measurements, and that the default proposer is as good as it is said to be."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.search import main, measure
from benchmarks.tables import Table, read_table
from search_spaces.errors import NasError


@pytest.fixture(scope="module")
def macro(data_folder: Path) -> Table:
    return read_table(data_folder / "nas-bench-macro_cifar10.json")


def test_the_table_has_its_published_size_and_twins_are_alike(macro: Table) -> None:
    assert len(macro.rows) == 6561
    assert len(set(macro.network.tolist())) == 3969
    order = np.argsort(macro.network, kind="stable")
    twins = macro.network[order][1:] == macro.network[order][:-1]
    for column in macro.figures.values():
        assert (np.abs(np.diff(column[order]))[twins] < 1e-12).all()


def test_the_default_proposer_needs_few_evaluations(macro: Table) -> None:
    found, seconds = measure(macro, ("error", "macs"), "surrogate", count=50, lag=0, seeds=2)
    assert min(found[25]) > 0.97
    assert min(found[50]) > 0.99
    assert seconds < 1.0


def test_it_prints_one_line_per_figure(data_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = data_folder / "nas-bench-macro_cifar10.json"
    main(["--table", str(path), "--evaluations", "25", "--seeds", "2", "--proposers", "random,nsga2"])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["figure"] for line in lines] == ["hypervolume_fraction", "hypervolume_fraction", "proposal_seconds"]
    assert lines[0]["value"] == lines[0]["baseline"]["random"]
    assert lines[0]["where"]["lowest"] <= lines[0]["value"] <= lines[0]["where"]["highest"] < 1


def test_an_unknown_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NasError, match=r"unknown table 'other\.json'"):
        read_table(tmp_path / "other.json")
