"""Long columns of numbers as JSON: short lists as they are, long ones as bytes in base64."""

import base64
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
NONE_8, NONE_16 = 255, 65535
LOGARITHMIC = 20.0
"""Positive columns whose largest value is so many times the smallest are kept on a logarithmic scale."""


def slim(value: float | None) -> float | None:
    """Seven significant digits; `None` for what is unknown or not finite."""
    if value is None or not math.isfinite(value):
        return None
    return float(f"{value:.7g}")


def slims(values: Iterable[float | None]) -> list[float | None]:
    """`slim` of each."""
    return [slim(value) for value in values]


def packed(values: npt.NDArray[Any], kind: str) -> dict[str, Any]:
    """`values`, flat, as little-endian bytes; `kind` is "u1", "u2", "u4" or "f4"."""
    flat = np.ascontiguousarray(values.reshape(-1), dtype=np.dtype(kind).newbyteorder("<"))
    return {"kind": kind, "bytes": base64.b64encode(flat.tobytes()).decode("ascii")}


def unpacked(found: dict[str, Any]) -> npt.NDArray[Any]:
    """What `packed` was given, flat."""
    return np.frombuffer(base64.b64decode(found["bytes"]), np.dtype(found["kind"]).newbyteorder("<"))


@dataclass(frozen=True)
class Scale:
    """An even scale of `steps` between `low` and `high`, of logarithms where `log`."""

    low: float
    high: float
    log: bool
    steps: int

    @classmethod
    def of(cls, values: Floats, *, steps: int, log: bool | None = None) -> "Scale":
        """The scale that holds all finite `values`; by default logarithmic for positive ones of many magnitudes."""
        known = values[np.isfinite(values)]
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
        wide = low > 0 and high > LOGARITHMIC * low
        return cls(low, high, wide if log is None else log and low > 0, steps)

    def places(self, values: Floats) -> npt.NDArray[np.int64]:
        """The nearest step of each value, `steps` where it is not finite."""
        known = np.isfinite(values)
        inside = np.clip(np.where(known, values, self.low), self.low, self.high)
        low, high = self.low, self.high
        if self.log:
            inside, low, high = np.log(inside), math.log(low), math.log(high)
        share = (inside - low) / (high - low) if high > low else np.zeros_like(inside)
        return np.where(known, np.rint(share * (self.steps - 1)), self.steps).astype(np.int64)


def column(values: Floats) -> dict[str, Any]:
    """`values` [n] to one part in 65,000 of their range: `low`, `high`, `log`, and `data` with 65535 for unknown."""
    scale = Scale.of(values, steps=NONE_16)
    return {
        "low": slim(scale.low),
        "high": slim(scale.high),
        "log": scale.log,
        "data": packed(scale.places(values), "u2"),
    }
