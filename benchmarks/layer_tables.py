"""Published tables of measured convolutions: text files of `{Type,B,Cin,H,W,Cout,K,S,fused} ms`, one layer a line.

Type is `Regular` or `Depthwise`; B samples of Cin channels, H by W positions, go through Cout kernels of K by K with
stride S and same padding; `fused` is 1 where the addition of a second tensor is part of the layer. Times that are not
positive (-1) mark layers that failed.
"""

import lzma
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from predictors.kernels import Kernel
from predictors.layer_model import MeasuredLayers
from search_spaces.errors import NasError, unknown_name

TYPES = ("Regular", "Depthwise")
FIELDS = ("Type", "B", "Cin", "H", "W", "Cout", "K", "S", "fused")
COLUMNS = FIELDS[1:]
MOST_DIGITS = 9
LINE = re.compile(r"\{([^{}]*)\}\s+(\S+)")
EXAMPLE = "{Regular,64,32,56,56,128,3,1,0} 0.2673"


@dataclass(frozen=True)
class LayerTable:
    """Measured layers, and their raw columns, int64 [n_layers, 9]: place of the type in `TYPES`, then `COLUMNS`."""

    raw: np.ndarray[tuple[int, int], np.dtype[np.int64]]
    layers: MeasuredLayers
    failed: int

    def column(self, name: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        """The raw column `name` of `FIELDS`, [n_layers]."""
        return np.asarray(self.raw[:, FIELDS.index(name)])


def read_layers(path: Path) -> LayerTable:
    """Read a table, xz-compressed or plain; NasError naming the line that cannot be read."""
    raw: list[tuple[int, ...]] = []
    ms: list[float] = []
    failed = 0
    for number, line in _lines(path):
        row, time = _parse(line, f"{path}, line {number}")
        if time > 0:
            raw.append(row)
            ms.append(time)
        else:
            failed += 1
    if not raw:
        raise NasError(f"{path} has no measured layer: expected lines such as {EXAMPLE!r}")
    columns = np.array(raw, dtype=np.int64)
    layers = MeasuredLayers(tuple(map(_kernel, raw)), columns[:, FIELDS.index("B")], np.array(ms))
    return LayerTable(columns, layers, failed)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines that are not empty."""
    try:
        data = path.read_bytes()
        text = (lzma.decompress(data) if data.startswith(b"\xfd7zXZ") else data).decode()
    except OSError as error:
        raise NasError(f"cannot read {path}: {error.strerror}") from error
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise NasError(f"{path} is neither text nor a whole xz file: {error}") from error
    return ((i, line) for i, line in enumerate(text.splitlines(), start=1) if line.strip())


def _parse(line: str, place: str) -> tuple[tuple[int, ...], float]:
    found = LINE.fullmatch(line.strip())
    fields = found[1].split(",") if found else []
    if found is None or len(fields) != len(FIELDS):
        raise NasError(
            f"{place}: {line.strip()[:80]!r} is not a measured layer: expected {{{','.join(FIELDS)}}} ms, "
            f"for example {EXAMPLE!r}"
        )
    if fields[0] not in TYPES:
        raise NasError(f"{place}: {unknown_name('type of layer', fields[0], TYPES)}")
    row = (TYPES.index(fields[0]), *(_whole(*pair, place) for pair in zip(COLUMNS, fields[1:], strict=True)))
    try:
        time = float(found[2])
    except ValueError:
        time = float("nan")
    if not abs(time) < float("inf"):
        raise NasError(f"{place}: {found[2]!r} is not a time: expected milliseconds, or -1 where the layer failed")
    if fields[0] == "Depthwise" and fields[2] != fields[5]:
        raise NasError(f"{place}: a depthwise layer has as many outputs as inputs, not {fields[2]} and {fields[5]}")
    return row, time


def _whole(name: str, text: str, place: str) -> int:
    value = int(text) if text.isascii() and text.isdigit() and len(text) <= MOST_DIGITS else -1
    if value < 0 or (value > 1 if name == "fused" else value < 1):
        legal = "0 or 1" if name == "fused" else f"a whole number from 1, of {MOST_DIGITS} digits at most"
        raise NasError(f"{place}: {name} is {text!r}: expected {legal}")
    return value


def _kernel(row: tuple[int, ...]) -> Kernel:
    kind, _, inputs, height, width, outputs, window, stride, fused = row
    group = inputs if TYPES[kind] == "Regular" else 1
    positions = (-(-height // stride), -(-width // stride))
    weights = outputs * group * window * window
    written = outputs * positions[0] * positions[1]
    return Kernel(
        kind="conv",
        in_shape=(inputs, height, width),
        out_shape=(outputs, *positions),
        inputs=1 + fused,
        window=(window, window),
        stride=(stride, stride),
        dilation=(1, 1),
        group_size=group,
        macs=weights * positions[0] * positions[1],
        moved_elements=inputs * height * width + (1 + fused) * written + weights,
    )
