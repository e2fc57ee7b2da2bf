"""Target: what is known of one piece of hardware and how it runs networks; one JSON file, no pickles.

A measured target keeps every raw row (networks with the time of each kernel), from which its latency model is fitted
again, deterministically, when it is loaded. A transferred one keeps its few rows, the targets of known devices and how
it follows from them. An analytic target holds data-sheet figures only.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from predictors.holdout import Accuracy, HoldoutReport, accuracy, holdout_report
from predictors.kernels import Fusion, Kernel
from predictors.latency import LatencyModel, LearnedLatency, MeasuredLatency, fit_latency
from predictors.learned_energy import EnergyModel, LearnedEnergy, MeasuredEnergy, fit_energy
from predictors.learning import LearningCurve, learning_curve
from predictors.roofline import AnalyticEnergy, Roofline
from predictors.transfer import TransferredEnergy, TransferredFigure, TransferredLatency
from search_spaces.errors import NasError, unknown_name
from search_spaces.files import write_text
from search_spaces.operators import VALUE_BYTES

FORMAT = "nas-target"
VERSION = 1
MEASURED_NOW = "this"
PACKAGED = Path(__file__).parent / "packaged"
LEARNED = (LearnedLatency, LearnedEnergy, TransferredLatency, TransferredEnergy)
MIN_NETWORKS = 3
SPREAD = 2.563  # standard deviations between the 10th and the 90th percentile
GAIN = 1.03
BYTES_PER_VALUE = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1}
Provenance = Literal["measured", "transferred", "analytic"]


@dataclass(frozen=True, slots=True)
class Identity:
    """How networks are run. Figures of two targets compare only where these agree.

    `software` names the runtime with its version, `device_name` the processor.
    """

    runtime: str
    software: str
    device: str
    device_name: str
    threads: int
    batch: int
    precision: str
    fusion: Fusion


@dataclass(frozen=True, slots=True)
class MeasuredNetwork:
    """Raw rows of one network: its kernels (indices into the target's), their ms, and its latency end to end.

    `kernel_ms` is empty where only the whole network was timed. `low_ms` and `high_ms` are the 10th and 90th
    percentile over `repeats` runs, of which `quiet_share` were undisturbed (`None`: not known). `held_out` networks
    are never fitted on. `energy_mj` is the energy of one inference; `None` where it was not measured.
    """

    kernels: tuple[int, ...]
    kernel_ms: tuple[float, ...]
    latency_ms: float
    low_ms: float
    high_ms: float
    repeats: int
    quiet_share: float | None
    held_out: bool
    energy_mj: float | None = None


@dataclass(frozen=True, slots=True)
class EnergyConstants:
    """Picojoules per multiply-add and per byte moved, with where they come from."""

    pj_per_mac: float
    pj_per_byte: float
    source: str


@dataclass(frozen=True, slots=True)
class Speedup:
    """Dense time over sparse time of the same kernels: median, and the ends of its 95 % interval."""

    ratio: float
    low: float
    high: float

    @property
    def gains(self) -> bool:
        """Whether zeros bring speed beyond doubt, and more than the scatter of repeated measurements."""
        return self.low > GAIN


@dataclass(frozen=True)
class Transfer:
    """How a new device follows from known ones: their targets, and its figures in terms of what they take.

    `energy_mj` is `None` where too few networks were metered.
    """

    known: tuple["Target", ...]
    latency_ms: TransferredFigure
    energy_mj: TransferredFigure | None

    @property
    def models(self) -> tuple[LatencyModel, ...]:
        """What the known devices take."""
        return tuple(known.latency for known in self.known)


@dataclass(frozen=True)
class Target:
    """One target. `peak_gmacs` is 10^9 multiply-adds per second, `bandwidth_gbs` 10^9 bytes per second.

    `machine` is the fingerprint of the machine measured, `slowdown` how much slower than in its quiet moments it was
    in the median (1.0: nothing else ran), `calm_ms` what the reference kernel took in those, `learning` how the
    model's error fell with the networks fitted on. What is not known is `None`. `sparsity_speedup` says how much
    faster kernels ran with zeros in their weights, {"0.5" or "2:4": speed-up}; `remarks` what to know of the
    measurements. `transfer` is there where the device is known through others.
    """

    name: str
    provenance: Provenance
    identity: Identity
    machine: Mapping[str, str]
    kernels: tuple[Kernel, ...] = ()
    networks: tuple[MeasuredNetwork, ...] = ()
    slowdown: float | None = None
    calm_ms: float | None = None
    peak_gmacs: float | None = None
    bandwidth_gbs: float | None = None
    energy: EnergyConstants | None = None
    source: str = ""
    learning: LearningCurve | None = None
    sparsity_speedup: Mapping[str, Speedup] | None = None
    remarks: tuple[str, ...] = ()
    transfer: Transfer | None = None

    @cached_property
    def latency(self) -> LatencyModel:
        """Latency model: learned from the measured rows, through known devices, or an analytic target's roofline."""
        if self.transfer is not None:
            return TransferredLatency(self.transfer.latency_ms, self.transfer.models)
        if self.provenance == "measured":
            return self.learned
        assert self.roofline is not None
        return self.roofline

    @cached_property
    def roofline(self) -> Roofline | None:
        """Peak and bandwidth as documented, or as the fastest measured kernels reached them; `None`: not known.

        Its `waterline` is the hardware's ridge point in multiply-adds per element.
        """
        fusion, value_bytes = self.identity.fusion, BYTES_PER_VALUE.get(self.identity.precision, VALUE_BYTES)
        if self.peak_gmacs is not None and self.bandwidth_gbs is not None:
            return Roofline(self.peak_gmacs, self.bandwidth_gbs, fusion=fusion, value_bytes=value_bytes)
        timed = [row for row in self.fitted if row.kernel_ms]
        rows = [pair for row in timed for pair in zip(row.kernels, row.kernel_ms, strict=True)]
        parts, taken = [kernel for kernel, _ in rows], [ms for _, ms in rows]
        return Roofline.seen_in(parts, taken, fusion=fusion, value_bytes=value_bytes)

    @cached_property
    def learned(self) -> LearnedLatency:
        """Model fitted on the networks that are not held out; `NasError` without enough rows."""
        if len(self._rows(held_out=False)) < MIN_NETWORKS:
            raise NasError(
                f"target {self.name!r} holds {len(self._rows(held_out=False))} measured networks to fit on; "
                f"at least {MIN_NETWORKS} are needed: measure again with more minutes"
            )
        return fit_latency(self._rows(held_out=False), self._rows(held_out=True), fusion=self.identity.fusion)

    @cached_property
    def energy_model(self) -> EnergyModel | None:
        """Learned from the networks that were metered, else from sourced constants; `None` where neither is there."""
        if self.transfer is not None and self.transfer.energy_mj is not None:
            return TransferredEnergy(self.transfer.energy_mj, self.transfer.models)
        if sum(not row.held_out for row in self.metered) >= MIN_NETWORKS:
            return fit_energy(self.metered, fusion=self.identity.fusion, latency=self.latency)
        if self.energy is None:
            return None
        return AnalyticEnergy(self.energy.pj_per_mac, self.energy.pj_per_byte, fusion=self.identity.fusion)

    @cached_property
    def report(self) -> HoldoutReport | None:
        """Accuracy on held-out networks; `None` for analytic targets and where none were held out."""
        if self.provenance != "measured":
            return None
        return holdout_report(self.learned, self._rows(held_out=False), self._rows(held_out=True))

    @cached_property
    def energy_report(self) -> Accuracy | None:
        """Accuracy of learned energy on networks held out of the fit; `None` where it is not learned or none were."""
        rows = [row for row in self.metered if row.held_out]
        if not rows or not isinstance(self.energy_model, LearnedEnergy):
            return None
        return accuracy([self.energy_model.total_mj(row.kernels) for row in rows], [row.energy_mj for row in rows])

    def ratios(self, figure: str) -> tuple[float, ...]:
        """Measured over predicted "latency_ms" or "energy_mj" to be met with on networks that were not fitted on."""
        model = self.latency if figure == "latency_ms" else self.energy_model
        return model.ratios if isinstance(model, LEARNED) else ()

    @property
    def fitted(self) -> tuple[MeasuredLatency, ...]:
        """The networks that the model is fitted on."""
        return self._rows(held_out=False)

    @property
    def held_out(self) -> tuple[MeasuredLatency, ...]:
        """The networks that were measured but not fitted on."""
        return self._rows(held_out=True)

    @property
    def of_kernels(self) -> bool:
        """Whether only single kernels were measured, no network."""
        return bool(self.networks) and all(len(network.kernels) == 1 for network in self.networks)

    @property
    def metered(self) -> tuple[MeasuredEnergy, ...]:
        """The networks whose energy was measured."""
        return tuple(
            MeasuredEnergy(tuple(self.kernels[i] for i in network.kernels), network.energy_mj, network.held_out)
            for network in self.networks
            if network.energy_mj is not None
        )

    def _rows(self, *, held_out: bool) -> tuple[MeasuredLatency, ...]:
        return tuple(
            MeasuredLatency(
                tuple(self.kernels[i] for i in network.kernels),
                network.kernel_ms,
                network.latency_ms,
            )
            for network in self.networks
            if network.held_out == held_out
        )

    @property
    def scatter(self) -> float | None:
        """Share by which repetitions of one network spread (standard deviation, median over networks)."""
        spreads = [(row.high_ms - row.low_ms) / row.latency_ms / SPREAD for row in self.networks]
        return float(np.median(spreads)) if any(spreads) else None

    def with_learning_curve(self) -> "Target":
        """The same target with `learning` found by fitting on parts of its networks."""
        found = replace(self, learning=learning_curve(self.learned, self.fitted, self.held_out, scatter=self.scatter))
        vars(found)["learned"] = self.learned  # the same rows give the same model: no need to fit it again
        return found

    def to_json(self) -> str:
        """The target as JSON, raw rows one a line; `from_json` is the exact inverse."""
        head = {
            "format": FORMAT,
            "version": VERSION,
            "name": self.name,
            "provenance": self.provenance,
            "source": self.source,
            "identity": asdict(self.identity),
            "machine": dict(self.machine),
            "slowdown": self.slowdown,
            "calm_ms": self.calm_ms,
            "peak_gmacs": self.peak_gmacs,
            "bandwidth_gbs": self.bandwidth_gbs,
            "energy": None if self.energy is None else asdict(self.energy),
            "sparsity_speedup": _speedups_data(self.sparsity_speedup),
            "remarks": list(self.remarks),
            "report": None if self.report is None else asdict(self.report),
            "learning": None if self.learning is None else asdict(self.learning),
            "kernel_fields": _names(Kernel),
            "network_fields": _names(MeasuredNetwork),
        }
        text = json.dumps(head, indent=1, allow_nan=False).removesuffix("\n}")
        for name, rows in (("kernels", self.kernels), ("networks", self.networks)):
            lines = ",\n  ".join(json.dumps(_values(row), allow_nan=False) for row in rows)
            text += f',\n "{name}": [\n  {lines}\n ]' if rows else f',\n "{name}": []'
        if self.transfer is not None:
            text += f',\n "transfer": {json.dumps(_transfer_data(self.transfer), allow_nan=False)}'
        return text + "\n}\n"

    @classmethod
    def from_json(cls, text: str, *, where: str = "target") -> "Target":
        """Read what `to_json` wrote. `NasError` names `where` and what is wrong with it."""
        data = _checked(text, where)
        try:
            return cls(
                name=str(data["name"]),
                provenance=_provenance(data),
                identity=Identity(**data["identity"]),
                machine={str(key): str(value) for key, value in data["machine"].items()},
                kernels=tuple(_kernel(data["kernel_fields"], row) for row in data["kernels"]),
                networks=tuple(_network(data["network_fields"], row, len(data["kernels"])) for row in data["networks"]),
                slowdown=_number(data["slowdown"]),
                calm_ms=_number(data.get("calm_ms")),
                peak_gmacs=_number(data["peak_gmacs"]),
                bandwidth_gbs=_number(data["bandwidth_gbs"]),
                energy=None if data["energy"] is None else EnergyConstants(**data["energy"]),
                source=str(data["source"]),
                learning=LearningCurve.from_json(data.get("learning")),
                sparsity_speedup=_speedups(data.get("sparsity_speedup")),
                remarks=tuple(map(str, data.get("remarks", ()))),
                transfer=_transfer(data.get("transfer"), data["provenance"], where),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NasError(
                f"{where} is damaged: {type(error).__name__} {error}. Measure it again with `nas profile`"
            ) from error

    def save(self, path: Path) -> None:
        """Write the target to `path` whole."""
        write_text(path, self.to_json())


def load_target(name_or_path: str | Path) -> Target:
    """The target file at a path, or the packaged target of that name.

    Raises `NasError` for an unknown name (with near matches), a file of another format or version, a damaged
    file, and for "this", which is measured and not loaded.
    """
    name = str(name_or_path)
    if name == MEASURED_NOW:
        raise NasError('target "this" is measured, not loaded; run `nas profile -o FILE` and name that file')
    path = Path(name_or_path)
    packaged = {file.stem: file for file in PACKAGED.glob("*.json")}
    if not path.is_file():
        if name not in packaged:
            raise unknown_name("target", name, [MEASURED_NOW, *packaged])
        path = packaged[name]
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise NasError(f"target file {path} cannot be read: {error}") from error
    return Target.from_json(text, where=f"target file {path}")


def _checked(text: str, where: str) -> dict[str, Any]:
    """The parsed file, when it is a target file of a version known here."""
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise NasError(
            f"{where} is not complete JSON (line {error.lineno}: {error.msg}); it may be cut short. "
            "Measure it again with `nas profile`"
        ) from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise NasError(f'{where} is not a target file: it lacks "format": "{FORMAT}"')
    if data.get("version") != VERSION:
        raise NasError(
            f"{where} has version {data.get('version')!r}; this release reads version {VERSION}. "
            "Measure it again with `nas profile`"
        )
    return data


def _names(kind: type[Any]) -> list[str]:
    return [field.name for field in fields(kind)]


def _values(row: Any) -> list[Any]:
    return [getattr(row, field.name) for field in fields(row)]


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _kernel(names: Sequence[str], values: Sequence[Any]) -> Kernel:
    return Kernel(**_tupled_fields(names, values))


def _network(names: Sequence[str], values: Sequence[Any], kernels: int) -> MeasuredNetwork:
    network = MeasuredNetwork(**_tupled_fields(names, values))
    if network.kernel_ms and len(network.kernels) != len(network.kernel_ms):
        raise ValueError(f"{len(network.kernels)} kernels with {len(network.kernel_ms)} times")
    if not all(0 <= i < kernels for i in network.kernels):
        raise ValueError(f"a network names a kernel outside 0 to {kernels - 1}")
    if not 0 < network.latency_ms < math.inf or min(network.kernel_ms, default=0.0) < 0:
        raise ValueError(f"a network took {network.latency_ms} ms, kernels {network.kernel_ms}")
    if network.energy_mj is not None and not 0 < network.energy_mj < math.inf:
        raise ValueError(f"a network took {network.energy_mj} mJ")
    return network


def _tupled_fields(names: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    return {name: _tupled(value) for name, value in zip(names, values, strict=True)}


def _speedups_data(found: Mapping[str, Speedup] | None) -> dict[str, Any] | None:
    return None if found is None else {name: asdict(one) for name, one in found.items()}


def _speedups(data: Mapping[str, Any] | None) -> dict[str, Speedup] | None:
    return None if data is None else {str(name): Speedup(**found) for name, found in data.items()}


def _transfer_data(found: Transfer) -> dict[str, Any]:
    return {
        "latency_ms": asdict(found.latency_ms),
        "energy_mj": None if found.energy_mj is None else asdict(found.energy_mj),
        "known": [json.loads(known.to_json()) for known in found.known],
    }


def _transfer(data: Mapping[str, Any] | None, provenance: object, where: str) -> Transfer | None:
    if (data is None) == (provenance == "transferred"):
        raise ValueError('only and every target of provenance "transferred" has a transfer')
    if data is None:
        return None
    known = tuple(Target.from_json(json.dumps(one), where=f"a known device in {where}") for one in data["known"])
    latency, energy = data["latency_ms"], data["energy_mj"]
    return Transfer(known, _figure(latency), None if energy is None else _figure(energy))


def _figure(data: Mapping[str, Any]) -> TransferredFigure:
    return TransferredFigure(**{name: _tupled(value) for name, value in data.items()})


def _number(value: Any) -> float | None:
    if value is None:
        return None
    if not 0 < float(value) < math.inf:
        raise ValueError(f"expected a number above 0 or null, got {value!r}")
    return float(value)


def _provenance(data: Mapping[str, Any]) -> Provenance:
    value = data["provenance"]
    if value == "analytic":
        if data["peak_gmacs"] is None or data["bandwidth_gbs"] is None:
            raise ValueError("an analytic target needs peak_gmacs and bandwidth_gbs")
        return "analytic"
    if value == "transferred":
        return "transferred"
    if value != "measured":
        raise ValueError(f"provenance is {value!r}, not 'measured', 'transferred' or 'analytic'")
    return "measured"
