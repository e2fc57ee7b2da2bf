"""Published latencies of whole networks on many devices, as files of arrays.

A file holds the codes of its architectures and one array of milliseconds per device, `lat_ms__DEVICE`. Two spaces are
known: FBNet (an operator in each of 22 layers; `op_idx`, `op_names`, `flops`, `params`) and OFA (kernel and expansion
of 20 blocks, depth of five stages, resolution; `ks`, `e`, `d`, `r`).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats
from predictors.known_devices import KnownDevices
from search_spaces.errors import NasError

LATENCY = "lat_ms__"
FBNET, OFA = ("op_idx", "op_names", "flops", "params"), ("ks", "e", "d", "r")
SKIP = "skip"
LINES = {"gold": "Xeon", "silver": "Xeon"}
WHOLE, TABLE, MEASURED = "whole milliseconds", "table sums", "measured"
EXACT = 1e-5
STEM = 16
STAGES = ((24, 2), (40, 2), (80, 2), (112, 1), (160, 2))
"""Output channels and stride of the stages of OFA's MobileNetV3, behind a stem of stride 2."""
Codes = npt.NDArray[np.int64]
Arrays = Mapping[str, npt.NDArray[Any]]


@dataclass(frozen=True)
class Devices:
    """Latency in ms of devices over the same architectures [n_archs, n_devices].

    `codes` [n_archs, n_choices] are what the architectures consist of, `amounts` [n_archs, n_amounts] what was counted.
    """

    names: tuple[str, ...]
    latency_ms: Floats
    codes: Codes
    amounts: Floats

    @cached_property
    def kinds(self) -> tuple[str, ...]:
        """How each device's column was come by."""
        placed = [self.codes[:, [i]] == np.unique(column) for i, column in enumerate(self.codes.T)]
        design = np.column_stack([np.ones(len(self.codes)), *placed])
        left = self.latency_ms - design @ np.linalg.lstsq(design, self.latency_ms, rcond=None)[0]
        whole = (self.latency_ms == np.round(self.latency_ms)).all(axis=0)
        sums = np.abs(left / self.latency_ms).max(axis=0) < EXACT
        return tuple(WHOLE if one else TABLE if two else MEASURED for one, two in zip(whole, sums, strict=True))

    @cached_property
    def families(self) -> tuple[str, ...]:
        """What each device is akin to: its maker's line, or how its column was come by."""
        lines = [_line(name) for name in self.names]
        return tuple(line if kind == MEASURED else kind for line, kind in zip(lines, self.kinds, strict=True))

    def known(self, *, family: str = "", device: str = "") -> KnownDevices:
        """All devices but those of one family and the one of this name."""
        kept = [i for i, name in enumerate(self.names) if name != device and self.families[i] != family]
        return KnownDevices(self.latency_ms[:, kept], tuple(self.families[i] for i in kept), self.amounts)


def _line(name: str) -> str:
    """The device's name without what follows its last word, a batch size or a model's number."""
    line, _, last = name.rpartition("_")
    line = line if line and last[0].isdigit() else name
    return LINES.get(line, line)


def read_devices(path: Path, *, like: Devices | None = None) -> Devices:
    """The devices of a file; `NasError` names what is missing or wrong. Architectures are those of `like`, if given."""
    data = _arrays(path)
    names = tuple(sorted(name.removeprefix(LATENCY) for name in data if name.startswith(LATENCY)))
    if not names:
        raise NasError(f"{path} holds no array named {LATENCY}DEVICE with milliseconds; it holds {', '.join(data)}")
    kind = next((kind for kind in (FBNET, OFA) if all(name in data for name in kind)), None)
    if kind is None and like is None:
        raise NasError(
            f"{path} lacks the arrays of its architectures, {', '.join(FBNET)} or {', '.join(OFA)}; "
            f"it holds {', '.join(data)}"
        )
    if kind is None:
        assert like is not None
        codes, amounts = like.codes, like.amounts
    else:
        codes, amounts = _fbnet(data) if kind is FBNET else _ofa(data)
    if like is not None and not np.array_equal(codes, like.codes):
        raise NasError(f"{path} holds other architectures than the known devices' file, or in another order")
    for name in names:
        column = data[LATENCY + name]
        if column.shape != codes.shape[:1]:
            raise NasError(f"{path}: {LATENCY}{name} has shape {column.shape}; expected {codes.shape[:1]}")
        if bad := np.flatnonzero(~(np.isfinite(column) & (column > 0))).tolist():
            raise NasError(f"{path}: {LATENCY}{name} holds {column[bad[0]]} in row {bad[0]}; expected ms above 0")
    latency = np.column_stack([data[LATENCY + name].astype(np.float64) for name in names])
    return Devices(names, latency, codes, amounts)


def _arrays(path: Path) -> Arrays:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, TypeError, EOFError, BadZipFile) as error:
        raise NasError(f"{path} cannot be read as a file of arrays (.npz): {error}") from error


def _fbnet(data: Arrays) -> tuple[Codes, Floats]:
    """Operators per layer; multiply-adds, parameters and layers."""
    codes = data["op_idx"].astype(np.int64)
    layers = (data["op_names"][codes] != SKIP).sum(axis=1)
    return codes, np.column_stack([data["flops"], data["params"], layers]).astype(np.float64)


def _ofa(data: Arrays) -> tuple[Codes, Floats]:
    """Kernel, expansion, depth and resolution, 0 for blocks that are not there; the blocks' amounts."""
    depth, size = data["d"].astype(np.int64), data["r"].astype(np.int64).reshape(-1)
    blocks = data["ks"].shape[1] // depth.shape[1]
    there = np.concatenate([np.arange(blocks) < depth[:, [stage]] for stage in range(depth.shape[1])], axis=1)
    kernel, expand = (np.where(there, data[name], 0).astype(np.int64) for name in ("ks", "e"))
    amounts = np.zeros((len(size), 3))
    width, height = STEM, -(-size // 2)
    for stage, (out, stride) in enumerate(STAGES):
        for block in range(blocks):
            column, step = stage * blocks + block, stride if block == 0 else 1
            after, hidden = -(-height // step), width * expand[:, column]
            macs = hidden * (width * height**2 + (kernel[:, column] ** 2 + out) * after**2)
            moved = hidden * (2 * height**2 + 2 * after**2) + width * height**2 + out * after**2
            amounts += np.where(there[:, [column]], np.column_stack([macs, moved, np.ones_like(macs)]), 0)
            width, height = out, after
    return np.column_stack([kernel, expand, depth, size]), amounts
