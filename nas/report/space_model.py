"""The explored space, the device and its measured kernels as JSON for the page."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nas.report.axes import Axis
from nas.report.explored import Device, Explored, Floats, Guess, KernelGrid, PageTables
from nas.report.packing import Scale, column, packed, slim, slims
from nas.report.words import value_text
from search_spaces.compile_lookup import Table

TOP_CHOICES = 15
TOP_RULED = 14
Json = Any


def explored_model(found: Explored, axes: Sequence[tuple[Axis, Scale]]) -> dict[str, Json]:
    """Everything of `found` that the page draws.

    `axes` are those of the sample with the scale of each; their places are packed as "u1", 255 where none applies.
    """
    return {
        "size": found.size,
        "count": len(found.sample),
        "slots": [
            [name, [value_text(name.rpartition(".")[2], value) for value in options]]
            for name, options in found.slots.items()
        ],
        "figures": {name: column(values) for name, values in found.values.items()},
        "axes": [packed(scale.places(axis.values), "u1") for axis, scale in axes],
        "guesses": {guess.figure: _guess(guess) for guess in found.guesses},
        "stages": [stage or "whole network" for stage in found.stages],
        "dimensions": list(found.dimensions),
        "importance": {
            name: {
                "choices": _top(shares.choices),
                "stages": _grid(shares.stages),
                "pairs": _grid(shares.pairs),
            }
            for name, shares in found.importance.items()
        },
        "kept": {name: slim(share) for name, share in found.kept.items()},
        "allowed": _ruled_out(found),
        "tables": None if found.tables is None else tables_model(found.tables, found),
    }


def device_model(device: Device | None) -> dict[str, Json] | None:
    """The device's figures."""
    if device is None:
        return None
    return {
        "words": device.words,
        "peak_gmacs": slim(device.peak_gmacs),
        "bandwidth_gbs": slim(device.bandwidth_gbs),
        "waterline": slim(device.waterline),
        "source": device.source,
    }


def kernels_model(grids: Sequence[KernelGrid]) -> list[dict[str, Json]]:
    """Measured kernels, one heat map per dilation."""
    return [
        {
            "dilation": grid.dilation,
            "groups": [
                "dense" if size == 0 else "1 (depthwise)" if size == 1 else str(size) for size in grid.group_sizes
            ],
            "kernels": list(grid.kernels),
            "us_per_mmac": _grid(grid.us_per_mmac),
            "counts": grid.counts.tolist(),
        }
        for grid in grids
    ]


def tables_model(tables: PageTables, found: Explored) -> dict[str, Json]:
    """The tables in one array of 32-bit floats; each table is [variables, sizes, place of its first entry]."""
    parts: list[Floats] = []
    placed = 0

    def put(table: Table) -> list[Json]:
        nonlocal placed
        values = np.asarray(table.values, np.float64)
        parts.append(values.reshape(-1))
        placed += values.size
        return [list(table.variables), list(table.dims), placed - values.size]

    model = {
        "columns": [put(table) for table in tables.columns],
        "offers": [[put(offer.number), offer.allowed.astype(int).tolist()] for offer in tables.offers],
        "refusals": [put(table) for table in tables.refusals],
        "sums": {name: [put(table) for table in several] for name, several in tables.sums.items()},
        "maxima": {name: [put(table) for table in several] for name, several in tables.maxima.items()},
        "logarithms": [guess.figure for guess in found.guesses if guess.logarithm],
    }
    return {**model, "data": packed(np.concatenate(parts), "f4")}


def _guess(guess: Guess) -> dict[str, Json]:
    return {
        "spearman": slim(guess.spearman),
        "median_error": slim(guess.median_error),
        "count": guess.count,
    }


def _top(choices: Mapping[str, tuple[float, float]]) -> list[list[Json]]:
    ranked = sorted(choices.items(), key=lambda item: (-item[1][1], item[0]))
    return [[name, slim(first), slim(total)] for name, (first, total) in ranked[:TOP_CHOICES] if total > 0]


def _grid(values: Floats) -> list[list[float | None]]:
    return [slims(row) for row in values.tolist()]


def _ruled_out(found: Explored) -> list[list[Json]]:
    """[choice, [[option, share that keeps the limits], ...]] of the choices whose options differ most in it."""
    spread = {
        name: float(np.nanmax(shares) - np.nanmin(shares))
        for name, shares in found.allowed.items()
        if np.isfinite(shares).sum() > 1
    }
    ranked = sorted(spread, key=lambda name: (-spread[name], name))[:TOP_RULED]
    return [
        [
            name,
            [
                [value_text(name.rpartition(".")[2], value), slim(float(share))]
                for value, share in zip(found.slots[name], found.allowed[name], strict=True)
            ],
        ]
        for name in ranked
        if spread[name] > 0
    ]
