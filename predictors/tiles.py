"""What hardware that works in tiles makes of a convolution: rounded-up work under several hypotheses.

A convolution is a product of a matrix of batch * positions rows with one of as many columns as output channels, over
group channels * taps. A library cuts the result into tiles, gives each to one processor, and runs as many rounds as
it takes; the last one is partly idle. Which tile it chose is not known, so the rounding of each is a number to learn
from, and so is that of transforms that work on blocks of the image (Winograd, Fourier) and of channels in vectors.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats, KernelTable
from predictors.kernel_model import SHORTEST_MS, non_negative

Names = npt.NDArray[np.str_]
ALL = ""
VECTOR = 8
BLOCKS = (2, 4, 8, 16, 32)
POSITIONS = (64, 128)
ALIGNMENTS = (4, 8)
PLAIN = ("in", "in_size", "width", "batch", "taps", "stride", "dilation", "inputs", "groups")


@dataclass(frozen=True, slots=True)
class Tiling:
    """Hypotheses about a machine: its processors, and output tiles (rows, columns) one may work on; likeliest first.

    The defaults are those of NVIDIA's V100 (80 multiprocessors) and the tiles its libraries' kernels are named after.
    """

    units: int = 80
    tiles: tuple[tuple[int, int], ...] = (
        (128, 128),
        (128, 64),
        (128, 32),
        (64, 64),
        (64, 32),
        (32, 32),
        (256, 64),
        (256, 128),
    )


def round_up(values: Floats, multiple: int) -> Floats:
    """`values` rounded up to multiples."""
    return np.asarray(np.ceil(values / multiple) * multiple)


def tile_counts(table: KernelTable, tile: tuple[int, int]) -> Floats:
    """How many tiles (rows, columns) cover the output of each kernel, [n_kernels]."""
    rows, columns = tile
    return np.asarray(np.ceil(table["batch"] * table["out_size"] / rows) * np.ceil(table["out"] / columns))


def in_rounds(table: KernelTable, tile: tuple[int, int], *, units: int) -> Floats:
    """Output elements that `units` processors work on in whole rounds of tiles, [n_kernels]."""
    return np.asarray(np.ceil(tile_counts(table, tile) / units) * units * tile[0] * tile[1])


def tiled_work(table: KernelTable, tiling: Tiling) -> Floats:
    """Amounts of work whose non-negative sum is a first law of time, float64 [n_kernels, n_amounts].

    Constant; multiply-adds, exact, with channels in vectors, and in whole rounds of the likeliest tile; elements
    read, all and only those that some window covers; elements written, those of further inputs, and weights.
    """
    batch, size, taps = table["batch"], table["out_size"], table["taps"]
    depth, written = table["group_in"] * taps, batch * table["out"] * size
    vectors = round_up(table["group_in"], VECTOR) * round_up(table["group_out"], VECTOR)
    amounts = [
        np.ones_like(batch),
        batch * table["macs"],
        batch * size * taps * table["groups"] * vectors,
        in_rounds(table, tiling.tiles[0], units=tiling.units) * depth,
        batch * table["in"] * table["in_size"],
        batch * table["in"] * np.minimum(table["in_size"], size * taps),
        written,
        written * (table["inputs"] - 1),
        table["out"] * depth,
    ]
    return np.stack(amounts, axis=1)


def tile_features(table: KernelTable, tiling: Tiling) -> Floats:
    """What a learned correction sees: sizes and intensities as logarithms, and how full tiles are, [n_kernels, n]."""
    batch, size, taps = table["batch"], table["out_size"], table["taps"]
    depth, written = table["group_in"] * taps, batch * table["out"] * size
    read, weights = batch * table["in"] * table["in_size"], table["out"] * depth
    sizes = [batch * size, table["out"], depth, table["group_in"], written * depth, read, written, weights]
    ratios = [written * depth / (read + written + weights), read / written, taps / table["in_size"]]
    fill = [in_rounds(table, tile, units=tiling.units) / (batch * size * table["out"]) for tile in tiling.tiles]
    shares = [tile_counts(table, tile) / tiling.units for tile in tiling.tiles[:2]]
    blocks = [round_up(table["width"], block) / table["width"] for block in BLOCKS]
    vectors = [round_up(table["in"], VECTOR) / table["in"]]
    positions = [round_up(size, count) / size for count in POSITIONS]
    remains = [np.mod(sides, by) for sides in (size, table["in_width"]) for by in ALIGNMENTS]
    logarithms = [np.log2(amount) for amount in (*sizes, *ratios, *fill, *shares)]
    plain = [table[name] for name in PLAIN]
    return np.stack([*logarithms, *plain, *blocks, *vectors, *positions, *remains], axis=1)


@dataclass(frozen=True)
class WorkLaw:
    """Time as a non-negative sum of `tiled_work`: coefficients per class of kernels, `ALL` for those never measured."""

    tiling: Tiling
    coefficients: Mapping[str, Floats]

    def predict_ms(self, table: KernelTable, classes: Names) -> Floats:
        """Milliseconds of kernels described by `table` and `kernel_class`, [n_kernels], all positive."""
        work = tiled_work(table, self.tiling)
        ms = np.empty(len(work))
        for name in np.unique(classes):
            same = classes == name
            ms[same] = work[same] @ self.coefficients.get(str(name), self.coefficients[ALL])
        return np.maximum(SHORTEST_MS / 10, ms)


def fit_law(table: KernelTable, classes: Names, ms: Floats, tiling: Tiling) -> WorkLaw:
    """Fit every class in `classes` [n_kernels] to relative errors of `ms` [n_kernels]."""
    work = tiled_work(table, tiling)
    found = {ALL: non_negative(work, ms)}
    for name in np.unique(classes):
        same = classes == name
        found[str(name)] = non_negative(work[same], ms[same])
    return WorkLaw(tiling, found)
