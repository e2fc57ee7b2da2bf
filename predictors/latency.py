"""Learned latency: kernels from their measured times, networks as sums of kernels.

A kernel's time is a non-negative combination of amounts of work (operations, elements, tiles), fitted per class of
kernels, times a boosted correction whose strength cross-validation decides. A network's latency is additive,

    latency = intercept + sum over kernels of (overhead + scale of its class * predicted kernel time),

with intercept, overhead and scales fitted on networks measured end to end, so tables may sum contributions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats, kernel_class
from predictors.kernel_model import KernelModel, MeasuredKernels, fit_kernel_model
from predictors.kernels import Fusion, Kernel, kernels
from search_spaces.network import Network

MIN_FOR_CLASS_SCALES = 30
PRIOR_WEIGHT = 0.05


class LatencyModel(Protocol):
    """Additive latency of a network on one target."""

    fusion: Fusion
    intercept_ms: float

    def predict_ms(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's latency in milliseconds, [n_kernels]."""

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the measured latency of a network predicted at `latency_ms` lies; `None`: not known."""


def compose(model: LatencyModel, kernel_ms: npt.ArrayLike) -> Floats:
    """Network latency in milliseconds from what its kernels add, summed over the last axis."""
    return np.asarray(model.intercept_ms + np.asarray(kernel_ms, dtype=np.float64).sum(axis=-1))


def network_latency_ms(model: LatencyModel, network: Network) -> float:
    """Predicted latency of `network` in milliseconds."""
    return float(compose(model, model.predict_ms(kernels(network, fusion=model.fusion))))


@dataclass(frozen=True)
class MeasuredLatency:
    """One network measured end to end, and kernel by kernel."""

    kernels: tuple[Kernel, ...]
    kernel_ms: tuple[float, ...]
    latency_ms: float


class LearnedLatency:
    """Latency model fitted on measured networks; see `fit_latency`."""

    def __init__(
        self,
        kernel_model: KernelModel,
        *,
        intercept_ms: float,
        overhead_ms: float,
        scales: Mapping[str, float],
        common_scale: float,
        errors: Sequence[float],
        fusion: Fusion,
    ) -> None:
        self.kernel_model = kernel_model
        self.intercept_ms = intercept_ms
        self.overhead_ms = overhead_ms
        self.scales = dict(scales)
        self.common_scale = common_scale
        self.errors = tuple(sorted(errors))
        self.fusion: Fusion = fusion

    def predict_ms(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's latency in milliseconds, [n_kernels]."""
        scales = np.array([self.scales.get(kernel_class(kernel), self.common_scale) for kernel in kernels])
        return self.overhead_ms + scales * self.kernel_model.predict_ms(kernels)

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Conformal interval: as far off as this share of held-out networks were.

        `None` where too few networks were held out for the confidence asked for.
        """
        rank = int(np.ceil(confidence * (len(self.errors) + 1)))
        if rank > len(self.errors):
            return None
        factor = 1 + self.errors[rank - 1]
        return latency_ms / factor, latency_ms * factor


def fit_latency(
    networks: Sequence[MeasuredLatency],
    held_out: Sequence[MeasuredLatency] = (),
    *,
    fusion: Fusion = "graph",
    correct: bool = True,
) -> LearnedLatency:
    """Fit kernels and composition on `networks`; errors for intervals come from `held_out`. Deterministic.

    `correct=False` leaves the boosted correction of kernels out.
    """
    rows = MeasuredKernels(
        tuple(kernel for network in networks for kernel in network.kernels),
        np.array([ms for network in networks for ms in network.kernel_ms]),
        np.array([i for i, network in enumerate(networks) for _ in network.kernels]),
    )
    kernel_model = fit_kernel_model(rows, correct=correct)
    model = _compose(kernel_model, networks, rows, fusion)
    errors = [
        relative_error(float(compose(model, model.predict_ms(network.kernels))), network.latency_ms)
        for network in held_out
    ]
    return LearnedLatency(
        kernel_model,
        intercept_ms=model.intercept_ms,
        overhead_ms=model.overhead_ms,
        scales=model.scales,
        common_scale=model.common_scale,
        errors=errors,
        fusion=fusion,
    )


def relative_error(predicted: float, measured: float) -> float:
    """How far off in either direction: the larger over the smaller, minus one."""
    return max(predicted / measured, measured / predicted) - 1


def _compose(
    kernel_model: KernelModel,
    networks: Sequence[MeasuredLatency],
    rows: MeasuredKernels,
    fusion: Fusion,
) -> LearnedLatency:
    """Fit intercept, overhead per kernel and scale per class on end-to-end latencies.

    Scales are drawn towards a common one, so that classes seen rarely keep it.
    """
    from scipy.optimize import nnls

    latency = np.array([network.latency_ms for network in networks])
    predicted = kernel_model.predict_ms(rows.kernels)
    names = sorted({kernel_class(kernel) for kernel in rows.kernels})
    number = {name: i for i, name in enumerate(names)}
    sums = np.zeros((len(networks), len(names)))
    columns = np.array([number[kernel_class(kernel)] for kernel in rows.kernels])
    np.add.at(sums, (rows.network, columns), predicted)
    counts = np.bincount(rows.network, minlength=len(networks))
    shared = np.column_stack([np.ones(len(networks)), counts, sums.sum(axis=1)])
    unit = np.maximum(shared.max(axis=0), 1e-12)
    found = nnls(shared / unit / latency[:, None], np.ones(len(networks)))[0] / unit
    common = float(found[2])
    scales = dict.fromkeys(names, common)
    if len(networks) >= MIN_FOR_CLASS_SCALES:
        design = np.column_stack([shared[:, :2] / unit[:2], sums]) / latency[:, None]
        strength = np.sqrt(PRIOR_WEIGHT * len(networks)) * np.eye(len(names))
        prior = np.column_stack([np.zeros((len(names), 2)), strength])
        wanted = np.concatenate([np.ones(len(networks)), common * strength.diagonal()])
        fitted = nnls(np.vstack([design, prior]), wanted)[0]
        found = np.concatenate([fitted[:2] / unit[:2], found[2:]])
        scales = dict(zip(names, fitted[2:].tolist(), strict=True))
    return LearnedLatency(
        kernel_model,
        intercept_ms=float(found[0]),
        overhead_ms=float(found[1]),
        scales=scales,
        common_scale=common,
        errors=(),
        fusion=fusion,
    )
