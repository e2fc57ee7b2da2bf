"""Measured kernels next to a kernel: those that differ from it along a single axis.

Published tables and profiling plans vary one thing at a time, so most kernels have been measured with another batch,
size, window or number of channels. What such a neighbour took beyond a common law says most about a kernel whose
algorithm the runtime chose by trying.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats, KernelTable

Places = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
NOWHERE = -1


@dataclass(frozen=True, slots=True)
class Axis:
    """A direction: the column along which neighbours are ordered, and what else may change on the way."""

    along: str
    free: tuple[str, ...] = ()


KEPT = (
    "in",
    "out",
    "ratio",
    "structure",
    "groups",
    "group_in",
    "in_size",
    "in_width",
    "taps",
    "stride",
    "dilation",
    "inputs",
    "batch",
)
AXES = (
    Axis("inputs"),
    Axis("batch"),
    Axis("in_size", ("in_width",)),
    Axis("taps"),
    Axis("stride"),
    Axis("dilation"),
    Axis("in", ("ratio", "group_in")),
    Axis("out", ("ratio",)),
    Axis("out", ("in", "groups", "group_in")),
    Axis("group_in", ("groups", "structure")),
)


def neighbours(table: KernelTable, measured: Mask) -> Places:
    """Places of the next measured kernels below and above each kernel on every axis, [n_kernels, n_axes, 2].

    `measured` [n_kernels] tells which rows of the table may be neighbours; no kernel is its own. `NOWHERE` where
    there is none. One of the two axes of the outputs moves the inputs along, at the same ratio.
    """
    columns = {name: _ranks(column) for name, column in _identity(table).items()}
    found = np.full((len(measured), len(AXES), 2), NOWHERE, dtype=np.int64)
    for i, axis in enumerate(AXES):
        kept = [columns[name] for name in KEPT if name != axis.along and name not in axis.free]
        order = np.lexsort((columns[axis.along], *kept))
        line = np.concatenate([[0], np.cumsum(np.any([np.diff(column[order]) != 0 for column in kept], axis=0))])
        found[order, i, 0] = _last_before(order, line, measured)
        found[order[::-1], i, 1] = _last_before(order[::-1], line[::-1], measured)
    return found


def steps(table: KernelTable, places: Places) -> Floats:
    """How far away the neighbours at `places` are, log2 of their coordinate over one's own, NaN where none."""
    found = np.full(places.shape, np.nan)
    for i, axis in enumerate(AXES):
        logs = np.log2(np.maximum(1.0, table[axis.along]))
        near = places[:, i]
        found[:, i] = np.where(near >= 0, logs[near] - logs[:, None], np.nan)
    return found


def _identity(table: KernelTable) -> dict[str, Floats]:
    columns = {name: table[name] for name in KEPT if name not in ("ratio", "structure")}
    columns["ratio"] = np.round(table["out"] / table["in"], 9)
    columns["structure"] = np.where(table["groups"] == 1, 0.0, table["group_in"])
    return columns


def _ranks(column: Floats) -> Places:
    return np.unique(column, return_inverse=True)[1].astype(np.int64)


def _last_before(order: Places, line: Places, measured: Mask) -> Places:
    """The last measured row before each row of `order` on the same `line`, both [n_rows]."""
    at = np.where(measured[order], np.arange(len(order)), NOWHERE)
    before = np.concatenate([[NOWHERE], np.maximum.accumulate(at)[:-1]])
    same = (before >= 0) & (line[before] == line)
    return np.where(same, order[before], NOWHERE)
