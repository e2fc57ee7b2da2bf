"""Targets from what was measured elsewhere: results of a bundle's script, or latencies of whole networks."""

import json
import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nas.runtimes.base import Profile
from nas.runtimes.bundle import Bundle, BundledNetwork
from nas.runtimes.doubt import CALM_QUANTILE, Usual
from nas.runtimes.journal import Row
from nas.runtimes.known import transferred
from nas.runtimes.profile import FEWEST_NETWORKS, target_of
from nas.runtimes.timing import HIGH, LOW, Measurement
from predictors.csv_rows import Line, read_lines
from predictors.kernels import Fusion, Kernel, kernels
from predictors.known_devices import FEWEST_MEASURED
from predictors.lookup import target_from_kernels
from predictors.plausible import doubtful_unit
from predictors.target import Identity, MeasuredNetwork, Target
from search_spaces.errors import NasError, unknown_name

if TYPE_CHECKING:
    import onnx

MACHINE = ("processor", "architecture", "cores", "system")
SCRIPTED = (
    "bundle",
    "network",
    "latency_ms",
    "low_ms",
    "high_ms",
    "repeats",
    "quiet_share",
    "reference_ms",
    "kernels_quiet_share",
    *MACHINE,
    "software",
    "threads",
    "error",
    "nodes",
)
PLAIN = ("network", "latency_ms")
OF_DEVICE = (*MACHINE, "software", "threads")
FUSION: Fusion = "graph"


@dataclass(frozen=True)
class Device:
    """What a person says of the device where the file does not; `software` is the runtime with its version."""

    name: str | None = None
    software: str | None = None
    threads: int | None = None

    def identity(self, bundle: Bundle | None, told: Mapping[str, str]) -> Identity:
        """How networks were run, from what the file tells (its columns) or a person said."""
        software = self.software or told.get("software") or "unknown"
        return Identity(
            runtime=software.split()[0],
            software=software,
            device="cpu",
            device_name=self.name or told.get("processor") or "unknown device",
            threads=self.threads or int(told.get("threads") or 1),
            batch=1 if bundle is None else bundle.batch,
            precision="fp32" if bundle is None else bundle.precision,
            fusion=FUSION,
        )

    def machine(self, told: Mapping[str, str]) -> dict[str, str]:
        """The device's fingerprint."""
        found = {key: told[key] for key in MACHINE if told.get(key)}
        return found | {"processor": self.name or told.get("processor") or "unknown device"}


@dataclass(frozen=True)
class Imported:
    """A target made from a file, and what is to be known about it."""

    target: Target
    notes: tuple[str, ...]


def import_networks(path: Path, bundle: Bundle, *, name: str, device: Device) -> Imported:
    """The target of networks of `bundle` measured elsewhere.

    `path` is what the bundle's script wrote, or a CSV file with the columns network and latency_ms (several rows of
    a network are repetitions); both may have a column energy_mj. Without times of kernels their latencies are
    inferred from whole networks. Raises NasError naming line and column for rows that cannot be, for another
    bundle's results, and where fewer than ten networks were measured (five, where other devices are known).
    """
    lines = read_lines(path, PLAIN, optional=("energy_mj",))
    if any(column in line.cells for line in lines[:1] for column in ("nodes", "bundle")):
        lines = read_lines(path, SCRIPTED, optional=("energy_mj",))
        _check_bundle(lines, bundle)
    known = {item.name: item for item in bundle.networks}
    for line in lines:
        if line.text("network") not in known:
            raise NasError(
                f"{path} line {line.number}, column network: {unknown_name('network', line.text('network'), known)}"
            )
    told = _told(lines)
    failed = {line.text("network"): line.text("error") for line in lines if line.has("error")}
    good = [line for line in lines if not line.has("error")]
    measured = {line.text("network") for line in good}
    lost = {network: why for network, why in failed.items() if network not in measured}
    fewest = FEWEST_NETWORKS if bundle.known is None else FEWEST_MEASURED
    if len(measured) < fewest:
        also = f", {len(lost)} failed (first: {next(iter(lost.values()))})" if lost else ""
        raise NasError(
            f"{path} has figures of {len(measured)} networks{also}; at least {fewest} are needed: "
            "run measure.py again, it goes on where it was"
        )
    identity, machine = device.identity(bundle, told), device.machine(told)
    notes = _missing(bundle, measured, lost)
    if all(line.has("nodes") for line in good):
        target, more = _from_profiles(name, good, known, identity, machine)
    else:
        target = _from_latencies(name, good, known, identity, machine)
        more = ("Kernels were not timed one by one: what they take is inferred from whole networks.",)
    unit = doubtful_unit(
        [_kernels(known[line.text("network")]) for line in good], [line.positive("latency_ms") for line in good]
    )
    target = replace(target, source=f"measured on another device, {path.name}")
    if bundle.known is not None:
        place = {item.name: row for item, row in zip(bundle.networks, bundle.known.chosen, strict=True)}
        rows = [place[network] for network in _by_network(good)]
        return Imported(transferred(target, bundle.known, rows), (*notes, *([unit] if unit else [])))
    return Imported(target.with_learning_curve(), (*notes, *more, *([unit] if unit else [])))


