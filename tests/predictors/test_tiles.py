"""Tiles by hand, and the law that sums their work."""

import numpy as np
import pytest

from predictors.kernel_features import KernelTable, kernel_class, kernel_table
from predictors.tiles import ALL, Tiling, fit_law, in_rounds, round_up, tile_counts, tile_features, tiled_work
from tests.predictors.synthetic import convolution, convolutions


def names(kernels: list) -> np.ndarray:  # type: ignore[type-arg]
    return np.array([kernel_class(kernel) for kernel in kernels])


def test_tiles_by_hand() -> None:
    table = kernel_table([convolution(16, 70, 12, 3, 1), convolution(16, 64, 12, 3, 2)], batch=[1, 32])
    assert tile_counts(table, (128, 64)).tolist() == [2 * 2, 9 * 1]
    assert in_rounds(table, (128, 64), units=3).tolist() == [6 * 128 * 64, 9 * 128 * 64]
    assert round_up(np.array([1.0, 8.0, 9.0]), 8).tolist() == [8, 8, 16]


def test_the_batch_is_a_column_and_multiplies_work() -> None:
    kernel = convolution(16, 32, 8, 3, 1)
    one, many = (kernel_table([kernel], batch=batch) for batch in (1, 64))
    assert one["batch"].tolist() == [1]
    works = [tiled_work(table, Tiling())[0] for table in (one, many)]
    assert works[1][1] == 64 * kernel.macs
    assert works[0][-1] == works[1][-1] == 32 * 16 * 9


def test_features_are_finite_and_tell_tiles_apart(rng: np.random.Generator) -> None:
    kernels, batch = convolutions(rng, 300)
    table = kernel_table(kernels, batch=batch)
    features = tile_features(table, Tiling())
    assert np.isfinite(features).all()
    assert len(features) == 300
    other = tile_features(table, Tiling(units=20))
    assert not np.array_equal(features, other)


def test_a_time_that_is_a_sum_of_work_is_found_exactly(rng: np.random.Generator) -> None:
    kernels, batch = convolutions(rng, 400)
    table = kernel_table(kernels, batch=batch)
    work = tiled_work(table, Tiling(units=4))
    ms = 0.01 + 1e-9 * work[:, 3] + 2e-8 * work[:, 6] + 1e-8 * work[:, 8]
    law = fit_law(table, names(kernels), ms, Tiling(units=4))
    assert law.predict_ms(table, names(kernels)) == pytest.approx(ms, rel=1e-5)
    everywhere = law.predict_ms(table, np.full(len(kernels), "never measured"))
    assert everywhere == pytest.approx(ms, rel=1e-5)
    assert {ALL, "dense", "depthwise"} <= set(law.coefficients)
    assert isinstance(table.take(ms > 0), KernelTable)
