"""The time of single kernels, learned from measured ones."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import (
    Floats,
    KernelTable,
    WorkFunction,
    conv_work,
    kernel_class,
    kernel_table,
    plain_work,
    shape_features,
)
from predictors.kernels import Kernel

SHORTEST_MS = 1e-3
ROWS_PER_AMOUNT = 2
ROWS_TO_CORRECT = 60
SHARE_TO_CORRECT = 0.01
FOLDS = 2
FEW_REPEATS = 3.0


@dataclass(frozen=True, slots=True)
class Trees:
    """How boosted trees grow, in the words of scikit-learn: trees, learning rate, most leaves of one, fewest rows of a
    leaf, share of the features a split may choose from, and the error that is made small."""

    iterations: int
    rate: float
    leaves: int
    least_rows: int
    feature_share: float = 1.0
    loss: Literal["squared_error", "absolute_error"] = "squared_error"


FEW_ROWS = Trees(iterations=80, rate=0.12, leaves=15, least_rows=8)


@dataclass(frozen=True)
class MeasuredKernels:
    """Training rows: `ms` [n_rows] of `kernels`; `network` [n_rows] numbers where each was measured."""

    kernels: tuple[Kernel, ...]
    ms: Floats
    network: npt.NDArray[np.int64]


@dataclass(frozen=True)
class ClassModel:
    """Time law of one class: non-negative sum of work, times exp(strength * learned correction)."""

    work: WorkFunction
    coefficients: Floats
    corrector: Any
    strength: float

    def predict(self, table: KernelTable) -> Floats:
        base = (self.work(table) * self.coefficients).sum(axis=1)
        if self.corrector is None:
            return np.asarray(base)
        return np.asarray(base * np.exp(self.strength * self.corrector.predict(shape_features(table))))


class KernelModel:
    """Predicted milliseconds of kernels; classes never measured are taken for data movement."""

    def __init__(self, classes: Mapping[str, ClassModel], memory: Mapping[Kernel, tuple[int, float]]) -> None:
        self._classes = classes
        self._memory = memory

    @property
    def known(self) -> frozenset[str]:
        """Classes of kernels that were measured."""
        return frozenset(self._classes) - {""}

    @property
    def general(self) -> "KernelModel":
        """The model without what it remembers of single kernels: what it says of kernels never measured."""
        return KernelModel(self._classes, {})

    def predict_ms(self, kernels: Sequence[Kernel]) -> Floats:
        """Milliseconds of each kernel, [n_kernels]."""
        distinct: dict[Kernel, int] = {}
        place = np.array([distinct.setdefault(kernel.dense, len(distinct)) for kernel in kernels], dtype=np.int64)
        return self._predict_distinct(tuple(distinct))[place]

    def _predict_distinct(self, kernels: tuple[Kernel, ...]) -> Floats:
        predicted = np.zeros(len(kernels))
        for name, places in _by_class(kernels).items():
            model = self._classes.get(name, self._classes[""])
            table = kernel_table([kernels[i] for i in places])
            predicted[places] = model.predict(table)
        for i, kernel in enumerate(kernels):
            if kernel in self._memory:
                count, log_ratio = self._memory[kernel]
                predicted[i] *= np.exp(log_ratio * count / (count + FEW_REPEATS))
        return predicted


def _by_class(kernels: Sequence[Kernel]) -> dict[str, npt.NDArray[np.int64]]:
    found: dict[str, list[int]] = defaultdict(list)
    for i, kernel in enumerate(kernels):
        found[kernel_class(kernel)].append(i)
    return {name: np.array(places) for name, places in sorted(found.items())}


def fit_kernel_model(rows: MeasuredKernels, *, correct: bool = True) -> KernelModel:
    """Fit every class of kernels found in `rows`; deterministic. `correct=False` leaves boosting out."""
    classes = {"": _fit_class("", rows, correct=False)}
    for name, places in _by_class(rows.kernels).items():
        chosen = MeasuredKernels(tuple(rows.kernels[i] for i in places), rows.ms[places], rows.network[places])
        matters = chosen.ms.sum() >= SHARE_TO_CORRECT * rows.ms.sum()
        classes[name] = _fit_class(name, chosen, correct=correct and bool(matters))
    plain = KernelModel(classes, {})
    return KernelModel(classes, _memory(plain, rows))


def _memory(model: KernelModel, rows: MeasuredKernels) -> dict[Kernel, tuple[int, float]]:
    """Per kernel seen: how often, and the mean log of measured over predicted."""
    ratios: dict[Kernel, list[float]] = defaultdict(list)
    predicted = model.predict_ms(rows.kernels)
    for kernel, ms, guess in zip(rows.kernels, rows.ms, predicted, strict=True):
        if ms > 0 and guess > 0:
            ratios[kernel.dense].append(float(np.log(ms / guess)))
    return {kernel: (len(found), float(np.mean(found))) for kernel, found in ratios.items()}


def _fit_class(name: str, rows: MeasuredKernels, *, correct: bool) -> ClassModel:
    table = kernel_table(rows.kernels)
    is_conv = bool(rows.kernels) and all(kernel.kind == "conv" for kernel in rows.kernels)
    work: WorkFunction = conv_work if is_conv and name else plain_work
    if work is conv_work and len(rows.kernels) < ROWS_PER_AMOUNT * conv_work(table).shape[1]:
        work = plain_work
    coefficients = non_negative(work(table), rows.ms)
    measured = rows.ms > 0
    if not correct or measured.sum() < ROWS_TO_CORRECT:
        return ClassModel(work, coefficients, None, 0.0)
    features = shape_features(table)[measured]
    logs = np.log(rows.ms[measured])
    amounts = work(table)[measured]
    base = np.log(np.maximum(SHORTEST_MS / 10, amounts @ coefficients))
    strength = _strength(features, amounts, logs, rows.network[measured])
    if strength == 0:
        return ClassModel(work, coefficients, None, 0.0)
    return ClassModel(work, coefficients, boosted(features, logs - base), strength)


def non_negative(amounts: Floats, ms: Floats) -> Floats:
    """Non-negative coefficients [n_amounts] of `amounts` [n, n_amounts]: least squared error relative to `ms` [n]."""
    from scipy.optimize import nnls

    scale = np.maximum(amounts.max(axis=0), 1e-12)
    weight = 1 / np.maximum(ms, SHORTEST_MS)
    found, _ = nnls(amounts / scale * weight[:, None], ms * weight)
    return np.asarray(found / scale)


def boosted(
    features: Floats, residual: Floats, *, trees: Trees = FEW_ROWS, seed: int = 0, threads: int | None = 1
) -> Any:
    """Boosted `trees` from `features` [n, n_features] to `residual` [n].

    Threads that wait for each other cost more than a few thousand rows; `threads=None` takes as many as there are.
    """
    from sklearn.ensemble import HistGradientBoostingRegressor
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    model = HistGradientBoostingRegressor(
        loss=trees.loss,
        max_iter=trees.iterations,
        learning_rate=trees.rate,
        max_leaf_nodes=trees.leaves,
        min_samples_leaf=trees.least_rows,
        l2_regularization=1.0,
        max_features=trees.feature_share,
        early_stopping=False,
        random_state=seed,
    )
    with threadpool_limits(threads):
        return model.fit(features, residual)


def _strength(features: Floats, amounts: Floats, logs: Floats, network: npt.NDArray[np.int64]) -> float:
    """How much of the correction to believe: its least-squares factor on networks it was not fitted on."""
    agreed = spread = 0.0
    for fold in range(FOLDS):
        held = network % FOLDS == fold
        if held.all() or not held.any():
            return 0.0
        coefficients = non_negative(amounts[~held], np.exp(logs[~held]))
        base = np.log(np.maximum(SHORTEST_MS / 10, amounts @ coefficients))
        guess = boosted(features[~held], (logs - base)[~held]).predict(features[held])
        agreed += float(guess @ (logs - base)[held])
        spread += float(guess @ guess)
    return min(1.0, max(0.0, agreed / spread)) if spread > 0 else 0.0