def import_kernels(path: Path, *, name: str, device: Device) -> Imported:
    """The target of a look-up table of single kernels; see `predictors.lookup.target_from_kernels`."""
    target = target_from_kernels(path, name=name, identity=device.identity(None, {}), machine=device.machine({}))
    unit = doubtful_unit(
        [[target.kernels[i] for i in row.kernels] for row in target.networks],
        [row.latency_ms for row in target.networks],
    )
    return Imported(target.with_learning_curve(), () if unit is None else (unit,))


def _check_bundle(lines: Sequence[Line], bundle: Bundle) -> None:
    for line in lines:
        if line.text("bundle") != bundle.id:
            raise line.wrong("bundle", f"{bundle.id!r}: these are results of another bundle; name that with --bundle")


def _told(lines: Sequence[Line]) -> Mapping[str, str]:
    """What the rows say of the device, which must be the same in all of them."""
    first = lines[0] if lines else None
    for line in lines:
        for column in OF_DEVICE:
            if first is not None and line.text(column) != first.text(column):
                raise line.wrong(
                    column,
                    f"the {first.text(column)!r} of line {first.number}: rows of different devices or settings belong "
                    "in files of their own",
                )
    if first is not None and first.has("threads"):
        first.count("threads")
    return {} if first is None else {column: first.text(column) for column in OF_DEVICE}


def _missing(bundle: Bundle, measured: set[str], lost: Mapping[str, str]) -> tuple[str, ...]:
    """What is to be said of networks without figures."""
    notes = []
    absent = len(bundle.networks) - len(measured) - len(lost)
    if absent:
        notes.append(f"{len(measured)} of the bundle's {len(bundle.networks)} networks were measured so far.")
    if lost:
        network, why = next(iter(lost.items()))
        notes.append(f"{len(lost)} networks failed on the device and are left out; first {network}: {why}.")
    return tuple(notes)


def _from_profiles(
    name: str,
    lines: Sequence[Line],
    known: Mapping[str, BundledNetwork],
    identity: Identity,
    machine: Mapping[str, str],
) -> tuple[Target, tuple[str, ...]]:
    """The target of rows with the times of kernels: of each network's attempts the least doubtful."""
    attempts = {
        network: [_profile(line, known[network]) for line in several] for network, several in _by_network(lines).items()
    }
    energy_mj = {network: _energy_mj(several) for network, several in _by_network(lines).items()}
    usual = Usual.of([found for several in attempts.values() for found in several])
    rows = [
        Row(
            known[network].network.fingerprint,
            known[network].held_out,
            _kernels(known[network]),
            replace(min(several, key=usual.doubt), energy_mj=energy_mj[network]),
            0.0,
            len(several),
        )
        for network, several in attempts.items()
    ]
    beside = [line.positive("reference_ms") for line in lines]
    slowdown = float(np.median(beside) / np.quantile(beside, CALM_QUANTILE))
    doubtful = sum(usual.doubt(row.profile) > 0 for row in rows)
    notes = (f"{doubtful} of {len(rows)} networks were measured while the device was busy or hot.",) if doubtful else ()
    return target_of(name, identity, rows, machine=machine, slowdown=slowdown), notes


