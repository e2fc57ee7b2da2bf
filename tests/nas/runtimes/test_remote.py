"""Results from other devices: targets made of them, and what is said of files that cannot be."""

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from nas.runtimes.bundle import Bundle, write_bundle
from nas.runtimes.machine import machine_fingerprint
from nas.runtimes.remote import Device, Imported, import_kernels, import_networks
from predictors.kernels import kernels
from predictors.lookup import COLUMNS
from predictors.target import load_target
from search_spaces import NasError
from search_spaces.catalog.mobile import mobile
from tests.nas.runtimes.conftest import NETWORKS, csv_text
from tests.predictors.synthetic import network_ms

PHONE = Device("a phone", "LiteRT 1.2", 4)
Row = dict[str, str]


def imported(path: Path, bundle: Bundle, device: Device | None = None) -> Imported:
    return import_networks(path, bundle, name="remote", device=device or Device())


def changed(results: Path, folder: Path, change: Callable[[list[Row]], object]) -> Path:
    """A copy of the results whose rows went through `change`."""
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    change(rows)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(key for row in rows for key in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    path = folder / "results.csv"
    path.write_text(out.getvalue())
    return path


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle with networks enough to fit on."""
    folder = tmp_path_factory.mktemp("large") / "bundle"
    return write_bundle(folder, [mobile((3, 32, 32), 10)], networks=60, rng=np.random.default_rng(0))


def test_what_the_script_measured_is_a_target(results: Path, bundle: Bundle, tmp_path: Path) -> None:
    found = imported(results, bundle)
    found.target.save(tmp_path / "remote.json")
    target = load_target(tmp_path / "remote.json")
    assert target == found.target
    assert target.machine == machine_fingerprint()
    assert (target.provenance, target.identity.runtime, target.identity.threads) == ("measured", "onnxruntime", 1)
    assert [n.held_out for n in target.networks] == [item.held_out for item in bundle.networks]
    for network, item in zip(target.networks, bundle.networks, strict=True):
        parts = [target.kernels[i] for i in network.kernels]
        assert parts == [kernel.dense for kernel in kernels(item.network)]
        assert all(ms > 0 for kernel, ms in zip(parts, network.kernel_ms, strict=True) if kernel.kind == "conv")
    assert target.slowdown is not None
    assert target.report is not None
    assert target.metered == ()


def test_no_time_of_an_executed_node_is_lost(results: Path, bundle: Bundle) -> None:
    spent: dict[str, list[float]] = {}
    with results.open(newline="") as file:
        for row in csv.DictReader(file):
            spent.setdefault(row["network"], []).append(sum(ms for *_, ms in json.loads(row["nodes"])))
    target = imported(results, bundle).target
    for network, item in zip(target.networks, bundle.networks, strict=True):
        assert any(sum(network.kernel_ms) == pytest.approx(total, abs=1e-5) for total in spent[item.name])


def test_energy_that_a_person_added_is_kept(results: Path, bundle: Bundle, tmp_path: Path) -> None:
    def add(rows: list[Row]) -> None:
        for i, row in enumerate(rows):
            row["energy_mj"] = str(1.0 + int(row["network"])) if i % 2 == 0 else ""

    target = imported(changed(results, tmp_path, add), bundle).target
    assert len(target.metered) >= NETWORKS // 2
    kernels_of = {tuple(kernel.dense for kernel in kernels(i.network)): 1.0 + int(i.name) for i in bundle.networks}
    assert all(kernels_of[row.kernels] == row.energy_mj for row in target.metered)


def test_failed_and_missing_networks_are_told(results: Path, bundle: Bundle, tmp_path: Path) -> None:
    def fail(rows: list[Row]) -> None:
        for row in rows:
            if row["network"] == "0002":
                row.update(latency_ms="", nodes="", error="the runtime crashed: SIGSEGV")
        rows[:] = [row for row in rows if row["network"] != "0006"]

    found = imported(changed(results, tmp_path, fail), bundle)
    assert len(found.target.networks) == NETWORKS - 2
    said = "\n".join(found.notes)
    assert "1 networks failed on the device and are left out; first 0002: the runtime crashed: SIGSEGV" in said
    assert f"{NETWORKS - 2} of the bundle's {NETWORKS} networks were measured" in said


def test_a_busy_device_is_told_and_its_quiet_rows_are_taken(results: Path, bundle: Bundle, tmp_path: Path) -> None:
    def busy(rows: list[Row]) -> None:
        quiet = {row["network"]: row for row in rows}
        for row in quiet.values():
            whole = str(1.05 * sum(ms for *_, ms in json.loads(row["nodes"])))
            row.update(latency_ms=whole, quiet_share="1.0", kernels_quiet_share="1.0", reference_ms="0.05")
        slow = [{**row, "latency_ms": "900.0", "reference_ms": "0.09"} for row in quiet.values()]
        quiet["0001"].update(reference_ms="0.08")
        rows[:] = [*slow[2:], *quiet.values()]

    found = imported(changed(results, tmp_path, busy), bundle)
    assert max(network.latency_ms for network in found.target.networks) < 900
    assert any("1 of 12 networks were measured while the device was busy or hot" in note for note in found.notes)
    assert found.target.slowdown == pytest.approx((0.05 + 0.08) / 2 / 0.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda row: row.update(bundle="0123"), "line 2, column bundle: '0123' is not '.*': .*another bundle"),
        (lambda row: row.update(network="9999"), "line 2, column network: unknown network '9999'"),
        (lambda row: row.update(latency_ms="nan"), "line 2, column latency_ms: 'nan' is not a number above 0"),
        (lambda row: row.update(low_ms="-1"), "line 2, column low_ms: '-1' is not a number above 0"),
        (lambda row: row.update(quiet_share="7"), "line 2, column quiet_share: '7' is not a number from 0 to 1"),
        (lambda row: row.update(nodes="[[1]]"), r"line 2, column nodes: .* is not what measure\.py writes there"),
        (lambda row: row.update(nodes='[["a","Conv",[5],["b"],1]]'), "is not what measure.py writes there"),
        (lambda row: row.update(nodes='[["a","Conv",[-1],["b"],NaN]]'), "is not what measure.py writes there"),
        (
            lambda row: row.update(threads="2"),
            "line 3, column threads: '1' is not the '2' of line 2: rows of different",
        ),
        (lambda row: row.update(energy_mj="-3"), "line 2, column energy_mj: '-3' is not a number above 0"),
    ],
)
def test_rows_that_cannot_be(
    change: Callable[[Row], object], message: str, results: Path, bundle: Bundle, tmp_path: Path
) -> None:
    def apply(rows: list[Row]) -> None:
        for row in rows:
            row.setdefault("energy_mj", "")
        change(rows[0])

    with pytest.raises(NasError, match=message):
        imported(changed(results, tmp_path, apply), bundle)


def test_files_that_are_cut_short_or_in_another_unit(results: Path, bundle: Bundle, tmp_path: Path) -> None:
    text = results.read_text()
    path = tmp_path / "results.csv"
    path.write_text(text[:-30])
    with pytest.raises(NasError, match=r"results\.csv line \d+ is no CSV: .*; the file may be cut short"):
        imported(path, bundle)
    path.write_text(text.replace("latency_ms", "latency_us", 1))
    with pytest.raises(NasError, match="column latency_us is in microseconds; milliseconds are expected"):
        imported(path, bundle)
    path.write_text(text.replace("reference_ms", "beside", 1))
    with pytest.raises(NasError, match="line 1 has no column reference_ms; it has bundle, network"):
        imported(path, bundle)
    path.write_text("\n".join(text.splitlines()[:5]) + "\n")
    with pytest.raises(NasError, match=r"has figures of 4 networks; at least 10 are needed: run measure\.py again"):
        imported(path, bundle)


def test_too_many_failures_are_too_few_networks(results: Path, bundle: Bundle, tmp_path: Path) -> None:
    def fail(rows: list[Row]) -> None:
        for row in rows:
            if int(row["network"]) >= 5:
                row.update(latency_ms="", nodes="", error="the runtime crashed: SIGILL")

    with pytest.raises(NasError, match=r"figures of 5 networks, 7 failed \(first: the runtime crashed: SIGILL\)"):
        imported(changed(results, tmp_path, fail), bundle)


def test_latencies_of_whole_networks_are_enough(large: Bundle, tmp_path: Path) -> None:
    rows = [(item.name, network_ms(kernels(item.network)) * f, 7.5) for item in large.networks for f in (0.99, 1, 1.01)]
    path = tmp_path / "phone.csv"
    path.write_text(csv_text(("network", "latency_ms", "energy_mj"), rows))
    found = imported(path, large, PHONE)
    target = found.target
    identity = target.identity
    assert (identity.device_name, identity.software, identity.threads) == ("a phone", "LiteRT 1.2", 4)
    assert target.machine == {"processor": "a phone"}
    assert {(network.repeats, network.kernel_ms) for network in target.networks} == {(3, ())}
    assert len(target.metered) == 60
    assert any("inferred from whole networks" in note for note in found.notes)
    assert target.report is not None
    assert target.report.kernels == ()
    assert target.report.networks.median_error < target.report.macs_alone.median_error / 2
    target.save(tmp_path / "phone.json")
    again = load_target(tmp_path / "phone.json")
    assert again == target
    assert again.learning is not None


def test_latencies_in_another_unit_are_doubted(large: Bundle, tmp_path: Path) -> None:
    rows = [(item.name, 1e4 * network_ms(kernels(item.network))) for item in large.networks]
    path = tmp_path / "phone.csv"
    path.write_text(csv_text(("network", "latency_ms"), rows))
    assert any("make sure that they are in milliseconds, not microseconds" in n for n in imported(path, large).notes)


def test_a_table_of_kernels_is_a_target(tmp_path: Path) -> None:
    rows = [("conv", 8 * i, 8 * i, 8, 8, 3, 1, 8, 1, 0.01 * i) for i in range(1, 15)]
    path = tmp_path / "table.csv"
    path.write_text(csv_text(COLUMNS, rows))
    found = import_kernels(path, name="table", device=PHONE)
    assert found.target.of_kernels
    assert found.target.identity.device_name == "a phone"
    assert len(found.target.held_out) == 2
