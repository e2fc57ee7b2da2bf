"""Learned latency: kernels from their measured times, networks as sums of kernels.

A kernel's time is a non-negative combination of amounts of work (operations, elements, tiles), fitted per class of
kernels, times a boosted correction whose strength cross-validation decides. A network's latency is additive,

    latency = intercept + sum over kernels of (scale of its class * predicted kernel time + offset of its class),

with intercept, scales and offsets fitted on networks measured end to end, so tables may sum contributions. Offsets
are what runs between kernels, less what measuring single kernels adds to each. Where kernels were not timed, their
law is fitted to the networks' latencies directly.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from predictors.composition import Composition, fit_composition, plain_sum
from predictors.conformal import ratio_interval
from predictors.kernel_features import Floats
from predictors.kernel_model import KernelModel, MeasuredKernels, fit_kernel_model
from predictors.kernel_totals import fit_kernel_totals
from predictors.kernels import Fusion, Kernel, kernels
from search_spaces.network import Network


class LatencyModel(Protocol):
    """Additive latency of a network on one target."""

    fusion: Fusion
    intercept_ms: float

    def predict_ms(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's latency in milliseconds, [n_kernels]."""

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the latency of a network predicted at `latency_ms` lies, in proportion to it; `None`: not known."""


def compose(model: LatencyModel, kernel_ms: npt.ArrayLike) -> Floats:
    """Network latency in milliseconds from what its kernels add, summed over the last axis."""
    return np.asarray(model.intercept_ms + np.asarray(kernel_ms, dtype=np.float64).sum(axis=-1))


def network_latency_ms(model: LatencyModel, network: Network) -> float:
    """Predicted latency of `network` in milliseconds."""
    return float(compose(model, model.predict_ms(kernels(network, fusion=model.fusion))))


@dataclass(frozen=True)
class MeasuredLatency:
    """One network measured end to end, and kernel by kernel; `kernel_ms` is empty where kernels were not timed."""

    kernels: tuple[Kernel, ...]
    kernel_ms: tuple[float, ...]
    latency_ms: float


class LearnedLatency:
    """Latency model fitted on measured networks; see `fit_latency`.

    `ratios` are measured over predicted latency of the networks held out of the fit.
    """

    def __init__(
        self, kernel_model: KernelModel, composition: Composition, *, ratios: Sequence[float], fusion: Fusion
    ) -> None:
        self.kernel_model = kernel_model
        self.composition = composition
        self.intercept_ms = composition.intercept_ms
        self.ratios = tuple(ratios)
        self.fusion: Fusion = fusion

    def predict_ms(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's latency in milliseconds, [n_kernels]."""
        return self.composition.contributions(kernels, self.kernel_model.predict_ms(kernels))

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Conformal interval: as far off, in either direction, as this share of held-out networks were.

        `None` where too few networks were held out for the confidence asked for.
        """
        return ratio_interval(latency_ms, self.ratios, confidence=confidence)


def fit_latency(
    networks: Sequence[MeasuredLatency],
    held_out: Sequence[MeasuredLatency] = (),
    *,
    fusion: Fusion = "graph",
    correct: bool = True,
) -> LearnedLatency:
    """Fit kernels and composition on `networks`; ratios for intervals come from `held_out`. Deterministic.

    `correct=False` leaves the boosted correction of kernels out.
    """
    kernel_model, composition = _fit(networks, correct=correct)
    fitted = LearnedLatency(kernel_model, composition, ratios=(), fusion=fusion)
    ratios = [network.latency_ms / float(compose(fitted, fitted.predict_ms(network.kernels))) for network in held_out]
    return LearnedLatency(kernel_model, composition, ratios=ratios, fusion=fusion)


def _fit(networks: Sequence[MeasuredLatency], *, correct: bool) -> tuple[KernelModel, Composition]:
    parts = tuple(kernel for network in networks for kernel in network.kernels)
    number = np.array([i for i, network in enumerate(networks) for _ in network.kernels])
    latency = np.array([network.latency_ms for network in networks])
    timed = np.array([bool(network.kernel_ms) for network in networks for _ in network.kernels])
    if not timed.any():
        intercept, kernel_model = fit_kernel_totals(parts, number, latency)
        return kernel_model, plain_sum(intercept)
    rows = MeasuredKernels(
        tuple(kernel for kernel, known in zip(parts, timed, strict=True) if known),
        np.array([ms for network in networks for ms in network.kernel_ms]),
        number[timed],
    )
    kernel_model = fit_kernel_model(rows, correct=correct)
    if all(len(network.kernels) == 1 for network in networks):
        return kernel_model, plain_sum(0.0)
    return kernel_model, fit_composition(parts, kernel_model.general.predict_ms(parts), number, latency)
