"""Measures the networks of this bundle on this device: python3 measure.py

Needs Python 3.8 or newer, numpy and onnxruntime 1.18 or newer; nothing else. Each network is timed whole and, through
ONNX Runtime's profiler, node by node. A reference network runs in between: while it is slow, the device is busy or
hot, and what was measured then is measured again. Rows go to results.csv as they come, so stop at any moment and run
the same command to go on. Where the device shows the energy of an inference, add a column energy_mj by hand.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Iterator, Sequence

try:
    import numpy as np
    import onnxruntime
except ImportError as error:
    raise SystemExit(f"measure.py: {error}. Install both with: python3 -m pip install numpy onnxruntime") from None

from nas.runtimes.machine import machine_fingerprint
from nas.runtimes.profiled import node_names, profile_session
from nas.runtimes.timing import Reference, disturbance

FIGURES = ("latency_ms", "low_ms", "high_ms", "repeats", "quiet_share", "reference_ms", "kernels_quiet_share")
DEVICE = ("processor", "architecture", "cores", "system", "software", "threads")
COLUMNS = ("bundle", "network", *FIGURES, *DEVICE, "error", "nodes")
WARM_UP_RUNS = 50
PATIENCE_S = 600
MOST_ATTEMPTS = 3
CALM_SHARE = 0.05
SAY_EVERY_S = 5
ERRORS_ONLY = 3
LONGEST_CELL = 2**24


def main() -> int:
    """Measure what is left to measure; 0 when all was, 130 after Ctrl-C, else 1 with a message."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of one inference (1)")
    parser.add_argument("--seconds", type=float, default=0.3, help="time for each network (0.3)")
    parser.add_argument("--name", help="name of the device; without it, that of its processor")
    parser.add_argument("--output", type=Path, default=Path("results.csv"), help="file of the rows (results.csv)")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.threads < 1 or not 0 < asked.seconds <= 60:
        parser.error("--threads must be at least 1, --seconds above 0 and at most 60")
    folder = Path(__file__).resolve().parent
    if asked.worker:
        return work(folder, asked.threads, asked.seconds)
    try:
        return measure_all(folder, asked)
    except KeyboardInterrupt:
        print("\nstopped; run the same command to go on", flush=True)
        return 130


def measure_all(folder: Path, asked: argparse.Namespace) -> int:
    """Measure the networks that have no row yet, then again those that were disturbed."""
    manifest = read_manifest(folder)
    device = {**machine_fingerprint(), "software": f"onnxruntime {onnxruntime.__version__}"}
    device["processor"] = asked.name or device["processor"]
    results = Results(asked.output, {"bundle": manifest["bundle"], **device, "threads": str(asked.threads)})
    files = {entry["network"]: entry["file"] for entry in manifest["networks"]}
    left = [name for name in files if name not in results.rows]
    print(f"{device['processor']}, {device['software']}, {asked.threads} thread(s): {len(files)} networks,", end=" ")
    print(f"{len(left)} left to measure", flush=True)
    command = [sys.executable, os.path.abspath(__file__), "--worker"]
    command += ["--threads", str(asked.threads), "--seconds", str(asked.seconds)]
    worker = Worker(command)
    try:
        worker.measure(left, files, results)
        for _ in range(1, MOST_ATTEMPTS):
            again = results.disturbed()
            if again:
                print(f"{len(again)} networks were measured while the device was busy or hot: measuring them again")
                worker.measure(again, files, results)
    finally:
        worker.end()
    return conclude(files, results)


def conclude(files: dict[str, str], results: Results) -> int:
    """Say what there is now."""
    failed = [name for name in files if results.failed(name)]
    print(f"{len(files) - len(failed)} of {len(files)} networks measured", flush=True)
    for name in failed:
        print(f"  network {name} failed: {results.rows[name][-1]['error']}")
    disturbed = len(results.disturbed(attempts=MOST_ATTEMPTS + 1))
    if disturbed:
        print(f"  {disturbed} only while the device was busy or hot; for better figures measure when nothing else runs")
    print(f"Take {results.path} to where the bundle was made:")
    print(f"  nas profile import {results.path.name} --bundle BUNDLE -o target.json", flush=True)
    return 0


