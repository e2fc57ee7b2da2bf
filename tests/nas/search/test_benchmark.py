"""The search benchmark on tiny tables of each format, and that the default proposer is as good as it is said to be."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.baselines import BASELINES
from benchmarks.search import main
from benchmarks.searches import growth, repeat, trace_baseline, trace_proposer
from benchmarks.table_files import read_table
from nas.search.gain import hypervolume
from nas.search.proposers import DEFAULT, PROPOSERS
from tests.nas.search.test_tables import FORMATS, table_of


def printed(capsys: pytest.CaptureFixture[str]) -> list[dict]:
    """The figures on standard output."""
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize("kind", FORMATS)
def test_it_prints_every_figure_of_every_format(kind: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, write, objectives = FORMATS[kind]
    path = write(tmp_path / name, np.random.default_rng(0))
    arguments = ["--table", str(path), "--objectives", ",".join(objectives), "--evaluations", "30", "--seeds", "2"]
    main([*arguments, "--proposers", "default,nsga3,optuna-nsga2"])
    lines = printed(capsys)
    shown = list(dict.fromkeys(line["where"]["proposer"] for line in lines))
    assert shown == ["random", "optuna-nsga2", "default", "nsga3"]
    for proposer in shown:
        own = [line for line in lines if line["where"]["proposer"] == proposer]
        fractions = [line for line in own if line["figure"] == "hypervolume_fraction"]
        assert [line["where"]["evaluations"] for line in fractions] == [25, 30]
        for line in fractions:
            assert 0 < line["where"]["lowest"] <= line["value"] <= line["where"]["highest"] <= 1
        others = {line["figure"]: line for line in own}
        assert others["proposal_seconds"]["value"] > 0
        if proposer in ("default", "nsga3", "random"):
            assert others["duplicates"]["value"] == others["invalid"]["value"] == 0
            assert others["duplicates"]["where"]["asked"] == 60
    assert any(line["figure"] == "evaluations_to_match" for line in lines)


@pytest.mark.parametrize("name", sorted(PROPOSERS.keys() - {"gp"}))
def test_proposers_waste_nothing_and_find_all_there_is(name: str, tmp_path: Path) -> None:
    table = table_of("cells", tmp_path)
    rows = len(table.space.all_rows)
    trace = trace_proposer(table, ("error", "latency_ms"), name, count=rows + 5, lag=3)
    assert sorted(trace.places) == list(range(rows))
    assert (trace.duplicates, trace.invalid, trace.asked) == (0, 0, rows)


@pytest.mark.parametrize("name", BASELINES)
def test_baselines_get_their_number_of_distinct_evaluations(name: str, tmp_path: Path) -> None:
    if name.startswith("pymoo"):
        pytest.importorskip("pymoo")
    table = table_of("blocks", tmp_path)
    objectives = ("error", "throughput_a100", "latency_vck190")
    trace = trace_baseline(table, objectives, name, count=20, seed=1)
    assert len(trace.places) == len(set(trace.places)) == 20
    assert trace.asked >= 20 + trace.duplicates
    assert trace.invalid > 0
    again = trace_baseline(table, objectives, name, count=20, seed=1)
    assert again.places == trace.places


def test_growth_is_the_hypervolume_of_what_came_first() -> None:
    values = np.random.default_rng(0).random((40, 3))
    reference = np.ones(3)
    expected = [hypervolume(values[: n + 1], reference) for n in range(40)]
    np.testing.assert_allclose(growth(values, reference), expected, atol=1e-12)


def test_all_rows_are_the_whole_hypervolume(tmp_path: Path) -> None:
    table = table_of("macro", tmp_path)
    searched = repeat(table, ("error", "macs"), "exhaustive", count=500, seeds=1)
    assert searched.after(500) == pytest.approx([1.0])
    assert searched.first_at(1.0 - 1e-12) == int(np.argmax(searched.curves[0] >= 1.0 - 1e-12)) + 1
    assert searched.first_at(1.1) is None


def test_a_search_that_takes_too_long_is_not_reported_beyond_its_end(tmp_path: Path) -> None:
    table = table_of("macro", tmp_path)
    searched = repeat(table, ("error", "macs"), "random", count=50, seeds=1, most_seconds=1e-9)
    assert searched.after(50) is None


def test_mistakes_are_told_without_a_traceback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name, write, _ = FORMATS["macro"]
    path = str(write(tmp_path / name, np.random.default_rng(0)))
    for arguments, said in (
        (["--table", path, "--proposers", "nsga4"], "unknown proposer 'nsga4'"),
        (["--table", path, "--objectives", "error,flops"], "unknown figure of this table 'flops'"),
        (["--table", str(tmp_path / "absent.json")], "cannot be read"),
    ):
        with pytest.raises(SystemExit) as stopped:
            main(arguments)
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err


def test_the_default_proposer_needs_few_evaluations(data_folder: Path) -> None:
    table = read_table(data_folder / "nas-bench-macro_cifar10.json").table(("error", "macs"))
    found = repeat(table, ("error", "macs"), DEFAULT, count=50, seeds=1)
    (after_25,), (after_50,) = found.after(25), found.after(50)  # type: ignore[misc]
    assert after_25 > 0.97
    assert after_50 > 0.99
    assert found.duplicates == found.invalid == 0
