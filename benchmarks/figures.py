"""How a benchmark tells its figures: one JSON line each on standard output, progress on standard error."""

import json
import os
import platform
import sys
from collections.abc import Mapping

Number = float | int
Detail = str | Number | bool | None


def print_figure(
    name: str,
    value: Number,
    unit: str,
    *,
    baseline: Mapping[str, Number] | None = None,
    where: Mapping[str, Detail] | None = None,
) -> None:
    """Print the figure `name`; `baseline` holds the same figure of other ways, measured in the same run.

    `where` tells under which circumstances; the processors of this machine are added.
    """
    line = {
        "figure": name,
        "value": _short(value),
        "unit": unit,
        "baseline": {key: _short(number) for key, number in (baseline or {}).items()},
        "where": {**(where or {}), "processors": len(os.sched_getaffinity(0)), "machine": platform.machine()},
    }
    print(json.dumps(line, allow_nan=False), flush=True)


def tell(text: str) -> None:
    """Print progress."""
    print(text, file=sys.stderr, flush=True)


def _short(value: Number) -> Number:
    """Six significant digits; whole numbers stay whole."""
    return value if isinstance(value, int) else float(f"{value:.6g}")
