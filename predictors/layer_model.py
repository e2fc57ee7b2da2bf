"""The time of convolutions on hardware that works in tiles, learned from many measured ones at any batch size.

Each step corrects the logarithm of what the ones before leave over:

1. a law, a non-negative sum of amounts of work, carries predictions to sizes never measured;
2. boosting over features that mean the same at any size: how full tiles are, work per element moved;
3. boosting that also sees how far measured neighbours, which differ along a single axis, were from steps 1 and 2;
   only for kernels none of whose values is new.

Steps 2 and 3 are means of models that each leave a part of the rows out. What step 2 says of its left-out rows is what
step 3 corrects, so neighbours' errors are honest; those of both give the intervals. Intervals of kernels beyond what
was measured come from models fitted without the largest batch, size, window or channels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from predictors.conformal import conformal_bound
from predictors.kernel_features import Floats, KernelTable, kernel_class, kernel_table
from predictors.kernel_model import Trees, boosted
from predictors.kernels import Kernel
from predictors.neighbours import NOWHERE, Mask, Places, neighbours, steps
from predictors.tiles import Names, Tiling, WorkLaw, fit_law, tile_features
from search_spaces.errors import NasError

LEAST_ROWS = 200
ROWS_PER_TREE = 20
ROWS_FOR_THREADS = 10_000
GENERAL = Trees(iterations=300, rate=0.1, leaves=127, least_rows=20, feature_share=0.3)
GENERAL_PARTS = 3
LOCAL = Trees(iterations=200, rate=0.1, leaves=255, least_rows=10, feature_share=0.2, loss="absolute_error")
LOCAL_PARTS, LOCAL_MODELS = 10, 3
AXES_TO_TRUST = 2
GROUPS_OF_ERRORS = 8
BEYOND = ("batch", "in_size", "taps", "in", "out")
VALUES_FOR_BEYOND = 3
SHARE_BEYOND = 0.2
ROWS_FOR_BEYOND = 5_000
FAR = 99.0
NOTHING = np.empty(0)


@dataclass(frozen=True)
class MeasuredLayers:
    """Training rows: `ms` [n_rows] of convolutions `kernels` over `batch` [n_rows] samples each."""

    kernels: tuple[Kernel, ...]
    batch: npt.NDArray[np.int64]
    ms: Floats


@dataclass(frozen=True)
class LayerPrediction:
    """Predicted milliseconds [n_kernels], with what intervals need.

    near: whether measured neighbours had their say, [n_kernels]. beyond: per column of `BEYOND`, whether the kernel's
    value is one that no measured kernel had, [n_kernels, n_columns].
    """

    ms: Floats
    near: Mask
    beyond: Mask


@dataclass(frozen=True)
class LayerErrors:
    """Absolute errors of log ms on rows left out, [n] each; empty where there were too few rows.

    general: of steps 1 and 2. near: of all steps, in groups of increasing predicted time that end at `edges`
    [n_groups - 1] ms. beyond: per column of `BEYOND`, of models fitted without its largest values.
    """

    general: Floats
    edges: Floats
    near: tuple[Floats, ...]
    beyond: tuple[Floats, ...]


@dataclass(frozen=True)
class _Measured:
    """The rows fitted on: their columns, and the log of what steps 1 and 2 leave over, [n_rows]."""

    table: KernelTable
    left: Floats


class LayerModel:
    """Predicted milliseconds of convolutions; made by `fit_layer_model`."""

    def __init__(
        self,
        law: WorkLaw,
        measured: _Measured,
        *,
        general: Sequence[Any] = (),
        local: Sequence[Any] = (),
        errors: LayerErrors,
    ) -> None:
        self._law = law
        self._measured = measured
        self._general = general
        self._local = local
        self.errors = errors

    def predict(self, kernels: Sequence[Kernel], *, batch: npt.ArrayLike = 1) -> LayerPrediction:
        """Predict `kernels` over `batch` samples, one number or [n_kernels]."""
        measured, count = self._measured, len(self._measured.left)
        table, classes = _described(kernels, batch)
        log_ms = np.log(self._law.predict_ms(table, classes))
        near = np.zeros(len(kernels), dtype=np.bool_)
        beyond = np.stack([~np.isin(table[name], measured.table[name]) for name in BEYOND], axis=1)
        if not self._general or not kernels:
            return LayerPrediction(np.exp(log_ms), near, beyond)
        features = tile_features(table, self._law.tiling)
        log_ms += _mean(self._general, features)
        if self._local:
            joined = measured.table.joined(table)
            places = neighbours(joined, np.arange(count + len(kernels)) < count)
            near = _trusted(places[count:]) & ~beyond.any(axis=1)
            if near.any():
                seen = np.concatenate([features, _seen(joined, places, measured.left)[count:]], axis=1)
                log_ms[near] += _mean(self._local, seen[near])
        return LayerPrediction(np.exp(log_ms), near, beyond)

    def predict_ms(self, kernels: Sequence[Kernel], *, batch: npt.ArrayLike = 1) -> Floats:
        """Milliseconds of each kernel, [n_kernels]."""
        return self.predict(kernels, batch=batch).ms

    def interval(self, prediction: LayerPrediction, *, confidence: float = 0.9) -> tuple[Floats, Floats]:
        """Where measurements lie, two [n_kernels] of milliseconds; 0 and infinity where too few rows can tell."""
        errors = self.errors
        close = _widths(errors.near, confidence)[np.searchsorted(errors.edges, prediction.ms)]
        away = np.where(prediction.beyond, _widths(errors.beyond, confidence), 0.0).max(axis=1)
        width = np.where(prediction.near, close, _widths([errors.general], confidence))
        factor = np.exp(np.where(prediction.beyond.any(axis=1), away, width))
        return prediction.ms / factor, prediction.ms * factor


def fit_layer_model(rows: MeasuredLayers, *, tiling: Tiling | None = None) -> LayerModel:
    """Fit `rows`; deterministic. Below `LEAST_ROWS` rows only the law is fitted.

    Raises NasError where a kernel is not a convolution or a time is not positive.
    """
    _check(rows)
    table, classes = _described(rows.kernels, rows.batch)
    law = fit_law(table, classes, rows.ms, tiling or Tiling())
    left = np.log(rows.ms / law.predict_ms(table, classes))
    far = tuple(_errors_beyond(name, table, classes, rows.ms, law.tiling) for name in BEYOND)
    if len(left) < LEAST_ROWS:
        return LayerModel(law, _Measured(table, left), errors=LayerErrors(NOTHING, NOTHING, (NOTHING,), far))
    features = tile_features(table, law.tiling)
    general, said = _fit_parts(features, left, GENERAL, parts=GENERAL_PARTS, models=GENERAL_PARTS)
    measured = _Measured(table, left - said)
    places = neighbours(table, np.ones(len(left), dtype=np.bool_))
    near = _trusted(places)
    if near.sum() < LEAST_ROWS:
        errors = LayerErrors(np.abs(measured.left), NOTHING, (NOTHING,), far)
        return LayerModel(law, measured, general=general, errors=errors)
    seen = np.concatenate([features, _seen(table, places, measured.left)], axis=1)[near]
    local, said = _fit_parts(seen, measured.left[near], LOCAL, parts=LOCAL_PARTS, models=LOCAL_MODELS)
    off = said - measured.left[near]
    edges, groups = _grouped(np.log(rows.ms[near]) + off, np.abs(off))
    errors = LayerErrors(np.abs(measured.left), edges, groups, far)
    return LayerModel(law, measured, general=general, local=local, errors=errors)


def _check(rows: MeasuredLayers) -> None:
    if not rows.kernels:
        raise NasError("no measured kernel: a layer model needs some, and thousands to be good")
    for i, (kernel, ms) in enumerate(zip(rows.kernels, rows.ms, strict=True)):
        if kernel.kind != "conv":
            raise NasError(f"kernel {i} is of kind {kernel.kind!r}: layer models are fitted on convolutions only")
        if not 0 < ms < np.inf:
            raise NasError(f"kernel {i} was measured at {ms} ms: times must be positive; leave failed rows out")


def _described(kernels: Sequence[Kernel], batch: npt.ArrayLike) -> tuple[KernelTable, Names]:
    return kernel_table(kernels, batch=batch), np.array([kernel_class(kernel) for kernel in kernels], dtype=np.str_)


def _boosted(features: Floats, left: Floats, trees: Trees, *, seed: int = 0) -> Any:
    few = replace(trees, iterations=min(trees.iterations, len(left) // ROWS_PER_TREE))
    return boosted(features, left, trees=few, seed=seed, threads=None if len(left) >= ROWS_FOR_THREADS else 1)


def _fit_parts(
    features: Floats, left: Floats, trees: Trees, *, parts: int, models: int
) -> tuple[tuple[Any, ...], Floats]:
    """Models of which each leaves out one of `parts` parts of the rows, and what they say of these, NaN elsewhere."""
    part = np.random.default_rng(0).permutation(len(left)) % parts
    said = np.full(len(left), np.nan)
    fitted = []
    for k in range(models):
        rest = part != k
        fitted.append(_boosted(features[rest], left[rest], trees, seed=k))
        said[~rest] = fitted[-1].predict(features[~rest])
    return tuple(fitted), said


def _grouped(log_ms: Floats, off: Floats) -> tuple[Floats, tuple[Floats, ...]]:
    """Edges in ms between groups of equally many rows, and each group's errors; rows that are NaN are left out."""
    known = ~np.isnan(off)
    edges = np.quantile(log_ms[known], np.arange(1, GROUPS_OF_ERRORS) / GROUPS_OF_ERRORS)
    group = np.searchsorted(edges, log_ms[known])
    return np.exp(edges), tuple(off[known][group == i] for i in range(GROUPS_OF_ERRORS))


