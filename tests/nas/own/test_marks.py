"""The user's own network beside a run: counted like it, measured like it, and on the same plot."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from nas import open_run
from nas.cli import main
from nas.own.marks import Asked, own_marks
from nas.reporting import report_data
from nas.runtimes.machine import machine_fingerprint
from search_spaces import Architecture, NasError
from search_spaces.catalog import mobile
from tests.nas.small_runs import make_run
from tests.predictors.synthetic import measured, synthetic_target

NET = """
from torch import nn

def plain():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 64, 10))

def strange():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.PReLU(), nn.Flatten(), nn.Linear(4 * 36, 10))

class Parallel(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.norm = nn.Conv2d(1, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.two, self.other = nn.Conv2d(1, 4, 1, bias=False), nn.BatchNorm2d(4)

    def forward(self, x):
        return (self.norm(self.one(x)) + self.other(self.two(x))).flatten(1)
"""


@pytest.fixture(scope="module")
def timed_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run about latency on this machine, from a target that was not measured just now."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "net.py").write_text(NET)
    rows = measured(mobile((3, 32, 32), 10), 40, np.random.default_rng(0), noise=0.01)
    replace(synthetic_target(rows), machine=machine_fingerprint()).save(folder / "desk.json")
    settings = ('search.objectives=["latency_ms", "macs"]', "target.name=desk.json", "search.evaluations=4")
    return make_run(folder, "timed", *settings)


@pytest.fixture
def _there(timed_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(timed_run.parent.parent)


def test_an_export_of_the_run_has_the_figures_of_its_architecture(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(finished_run.parent.parent)
    run = open_run(finished_run)
    (folder,) = (finished_run / "exports").iterdir()
    entry = next(entry for entry in run.front if entry["id"] == folder.name)
    (mark,) = own_marks(run, [Asked(str(folder))])
    counted = {name for name, kind in entry["provenance"].items() if kind == "counted"}
    assert counted >= {"macs", "params", "weight_bytes", "peak_memory_bytes"}
    assert {name: mark.values[name] for name in counted} == {name: entry["values"][name] for name in counted}
    assert mark.detail is not None
    assert sum(row.macs for row in mark.detail.operators) == entry["values"]["macs"]
    assert len(mark.detail.blocks) > 1


@pytest.mark.usefixtures("_there")
def test_latency_is_measured_where_the_target_is_this_machine() -> None:
    run = open_run("timed")
    plain, strange = own_marks(run, [Asked("net.py:plain"), Asked("net.py:strange")])
    for mark in (plain, strange):
        assert mark.provenance["latency_ms"] == "measured"
        assert (mark.values["latency_ms"] or 0) > 0
    assert plain.values["macs"] == 4 * 9 * 64 + 4 * 64 * 10
    assert "knows no prelu" in strange.words
    assert "knows no" not in plain.words


@pytest.mark.usefixtures("_there")
def test_the_report_draws_it_beside_the_front() -> None:
    run = open_run("timed")
    data = report_data(run, own=[Asked("net.py:plain")], whole=False)
    assert [mark.name for mark in data.marks] == ["plain"]
    assert set(data.objectives) <= data.marks[0].values.keys()


@pytest.mark.usefixtures("_there")
def test_explain_shows_its_operators(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "timed", "--own", "net.py:plain"]) == 0
    said = capsys.readouterr().out
    assert "input 1×8×8" in said
    assert "conv 3×3" in said
    assert main(["explain", "timed", "--own", "net.py:plain", "--own-input", "1,9,9"]) == 2
    assert "fails on an input of shape 1,9,9" in capsys.readouterr().err
    assert main(["explain", "timed", "--own", "net.py:plain", "--own-input", "large"]) == 2
    assert "--own-input 'large' must look like channels,height,width" in capsys.readouterr().err
    assert main(["explain", "timed"]) == 2
    assert "name an architecture" in capsys.readouterr().err


def test_without_a_target_nothing_is_measured(copied_run: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    mark, parallel = own_marks(
        open_run(copied_run("small")), [Asked("net.py:plain", (1, 8, 8)), Asked("net.py:Parallel", (1, 8, 8))]
    )
    assert parallel.values["macs"] == (9 + 1) * 4 * 64
    assert "latency_ms" not in mark.values
    assert "missing_context" not in mark.values
    with pytest.raises(NasError, match="there is no file"):
        own_marks(open_run("small"), [Asked("other.py:plain")])


def test_the_input_is_that_of_the_runs_networks(copied_run: Callable[[str], Path], tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    run = open_run(copied_run("small"))
    (mark,) = own_marks(run, [Asked("net.py:plain")])
    shape = run.network(Architecture.of(run.front[0]["picks"])).input.shape
    assert f"input {'×'.join(map(str, shape))}" in mark.words