def _by_network(lines: Sequence[Line]) -> dict[str, list[Line]]:
    """Rows by the network that they are of, in the order of the file."""
    found: dict[str, list[Line]] = defaultdict(list)
    for line in lines:
        found[line.text("network")].append(line)
    return found


def _energy_mj(lines: Sequence[Line]) -> float | None:
    """The energy that rows of one network tell, the median of several; `None` where they tell none."""
    told = [found for found in (line.optional("energy_mj") for line in lines) if found is not None]
    return float(np.median(told)) if told else None


def _profile(line: Line, item: BundledNetwork) -> Profile:
    """A row of the bundle's script."""
    from nas.runtimes.attribution import attribute

    nodes = _nodes(line)
    latency = Measurement(
        line.positive("latency_ms"),
        line.positive("low_ms"),
        line.positive("high_ms"),
        line.count("repeats"),
        line.share("quiet_share"),
        line.positive("reference_ms"),
    )
    kernel_ms = attribute(item.network, _graph(nodes), {node.name: node.ms for node in nodes})
    return Profile(latency, kernel_ms if any(kernel_ms) else (), line.share("kernels_quiet_share"))


@dataclass(frozen=True, slots=True)
class _Node:
    """A node of the graph that the device executed; `sources` are positions of nodes, -1 for none."""

    name: str
    operator: str
    sources: tuple[int, ...]
    outputs: tuple[str, ...]
    ms: float


def _nodes(line: Line) -> tuple[_Node, ...]:
    """The column nodes of a row."""
    legal = "what measure.py writes there"
    try:
        found = tuple(
            _Node(str(name), str(operator), tuple(map(int, sources)), tuple(map(str, outputs)), float(ms))
            for name, operator, sources, outputs, ms in json.loads(line.text("nodes"))
        )
    except (ValueError, TypeError) as error:
        raise line.wrong("nodes", legal) from error
    for node in found:
        if not 0 <= node.ms < math.inf or not node.outputs or max(node.sources, default=-1) >= len(found):
            raise line.wrong("nodes", legal)
    return found


def _graph(nodes: Sequence[_Node]) -> "onnx.GraphProto":
    """The nodes as ONNX, without their weights."""
    from onnx import helper

    written = [
        helper.make_node(
            node.operator,
            [nodes[i].outputs[0] if i >= 0 else "" for i in node.sources] or [""],
            list(node.outputs),
            name=node.name,
        )
        for node in nodes
    ]
    return helper.make_graph(written, "executed", [], [])


def _kernels(item: BundledNetwork) -> tuple[Kernel, ...]:
    return tuple(kernel.dense for kernel in kernels(item.network, fusion=FUSION))


def _from_latencies(
    name: str,
    lines: Sequence[Line],
    known: Mapping[str, BundledNetwork],
    identity: Identity,
    machine: Mapping[str, str],
) -> Target:
    """The target of rows that hold latencies only; rows of one network are its repetitions."""
    number: dict[Kernel, int] = {}
    networks = []
    for network, repeated in _by_network(lines).items():
        low, median, high = np.quantile([line.positive("latency_ms") for line in repeated], (LOW, 0.5, HIGH))
        networks.append(
            MeasuredNetwork(
                tuple(number.setdefault(kernel, len(number)) for kernel in _kernels(known[network])),
                (),
                float(median),
                float(low),
                float(high),
                repeats=len(repeated),
                quiet_share=None,
                held_out=known[network].held_out,
                energy_mj=_energy_mj(repeated),
            )
        )
    return Target(name, "measured", identity, machine, tuple(number), tuple(networks))