def read_manifest(folder: Path) -> dict[str, Any]:
    """What the bundle holds."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
        missing = [entry["file"] for entry in manifest["networks"] if not (folder / entry["file"]).is_file()]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SystemExit(
            f"measure.py: {folder / 'manifest.json'} cannot be read ({error}); copy the bundle again"
        ) from None
    if missing:
        raise SystemExit(f"measure.py: {len(missing)} networks are missing, first {missing[0]}; copy the bundle again")
    return dict(manifest)


class Results:
    """The rows measured so far, in the file too; a line that was cut short is dropped from it."""

    def __init__(self, path: Path, identity: dict[str, str]) -> None:
        self.path = path
        self.rows: dict[str, list[dict[str, str]]] = {}
        self._identity = identity
        self._columns: Sequence[str] = COLUMNS
        text = path.read_bytes().decode("utf-8", "replace") if path.exists() else ""
        whole = text[: text.rfind("\n") + 1]
        if not whole:
            self._write("w", COLUMNS)
            return
        if whole != text:
            path.write_bytes(whole.encode())
        csv.field_size_limit(LONGEST_CELL)
        reader = csv.DictReader(whole.splitlines())
        self._columns = reader.fieldnames or ()
        if set(COLUMNS) - set(self._columns):
            raise SystemExit(f"measure.py: {path} holds something else: name another file with --output")
        for row in reader:
            other = [key for key, value in identity.items() if row[key] != value]
            if other:
                raise SystemExit(
                    f"measure.py: {path} was measured with {other[0]} {row[other[0]]!r}, now it is "
                    f"{identity[other[0]]!r}: name another file with --output"
                )
            self.rows.setdefault(row["network"], []).append(row)

    def append(self, name: str, found: dict[str, Any]) -> None:
        """Keep what was `found` of the network called `name`."""
        row = {**self._identity, "network": name, **{key: str(value) for key, value in found.items()}}
        self._write("a", [row.get(column, "") for column in self._columns])
        self.rows.setdefault(name, []).append({column: row.get(column, "") for column in self._columns})

    def _write(self, mode: str, cells: Sequence[str]) -> None:
        with self.path.open(mode, encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerow(cells)
            file.flush()
            os.fsync(file.fileno())

    def failed(self, name: str) -> bool:
        """Whether no attempt at the network gave a figure."""
        return all(row["error"] for row in self.rows.get(name, ()))

    def disturbed(self, attempts: int = MOST_ATTEMPTS) -> list[str]:
        """Networks measured fewer than `attempts` times, each time while the device was busy."""
        good = [float(row["reference_ms"]) for rows in self.rows.values() for row in rows if not row["error"]]
        calm_ms = float(np.quantile(good, CALM_SHARE)) if good else 0.0
        return [
            name
            for name, rows in self.rows.items()
            if len(rows) < attempts
            and not self.failed(name)
            and not any(is_quiet(row, calm_ms) for row in rows if not row["error"])
        ]


def is_quiet(row: dict[str, str], calm_ms: float) -> bool:
    """Whether a measurement was hardly disturbed."""
    quiet = min(float(row["quiet_share"]), float(row["kernels_quiet_share"]))
    return disturbance(quiet, float(row["reference_ms"]), calm_ms) == 0


class Worker:
    """Networks are measured in a process of their own: one that crashes the runtime costs one row."""

    def __init__(self, command: Sequence[str]) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None

    def measure(self, names: Sequence[str], files: dict[str, str], results: Results) -> None:
        """Measure the networks `names` one by one into `results`, with the time left."""
        start = said = time.monotonic()
        for done, name in enumerate(names, 1):
            found = self._ask(files[name])
            results.append(name, found)
            now = time.monotonic()
            if now - said >= SAY_EVERY_S or done == len(names):
                said = now
                left = (now - start) / done * (len(names) - done)
                print(f"  {done}/{len(names)}, about {left // 60:.0f}:{left % 60:02.0f} left", flush=True)

    def _ask(self, file: str) -> dict[str, Any]:
        if self._process is None:
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, universal_newlines=True
            )
            ready = self._answer()
            if ready.get("error"):
                raise SystemExit(
                    f"measure.py: the reference network does not run here: {ready['error']}. "
                    f"This is onnxruntime {onnxruntime.__version__}; 1.18 or newer is needed"
                )
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(OSError):
            stdin.write(file + "\n")
            stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        """What the process says, or how it ended."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        start = time.monotonic()
        waiting = threading.Timer(PATIENCE_S, process.kill)
        waiting.start()
        line = process.stdout.readline()
        waiting.cancel()
        if line:
            return dict(json.loads(line))
        code = process.wait()
        self.end()
        if time.monotonic() - start >= PATIENCE_S:
            return {"error": f"did not end within {PATIENCE_S} s"}
        return {"error": f"the runtime crashed: {signal.Signals(-code).name if code < 0 else f'exit code {code}'}"}

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def work(folder: Path, threads: int, seconds: float) -> int:
    """Read names of files, one a line; answer each with one line of JSON."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    reference: Reference | None = None

    def answer(found: dict[str, Any]) -> None:
        answers.write(json.dumps(found) + "\n")
        answers.flush()

    try:
        session = new_session(folder / "networks" / "reference.onnx", session_options(threads))
        reference = Reference(runner(session), clock=time.thread_time if threads == 1 else time.perf_counter)
        for _ in range(WARM_UP_RUNS):
            reference.seconds()
    except Exception as error:
        answer({"error": one_line(error)})
        return 1
    answer({})
    for line in sys.stdin:
        try:
            answer(measure(folder / line.strip(), threads, seconds, reference))
        except Exception as error:
            answer({"error": one_line(error)})
    return 0


def measure(model: Path, threads: int, seconds: float, reference: Reference) -> dict[str, Any]:
    """One network measured: the figures of a row."""
    with tempfile.TemporaryDirectory(prefix="measure-") as folder:
        options = session_options(threads)
        options.enable_profiling = True
        options.profile_file_prefix = os.path.join(folder, "run")
        options.optimized_model_filepath = os.path.join(folder, "optimised.onnx")
        session = new_session(model, options)
        events: list[dict[str, Any]] = []

        def recorded() -> Sequence[dict[str, Any]]:
            events.extend(json.loads(Path(session.end_profiling()).read_text(encoding="utf-8")))
            return events

        found = profile_session(
            runner(session), recorded, seconds=seconds, single_thread=threads == 1, reference=reference
        )
        nodes = optimised_nodes(Path(options.optimized_model_filepath).read_bytes())
    names = node_names([str(node[0]) for node in nodes], events)
    latency = found.latency
    return {
        "latency_ms": latency.median_ms,
        "low_ms": latency.low_ms,
        "high_ms": latency.high_ms,
        "repeats": latency.repeats,
        "quiet_share": latency.quiet_share,
        "reference_ms": latency.reference_ms,
        "kernels_quiet_share": found.nodes_quiet_share,
        "nodes": json.dumps(
            [[name, *node[1:], round(found.node_ms.get(name, 0.0), 7)] for name, node in zip(names, nodes)],
            separators=(",", ":"),
        ),
    }


def session_options(threads: int) -> Any:
    """Options of a session with so many threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = ERRORS_ONLY
    return options


