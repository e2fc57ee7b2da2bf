"""The one table of figures that may be an objective or a limit, and the units they are given in."""

import re
from dataclasses import dataclass
from typing import Literal

from search_spaces.errors import NasError, unknown_name

Kind = Literal["validation", "counted", "measured", "learned", "analytic"]


@dataclass(frozen=True)
class Figure:
    """One figure of an architecture.

    unit: what its values are in ("" for a bare ratio). kind: how the project comes to know it when
    it searches. description: one line. direction: which way is better.
    """

    unit: str
    kind: Kind
    description: str
    direction: Literal["minimise", "maximise"] = "minimise"


FIGURES: dict[str, Figure] = {
    "error": Figure("share", "validation", "wrong answers, or the Dice missed, on the validation part of the data"),
    "latency_ms": Figure("ms", "learned", "time of one inference in the target's runtime"),
    "energy_mj": Figure("mJ", "learned", "energy of one inference, on targets that were metered or document it"),
    "energy_relative": Figure("", "analytic", "energy of one inference in units of one multiply-accumulate"),
    "macs": Figure("MACs", "counted", "multiply-accumulates of convolutions, linear and matrix products"),
    "macs_effective": Figure("MACs", "counted", "multiply-accumulates by weights that are not 0"),
    "params": Figure("parameters", "counted", "trainable numbers, each shared one once"),
    "nonzero_params": Figure("parameters", "counted", "trainable numbers that are not 0"),
    "weight_bytes": Figure("bytes", "counted", "stored weights, sparse ones with the bits of their index"),
    "activations": Figure("elements", "counted", "outputs of all convolutions and products"),
    "moved_elements": Figure("elements", "counted", "elements moved by convolutions, products and concatenations"),
    "peak_memory_bytes": Figure("bytes", "counted", "most activation memory alive at once"),
    "training_memory_bytes": Figure("bytes", "counted", "activations kept for the backward pass of one sample"),
}

_COUNT = {"": 1.0, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BYTES = {"B": 1.0, "bytes": 1.0} | {
    f"{prefix}{infix}B": base**power
    for infix, base in (("", 1000.0), ("i", 1024.0))
    for power, prefix in enumerate(("k" if not infix else "K", "M", "G"), start=1)
}
_SUFFIXES: dict[str, dict[str, float]] = {
    "share": {"": 1.0, "%": 0.01},
    "ms": {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "ms": 1.0, "s": 1e3},
    "mJ": {"nJ": 1e-6, "uJ": 1e-3, "µJ": 1e-3, "mJ": 1.0, "J": 1e3},
    "bytes": _BYTES | {"KB": 1e3},
    "MACs": _COUNT | {f"{prefix}MACs": scale for prefix, scale in _COUNT.items()},
    "parameters": _COUNT,
    "elements": _COUNT,
    "": _COUNT,
}
_QUANTITY = re.compile(r"\s*([0-9][0-9_]*(?:\.[0-9]*)?(?:[eE][+-]?[0-9]+)?)\s*([^\W\d_]*|%)\s*")

CAPACITY = ("params", "macs", "nonzero_params")
"""What grows with the size of a network, the figure that decides first in front."""


def figure(name: str) -> Figure:
    """Return the figure called `name`; NasError with the near matches when there is none."""
    if name not in FIGURES:
        raise unknown_name("figure", name, FIGURES)
    return FIGURES[name]


def parse_quantity(text: str, unit: str) -> float:
    """Return what `text` ("256 KiB", "1.5 ms", "300 M", "3 %") means in `unit`.

    `unit` is a figure's unit, one of "share", "ms", "mJ", "bytes", "MACs", "parameters",
    "elements" and "". A bare number is taken to be in `unit` already. kB and KB are 1,000 bytes,
    KiB is 1,024. Raises NasError that names the legal suffixes.
    """
    suffixes = _SUFFIXES[unit]
    match = _QUANTITY.fullmatch(text.replace("\N{GREEK SMALL LETTER MU}", "\N{MICRO SIGN}"))
    suffix = match[2] if match else None
    if match is None or not (suffix == "" or suffix in suffixes):
        legal = ", ".join(name for name in suffixes if name)
        raise NasError(f"{text!r} is not a number followed by one of: {legal}")
    return float(match[1]) * suffixes.get(match[2], 1.0)