def _errors_beyond(name: str, table: KernelTable, classes: Names, ms: Floats, tiling: Tiling) -> Floats:
    """Absolute errors on rows with the largest values of column `name`, of steps 1 and 2 fitted without them."""
    values = np.unique(table[name])
    held = table[name] >= values[int(len(values) * (1 - SHARE_BEYOND))]
    if len(values) < VALUES_FOR_BEYOND or (~held).sum() < LEAST_ROWS:
        return NOTHING
    rng = np.random.default_rng(0)
    fitted, asked = (rng.permutation(np.flatnonzero(part))[:ROWS_FOR_BEYOND] for part in (~held, held))
    known, new = table.take(fitted), table.take(asked)
    law = fit_law(known, classes[fitted], ms[fitted], tiling)
    left = [np.log(ms[some] / law.predict_ms(table.take(some), classes[some])) for some in (fitted, asked)]
    model = _boosted(tile_features(known, tiling), left[0], GENERAL)
    return np.asarray(np.abs(model.predict(tile_features(new, tiling)) - left[1]))


def _trusted(places: Places) -> Mask:
    return np.asarray((places != NOWHERE).any(axis=2).sum(axis=1) >= AXES_TO_TRUST)


def _seen(table: KernelTable, places: Places, left: Floats) -> Floats:
    """What steps 1 and 2 left of neighbours, and how far away these are, [n_kernels, 4 * n_axes]; FAR where none."""
    took = np.append(left, FAR)[places]
    away = np.nan_to_num(steps(table, places), nan=FAR)
    return np.concatenate([part.reshape(len(places), -1) for part in (took, away)], axis=1)


def _mean(models: Sequence[Any], features: Floats) -> Floats:
    return np.asarray(np.mean([model.predict(features) for model in models], axis=0))


def _widths(errors: Sequence[Floats], confidence: float) -> Floats:
    """What a share `confidence` of each set of errors stays within, [n_sets]; infinity where one is too small."""
    bounds = [conformal_bound(some.tolist(), confidence) for some in errors]
    return np.array([np.inf if bound is None else bound for bound in bounds])