def new_session(model: Path, options: Any) -> Any:
    """A session on the processor."""
    return onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])


def runner(session: Any) -> Any:
    """A function that runs one inference on random input."""
    rng = np.random.default_rng(0)
    feed = {source.name: rng.standard_normal(source.shape, dtype=np.float32) for source in session.get_inputs()}
    return lambda: session.run(None, feed)


def one_line(error: Exception) -> str:
    """An error as one line of text."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:300]


def optimised_nodes(model: bytes) -> list[list[Any]]:
    """[name, operator, nodes whose outputs it reads (-1: none), names of its outputs] of an ONNX file's nodes.

    Reads just this much of the protocol buffer: field 7 of the model is its graph, field 1 of that its nodes.
    """
    graph = next(value for field, value in fields(memoryview(model)) if field == 7)
    found: list[list[Any]] = []
    writer: dict[str, int] = {}
    for field, value in fields(graph):
        if field == 1:
            texts: dict[int, list[str]] = {1: [], 2: [], 3: [""], 4: [""]}
            for part, text in fields(value):
                if part in texts:
                    texts[part].append(bytes(text).decode())
            found.append([texts[3][-1], texts[4][-1], texts[1], texts[2]])
            writer.update({output: len(found) - 1 for output in texts[2]})
    return [
        [name, operator, [writer.get(source, -1) for source in inputs], outputs]
        for name, operator, inputs, outputs in found
    ]


def fields(message: memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, content) of a message's fields of variable length; the others are passed over."""
    place = 0
    while place < len(message):
        key, place = number_at(message, place)
        kind = key & 7
        if kind == 2:
            size, place = number_at(message, place)
            yield key >> 3, message[place : place + size]
            place += size
        elif kind == 0:
            _, place = number_at(message, place)
        else:
            place += {1: 8, 5: 4}[kind]


def number_at(message: memoryview, place: int) -> tuple[int, int]:
    """A number of variable length, seven bits a byte, and the place behind it."""
    number = shift = 0
    while True:
        byte = message[place]
        number |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return number, place


if __name__ == "__main__":
    sys.exit(main())
