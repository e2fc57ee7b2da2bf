"""A run whose driver is killed, in training and in search, ends at the same front as one left alone."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

RECIPE = """
[space]
name = "mobile"
options = {widths = [[8, 16]], depths = [[1, 2]], strides = [2], kernels = [3, 5], resolutions = [8]}
[task]
data = "digits"
limit = 400
[target]
name = "jetson_nano"
[supernet]
epochs = 6
batch_size = 64
precision = "fp32"
[search]
objectives = ["error", "latency_ms"]
evaluations = 14
random_evaluations = 4
workers = 1
[export]
top = 0
"""


def start(folder: Path, name: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "nas", "run", "recipe.toml", "--name", name, "--resume"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def finish(folder: Path, name: str) -> None:
    process = start(folder, name)
    _, said = process.communicate(timeout=300)
    assert process.returncode == 0, said.decode()


def kill_when(folder: Path, name: str, reached: Callable[[], bool]) -> None:
    """Kill the driver as soon as `reached()`; it must not have ended before."""
    process = start(folder, name)
    end = time.monotonic() + 200
    while not reached():
        assert process.poll() is None, process.communicate()[1].decode()
        assert time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def front(folder: Path, name: str) -> list[tuple[str, float, float]]:
    entries = json.loads((folder / "runs" / name / "searches/search/front.json").read_text())["architectures"]
    return [(entry["id"], entry["values"]["error"], entry["test_error"]) for entry in entries]


def recorded_bytes(path: Path) -> int:
    """Bytes of the study's files, which grow with every trial."""
    return sum(file.stat().st_size for file in path.glob("study.db*"))


def test_a_killed_run_reaches_the_same_front(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    finish(tmp_path, "whole")
    killed = tmp_path / "runs" / "killed"
    kill_when(tmp_path, "killed", (killed / "supernet" / "checkpoint.safetensors").is_file)
    kill_when(tmp_path, "killed", lambda: recorded_bytes(killed / "searches" / "search") > 200_000)
    finish(tmp_path, "killed")
    assert front(tmp_path, "killed") == front(tmp_path, "whole")
