"""The layer model against a device that works in rounds of tiles."""

import numpy as np
import pytest

from predictors.holdout import accuracy
from predictors.kernel_features import kernel_class, kernel_table
from predictors.kernel_model import Trees, boosted
from predictors.kernels import Kernel
from predictors.layer_model import LayerModel, MeasuredLayers, fit_layer_model
from predictors.tiles import Tiling, fit_law
from search_spaces.errors import NasError
from tests.predictors.synthetic import convolution, convolutions, tiled_ms

TILING = Tiling(units=8, tiles=((64, 64), (64, 32), (128, 64)))
NOISE = 0.01
PLAIN = Trees(iterations=100, rate=0.1, leaves=31, least_rows=8)


def measured(rng: np.random.Generator, count: int, *, noise: float = NOISE) -> MeasuredLayers:
    kernels, batch = convolutions(rng, count)
    ms = np.array([tiled_ms(kernel, int(size)) for kernel, size in zip(kernels, batch, strict=True)])
    return MeasuredLayers(tuple(kernels), batch, ms * np.exp(noise * rng.standard_normal(count)))


def part(rows: MeasuredLayers, mask: np.ndarray) -> MeasuredLayers:  # type: ignore[type-arg]
    kernels = tuple(kernel for kernel, take in zip(rows.kernels, mask, strict=True) if take)
    return MeasuredLayers(kernels, rows.batch[mask], rows.ms[mask])


def plain_boosting(fitted: MeasuredLayers, asked: MeasuredLayers) -> np.ndarray:  # type: ignore[type-arg]
    def columns(rows: MeasuredLayers) -> np.ndarray:  # type: ignore[type-arg]
        table = kernel_table(rows.kernels, batch=rows.batch)
        return np.column_stack([table[name] for name in ("in", "out", "in_size", "taps", "stride", "groups", "batch")])

    trees = boosted(columns(fitted), np.log(fitted.ms), trees=PLAIN)
    return np.asarray(np.exp(trees.predict(columns(asked))))


@pytest.fixture(scope="module")
def rows() -> MeasuredLayers:
    return measured(np.random.default_rng(1), 1200)


@pytest.fixture(scope="module")
def model(rows: MeasuredLayers) -> LayerModel:
    return fit_layer_model(part(rows, np.arange(1200) >= 300), tiling=TILING)


@pytest.fixture(scope="module")
def fresh(rows: MeasuredLayers) -> MeasuredLayers:
    return part(rows, np.arange(1200) < 300)


def test_each_step_brings_it_closer(model: LayerModel, rows: MeasuredLayers, fresh: MeasuredLayers) -> None:
    fitted = part(rows, np.arange(1200) >= 300)
    found = model.predict(fresh.kernels, batch=fresh.batch)
    assert found.near.mean() > 0.5
    learned = accuracy(found.ms, fresh.ms).mape
    tables = [kernel_table(some.kernels, batch=some.batch) for some in (fitted, fresh)]
    names = [np.array([kernel_class(kernel) for kernel in some.kernels]) for some in (fitted, fresh)]
    law = fit_law(tables[0], names[0], fitted.ms, TILING).predict_ms(tables[1], names[1])
    assert learned < 0.06
    assert learned < 0.6 * accuracy(plain_boosting(fitted, fresh), fresh.ms).mape
    assert learned < 0.6 * accuracy(law, fresh.ms).mape


@pytest.mark.parametrize("beyond", ["batch", "size"])
def test_beyond_what_was_measured_the_law_carries_on(rows: MeasuredLayers, beyond: str) -> None:
    sizes = np.array([kernel.in_shape[1] for kernel in rows.kernels])
    held = rows.batch == 64 if beyond == "batch" else sizes == 46
    fitted, asked = part(rows, ~held), part(rows, held)
    model = fit_layer_model(fitted, tiling=TILING)
    found = model.predict(asked.kernels, batch=asked.batch)
    assert not found.near.any()
    assert found.beyond.any(axis=1).all()
    learned = accuracy(found.ms, asked.ms).mape
    assert learned < 0.4 * accuracy(plain_boosting(fitted, asked), asked.ms).mape
    low, high = model.interval(found, confidence=0.9)
    assert ((low <= asked.ms) & (asked.ms <= high)).mean() > 0.7
    assert np.isfinite(high).all()


def test_intervals_cover_as_often_as_they_say(model: LayerModel, fresh: MeasuredLayers) -> None:
    found = model.predict(fresh.kernels, batch=fresh.batch)
    widths = []
    for confidence in (0.5, 0.8):
        low, high = model.interval(found, confidence=confidence)
        inside = ((low <= fresh.ms) & (fresh.ms <= high))[found.near]
        assert confidence - 0.1 < inside.mean() < confidence + 0.15
        widths.append(np.median(high / low))
    assert widths[0] < widths[1]


def test_rows_are_predicted_alike_alone_and_together(model: LayerModel, fresh: MeasuredLayers) -> None:
    together = model.predict_ms(fresh.kernels[:20], batch=fresh.batch[:20])
    alone = [model.predict_ms([k], batch=int(b))[0] for k, b in zip(fresh.kernels[:20], fresh.batch[:20], strict=True)]
    assert together == pytest.approx(alone, rel=1e-12)
    assert model.predict_ms([]).shape == (0,)
    assert model.predict_ms([convolution(24, 48, 10, 3, 1)]).shape == (1,)


def test_the_same_rows_give_the_same_model() -> None:
    rows = measured(np.random.default_rng(3), 250)
    first, again = (fit_layer_model(rows, tiling=TILING) for _ in range(2))
    kernels = rows.kernels[:50]
    assert np.array_equal(first.predict_ms(kernels, batch=4), again.predict_ms(kernels, batch=4))


def test_few_rows_give_a_law_without_interval() -> None:
    rows = measured(np.random.default_rng(2), 100)
    model = fit_layer_model(rows, tiling=TILING)
    found = model.predict(rows.kernels, batch=rows.batch)
    low, high = model.interval(found)
    assert (found.ms > 0).all()
    assert not found.near.any()
    assert (low == 0).all()
    assert np.isinf(high).all()


def test_what_cannot_be_fitted_is_named() -> None:
    rows = measured(np.random.default_rng(2), 5)
    pool = Kernel("pool", (8, 4, 4), (8, 2, 2))
    with pytest.raises(NasError, match="kernel 1 is of kind 'pool'"):
        fit_layer_model(MeasuredLayers((rows.kernels[0], pool), rows.batch[:2], rows.ms[:2]))
    with pytest.raises(NasError, match=r"kernel 0 was measured at -1\.0 ms"):
        fit_layer_model(MeasuredLayers(rows.kernels[:1], rows.batch[:1], np.array([-1.0])))
    with pytest.raises(NasError, match="no measured kernel"):
        fit_layer_model(MeasuredLayers((), rows.batch[:0], rows.ms[:0]))
