"""The script that measures a bundle elsewhere: here it runs on this machine, as it would there."""

import csv
import json
import shutil
import sys
from pathlib import Path

import onnx
import onnxruntime
import pytest

from nas.runtimes.measure import COLUMNS, Results, Worker, optimised_nodes
from nas.runtimes.onnx_graph import network_to_onnx
from nas.runtimes.profiled import node_names
from search_spaces.catalog.mobile import mobile
from tests.nas.runtimes.conftest import NETWORKS, run_script

IDENTITY = {"bundle": "b", "processor": "p", "threads": "1"}


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_every_network_has_figures_and_nodes(results: Path) -> None:
    rows = rows_of(results)
    assert {row["network"] for row in rows} == {f"{i:04d}" for i in range(NETWORKS)}
    for row in rows:
        assert tuple(row) == COLUMNS
        assert 0 < float(row["low_ms"]) <= float(row["latency_ms"]) <= float(row["high_ms"])
        nodes = json.loads(row["nodes"])
        assert sum(ms for *_, ms in nodes) > 0
        assert row["software"] == f"onnxruntime {onnxruntime.__version__}"
        assert (row["threads"], row["error"]) == ("1", "")
        assert row["processor"]


@pytest.fixture
def small(bundle_folder: Path, tmp_path: Path) -> Path:
    """A copy of the bundle that names its first four networks only."""
    folder = tmp_path / "bundle"
    shutil.copytree(bundle_folder, folder, ignore=shutil.ignore_patterns("*.csv"))
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["networks"] = manifest["networks"][:4]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_a_stopped_run_goes_on_and_a_cut_line_is_dropped(small: Path, results: Path) -> None:
    lines = results.read_text().splitlines(keepends=True)
    part = small / "part.csv"
    header, first = lines[0].rstrip("\n") + ",energy_mj\n", lines[1].rstrip("\n") + ",2.5\n"
    part.write_text(header + first + lines[2][:40])
    done = run_script(small, "--output", "part.csv")
    assert done.returncode == 0
    assert "4 networks, 3 left to measure" in done.stdout
    assert part.read_text().startswith(header + first)
    rows = rows_of(part)
    assert len({row["network"] for row in rows}) == 4
    assert [row["energy_mj"] for row in rows][:2] == ["2.5", ""]


def test_other_settings_and_other_files_are_refused(bundle_folder: Path, results: Path) -> None:
    done = run_script(bundle_folder, "--threads", "2")
    assert done.returncode == 1
    assert "was measured with threads '1', now it is '2': name another file with --output" in done.stderr
    (bundle_folder / "notes.csv").write_text("day,weather\n1,fine\n")
    done = run_script(bundle_folder, "--output", "notes.csv")
    assert "notes.csv holds something else" in done.stderr
    assert (bundle_folder / "notes.csv").read_text() == "day,weather\n1,fine\n"
    assert "--threads must be at least 1" in run_script(bundle_folder, "--threads", "0").stderr


def test_a_network_that_cannot_run_costs_its_own_row(small: Path) -> None:
    (small / "networks" / "0001.onnx").write_bytes(b"no model")
    done = run_script(small)
    assert done.returncode == 0
    assert "3 of 4 networks measured" in done.stdout
    assert "network 0001 failed: " in done.stdout
    rows = {row["network"]: row for row in rows_of(small / "results.csv")}
    assert rows["0001"]["error"]
    assert rows["0001"]["latency_ms"] == ""
    assert float(rows["0002"]["latency_ms"]) > 0


def test_a_bundle_that_cannot_run_says_so(small: Path) -> None:
    (small / "networks" / "reference.onnx").write_bytes(b"no model")
    done = run_script(small)
    assert "the reference network does not run here" in done.stderr
    assert "1.18 or newer is needed" in done.stderr
    (small / "networks" / "0002.onnx").unlink()
    assert "1 networks are missing, first networks/0002.onnx; copy the bundle again" in run_script(small).stderr
    (small / "manifest.json").write_text("{")
    assert "manifest.json cannot be read" in run_script(small).stderr


def test_a_runtime_that_crashes_is_started_again(tmp_path: Path) -> None:
    dying = (
        "import json, os, sys\nprint(json.dumps({}), flush=True)\nfor line in sys.stdin:\n"
        "    os.abort() if 'bad' in line else print(json.dumps({'latency_ms': 1.5}), flush=True)\n"
    )
    worker = Worker([sys.executable, "-c", dying])
    results = Results(tmp_path / "results.csv", IDENTITY)
    names = ["0000", "0001", "0002"]
    worker.measure(names, {"0000": "good", "0001": "bad", "0002": "good"}, results)
    worker.end()
    rows = rows_of(tmp_path / "results.csv")
    assert [row["network"] for row in rows] == names
    assert [row["error"] for row in rows] == ["", "the runtime crashed: SIGABRT", ""]
    assert [row["latency_ms"] for row in rows] == ["1.5", "", "1.5"]
    assert results.failed("0001")
    assert not results.failed("0002")


def test_what_was_measured_on_a_busy_device_is_measured_again(tmp_path: Path) -> None:
    results = Results(tmp_path / "results.csv", IDENTITY)
    for i in range(20):
        slow = 1.5 if i in (3, 7) else 1.0
        results.append(f"{i:04d}", {"quiet_share": 0.0 if i == 9 else 1.0, **figures(0.05 * slow)})
    results.append("0010", {"error": "the runtime crashed"})
    assert results.disturbed() == ["0003", "0007", "0009"]
    results.append("0003", {"quiet_share": 1.0, **figures(0.05)})
    results.append("0007", {"quiet_share": 1.0, **figures(0.08)})
    assert results.disturbed() == ["0007", "0009"]
    results.append("0007", {"quiet_share": 1.0, **figures(0.08)})
    assert results.disturbed() == ["0009"]
    assert Results(tmp_path / "results.csv", IDENTITY).disturbed() == ["0009"]


def figures(reference_ms: float) -> dict[str, object]:
    return {"latency_ms": 1.0, "kernels_quiet_share": 1.0, "reference_ms": reference_ms}


@pytest.mark.parametrize("act", ["relu", "silu"])
def test_the_optimised_file_is_read_as_onnx_reads_it(act: str, tmp_path: Path) -> None:
    space = mobile((3, 32, 32), 10, act=act, se_ratio=0.25)
    network = space.build(space.repair({}))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(network_to_onnx(network), options, providers=["CPUExecutionProvider"])
    found = optimised_nodes((tmp_path / "optimised.onnx").read_bytes())
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    writer = {output: i for i, node in enumerate(graph.node) for output in node.output}
    assert found == [
        [node.name, node.op_type, [writer.get(source, -1) for source in node.input], list(node.output)]
        for node in graph.node
    ]


def test_nodes_without_a_name_take_the_profilers() -> None:
    events = [{"cat": "Node", "name": f"{name}_kernel_time", "dur": 1} for name in ("a", "made_up", "b", "a")]
    assert node_names(["a", "", "b"], events) == ["a", "made_up", "b"]
    assert node_names(["a", "", "c"], events) == ["a", "", "c"]
    assert node_names(["a", "", "b"], events[:2]) == ["a", "", "b"]
