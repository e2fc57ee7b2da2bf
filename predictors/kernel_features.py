"""Numbers a latency model learns from: physical work and what the hardware's tiles make of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
import numpy.typing as npt

from predictors.kernels import Kernel

Floats = npt.NDArray[np.float64]
TILES = (4, 8, 16)


@dataclass(frozen=True, slots=True)
class KernelTable:
    """Columns of many kernels, each float64 [n_kernels]; channel counts, positions and work of one sample."""

    columns: Mapping[str, Floats]

    def __getitem__(self, name: str) -> Floats:
        return self.columns[name]

    def take(self, places: npt.NDArray[np.int64] | npt.NDArray[np.bool_]) -> "KernelTable":
        """The rows at `places`, numbers or a mask."""
        return KernelTable({name: column[places] for name, column in self.columns.items()})

    def joined(self, other: "KernelTable") -> "KernelTable":
        """This table's rows, then those of `other`."""
        return KernelTable({name: np.concatenate([column, other[name]]) for name, column in self.columns.items()})


def kernel_table(kernels: Sequence[Kernel], *, batch: npt.ArrayLike = 1) -> KernelTable:
    """Describe `kernels` by columns; `batch` is the number of samples each works on, one or [n_kernels]."""
    rows = np.array([_row(kernel) for kernel in kernels], dtype=np.float64).reshape(-1, len(_NAMES))
    columns = dict(zip(_NAMES, rows.T, strict=True))
    columns["batch"] = np.broadcast_to(np.asarray(batch, dtype=np.float64), len(rows))
    columns["groups"] = np.maximum(1.0, columns["in"] / np.maximum(1.0, columns["group_in"]))
    columns["group_out"] = columns["out"] / columns["groups"]
    return KernelTable(columns)


_NAMES = (
    "in",
    "out",
    "in_size",
    "in_width",
    "out_size",
    "width",
    "taps",
    "stride",
    "dilation",
    "group_in",
    "macs",
    "moved",
    "inputs",
)


def _row(kernel: Kernel) -> tuple[float, ...]:
    return (
        kernel.in_shape[0],
        kernel.out_shape[0],
        prod(kernel.in_shape[1:]),
        kernel.in_shape[-1],
        prod(kernel.out_shape[1:]),
        kernel.out_shape[-1],
        prod(kernel.window),
        max(kernel.stride, default=1),
        max(kernel.dilation, default=1),
        kernel.group_size or kernel.in_shape[0],
        kernel.macs,
        kernel.moved_elements,
        kernel.inputs,
    )


def kernel_class(kernel: Kernel) -> str:
    """Which kernels share one latency law: the kind with its variant; convolutions by structure.

    Convolutions are "pointwise", "dense", "depthwise" (one input channel per group) or "grouped".
    """
    if kernel.kind != "conv":
        return f"{kernel.kind}:{kernel.detail}" if kernel.detail else kernel.kind
    if kernel.groups == 1:
        return "pointwise" if max(kernel.window) == 1 else "dense"
    return "depthwise" if kernel.group_size == 1 else "grouped"


def _up(values: Floats, tile: int) -> Floats:
    return np.ceil(values / tile) * tile


def conv_work(table: KernelTable) -> Floats:
    """Amounts of work whose non-negative sum is a convolution's time, float64 [n_kernels, n_amounts].

    Constant, multiply-adds (exact and rounded up to tiles of channels), unrolled input columns, elements read and
    written (exact and in blocks of channels), weights, and a cost per group and per group and tap.
    """
    size, taps, groups = table["out_size"], table["taps"], table["groups"]
    group_in, group_out = table["group_in"], table["group_out"]
    per_group_tap = groups * group_in * taps
    amounts = [
        np.ones_like(size),
        table["macs"],
        per_group_tap * size,
        per_group_tap * np.sqrt(size),
        per_group_tap,
        groups,
        table["in"] * table["in_size"],
        table["out"] * size,
        table["out"] * group_in * taps,
        per_group_tap * _up(group_out, 4) * _up(size, 16),
    ]
    for tile in TILES:
        amounts.append(groups * _up(group_out, tile) * group_in * taps * size)
        amounts.append(groups * _up(group_out, tile) * _up(group_in, tile) * taps * size)
        amounts.append(_up(table["out"], tile) * taps * size)
        amounts.append(_up(table["in"], tile) * table["in_size"])
    return np.stack(amounts, axis=1)


def plain_work(table: KernelTable) -> Floats:
    """Amounts of work of other kernels: constant, multiply-adds, elements moved, [n_kernels, 3]."""
    return np.stack([np.ones_like(table["macs"]), table["macs"], table["moved"]], axis=1)


def shape_features(table: KernelTable) -> Floats:
    """What the learned correction sees: shapes on a logarithmic scale and fill of tiles, [n_kernels, n]."""
    logs = [
        np.log2(np.maximum(1.0, table[name]))
        for name in ("in", "out", "in_size", "out_size", "taps", "groups", "group_in", "group_out")
    ]
    work = [np.log2(1.0 + table["macs"]), np.log2(1.0 + table["moved"])]
    fill = [_up(table[name], 16) / table[name] for name in ("in", "out", "width", "out_size")]
    plain = [table[name] for name in ("stride", "dilation", "width", "inputs")]
    return np.stack([*logs, *work, *fill, *plain], axis=1)


WorkFunction = Callable[[KernelTable], Floats]
