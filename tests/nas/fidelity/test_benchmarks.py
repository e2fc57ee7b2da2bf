"""The benchmarks of rank fidelity: which networks they draw, what they print, how they go on."""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import kendalltau

from benchmarks import fidelity as on_images
from benchmarks import nas_bench_macro_fidelity as macro
from benchmarks.supernets import opened
from benchmarks.table_files import read_table
from nas.fidelity.judging import judge
from nas.fidelity.result import JudgedNetwork
from search_spaces.catalog import nas_bench_macro
from search_spaces.catalog.nas_bench_macro import from_code
from search_spaces.errors import NasError
from tests.nas.fidelity.worlds import recipe


def printed(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    return {line["figure"]: line for line in lines}


def test_the_published_networks_are_drawn_by_seed_and_distinct(data_folder: Path) -> None:
    table = read_table(data_folder / macro.TABLE).table(["error"])
    drawn = macro.drawn(table, 40, 0)
    assert drawn == macro.drawn(table, 40, 0)
    assert drawn.keys() != macro.drawn(table, 40, 1).keys()
    published = json.loads((data_folder / macro.TABLE).read_text())
    assert drawn == pytest.approx({code: 1 - published[code]["mean_acc"] / 100 for code in drawn})
    space = nas_bench_macro((3, 32, 32), 10)
    assert len({space.build(from_code(code)).fingerprint for code in drawn}) == 40
    with pytest.raises(NasError, match="4000 networks were asked for; the table has 3969 distinct ones"):
        macro.drawn(table, 4000, 0)


def test_missing_files_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("NAS_DATA", raising=False)
    with pytest.raises(NasError, match="give --table FILE, or set NAS_DATA"):
        macro.main(["--data", "digits"])
    with pytest.raises(NasError, match="give --data FILE, or set NAS_DATA"):
        on_images.main(["--folder", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_all_figures_are_told(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(0)
    alone = rng.uniform(0.1, 0.4, 12)
    inherited = alone + 0.1 + rng.normal(0, 0.02, 12)
    macs = rng.uniform(1e6, 2e6, 12)
    networks = [
        JudgedNetwork(
            id=f"{i}",
            fingerprint=f"{i}",
            picks={"kernel": i},
            macs=macs[i],
            params=1.0,
            in_band=i % 2 == 0,
            inherited_error=inherited[i],
            alone_error=alone[i],
            tuned_error=alone[i] + 0.05 if i < 4 else None,
            scores={"macs": macs[i]},
        )
        for i in range(12)
    ]
    found = judge(networks, planned=12, epochs=2, tuned_epochs=1, band=(1e6, 1.3e6), seed=0)
    on_images.print_figures(found, {"rule": "sandwich"})
    lines = printed(capsys)
    assert set(lines) == {"kendall_tau", "kendall_tau_in_band", "ahead_of_macs", "gap_closed"}
    tau = kendalltau(inherited, alone).statistic
    by_macs = kendalltau(-macs, alone).statistic
    assert lines["kendall_tau"]["value"] == pytest.approx(tau, abs=1e-5)
    assert lines["kendall_tau"]["baseline"]["macs"] == pytest.approx(by_macs, abs=1e-5)
    assert lines["ahead_of_macs"]["value"] == pytest.approx(tau - by_macs, abs=1e-5)
    inside = slice(0, None, 2)
    assert lines["kendall_tau_in_band"]["value"] == pytest.approx(
        kendalltau(inherited[inside], alone[inside]).statistic, abs=1e-5
    )
    closed = (inherited[:4] - alone[:4] - 0.05).mean() / (inherited[:4] - alone[:4]).mean()
    assert lines["gap_closed"]["value"] == pytest.approx(closed, abs=1e-5)
    assert lines["kendall_tau"]["where"]["low"] < tau < lines["kendall_tau"]["where"]["high"]


def test_a_folder_is_gone_on_with_only_by_the_same_options(tmp_path: Path) -> None:
    opened(tmp_path / "run", recipe())
    assert opened(tmp_path / "run", recipe()).recipe == recipe()
    other = recipe().model_copy(update={"name": "other"})
    with pytest.raises(NasError, match="was made with other options"):
        opened(tmp_path / "run", other)


def test_the_sandwich_sets_the_epochs(tmp_path: Path) -> None:
    given = argparse.Namespace(folder=tmp_path, epochs=7)
    assert on_images.epochs_of("sandwich", given) == 7
    assert list(tmp_path.iterdir()) == []
