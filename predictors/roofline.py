"""Analytic models: the roofline of kernels and of whole networks, and energy from sourced constants.

Efficiency of a sequence of layers follows Lavin (2023), "On the Efficiency of Convolutional Neural Networks": each
layer is a bar as wide as its operations and as high as its operational intensity; layers below the waterline W
(peak over bandwidth) pay W per element moved instead of their operations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.counts import count_network
from predictors.kernel_features import Floats
from predictors.kernels import Fusion, Kernel
from search_spaces.network import Network
from search_spaces.operators import VALUE_BYTES

MS_PER_S = 1e3
MJ_PER_PJ = 1e-9
SEEN_QUANTILE = 0.95


class Roofline:
    """A kernel takes as long as its multiply-adds at peak or its traffic at full bandwidth, whichever is longer.

    `peak_gmacs` counts 10^9 multiply-adds, `bandwidth_gbs` 10^9 bytes per second, `value_bytes` the bytes of one
    element. A latency model without intercept or interval.
    """

    intercept_ms = 0.0

    def __init__(
        self,
        peak_gmacs: float,
        bandwidth_gbs: float,
        *,
        fusion: Fusion = "graph",
        value_bytes: int = VALUE_BYTES,
    ) -> None:
        self.peak_gmacs = peak_gmacs
        self.bandwidth_gbs = bandwidth_gbs
        self.fusion: Fusion = fusion
        self.value_bytes = value_bytes

    @classmethod
    def seen_in(
        cls,
        parts: Sequence[Kernel],
        kernel_ms: Sequence[float] | Floats,
        *,
        fusion: Fusion = "graph",
        value_bytes: int = VALUE_BYTES,
    ) -> "Roofline | None":
        """Peak and bandwidth that the fastest twentieth of measured kernels [n_kernels] reached.

        `None` where no kernel that multiplies was measured.
        """
        timed = [(kernel, ms) for kernel, ms in zip(parts, kernel_ms, strict=True) if ms > 0]
        if not any(kernel.macs for kernel, _ in timed):
            return None
        macs, moved, taken = np.array([(kernel.macs, kernel.moved_elements, ms) for kernel, ms in timed]).T
        per_s = MS_PER_S / taken / 1e9
        peak, elements_per_s = (np.quantile(work * per_s, SEEN_QUANTILE) for work in (macs, moved))
        return cls(float(peak), float(elements_per_s * value_bytes), fusion=fusion, value_bytes=value_bytes)

    @property
    def waterline(self) -> float:
        """Multiply-adds per moved element above which a kernel is limited by arithmetic: the ridge point."""
        return self.peak_gmacs / self.bandwidth_gbs * self.value_bytes

    def predict_ms(self, parts: Sequence[Kernel], /) -> Floats:
        """Milliseconds of each kernel, [n_kernels]."""
        work = np.array([(kernel.macs, kernel.moved_elements) for kernel in parts]).reshape(-1, 2)
        compute_s = work[:, 0] / (self.peak_gmacs * 1e9)
        traffic_s = work[:, 1] * self.value_bytes / (self.bandwidth_gbs * 1e9)
        return np.asarray(MS_PER_S * np.maximum(compute_s, traffic_s))

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """`None`: an analytic figure does not know its error."""
        return None


class AnalyticEnergy:
    """Energy of kernels from picojoules per multiply-add and per byte moved: an energy model without interval."""

    intercept_mj = 0.0

    def __init__(self, pj_per_mac: float, pj_per_byte: float, *, fusion: Fusion = "graph") -> None:
        self.pj_per_mac = pj_per_mac
        self.pj_per_byte = pj_per_byte
        self.fusion: Fusion = fusion

    def predict_mj(self, parts: Sequence[Kernel], /) -> Floats:
        """Millijoules of each kernel, [n_kernels]; a network's energy is their sum."""
        work = np.array([(kernel.macs, kernel.moved_elements) for kernel in parts]).reshape(-1, 2)
        costs = np.array([self.pj_per_mac, self.pj_per_byte * VALUE_BYTES])
        return np.asarray(MJ_PER_PJ * (work @ costs))

    def interval(self, energy_mj: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """`None`: an analytic figure does not know its error."""
        return None


@dataclass(frozen=True, slots=True)
class Layer:
    """One bar of a waterline plot: `macs` wide and `intensity` (multiply-adds per moved element) high."""

    name: str
    macs: int
    moved_elements: int

    @property
    def intensity(self) -> float:
        """Multiply-adds per element moved; a layer below the waterline waits for memory."""
        return self.macs / self.moved_elements


def layers(network: Network) -> tuple[Layer, ...]:
    """The network's convolutions and linear layers in execution order, with their compulsory traffic."""
    return tuple(
        Layer(row.name, row.counts.macs, row.counts.moved_elements)
        for row in count_network(network).operators
        if row.counts.macs
    )


def attainable_efficiency(macs: npt.ArrayLike, moved_elements: npt.ArrayLike, *, waterline: float) -> float:
    """Largest share of peak that layers with these counts [n_layers] can reach in sequence.

    E_max = sum(macs) / sum(max(macs, W * moved)), `waterline` W in multiply-adds per element.
    """
    work, moved = np.asarray(macs, dtype=np.float64), np.asarray(moved_elements, dtype=np.float64)
    return float(work.sum() / np.maximum(work, waterline * moved).sum())


def submerged_share(macs: npt.ArrayLike, moved_elements: npt.ArrayLike, *, waterline: float) -> float:
    """Share of the multiply-adds [n_layers] in layers below the waterline, which wait for memory."""
    work, moved = np.asarray(macs, dtype=np.float64), np.asarray(moved_elements, dtype=np.float64)
    return float(work[work < waterline * moved].sum() / work.sum())


def network_efficiency(network: Network, *, waterline: float) -> float:
    """`attainable_efficiency` of the network's convolutions and linear layers."""
    found = layers(network)
    return attainable_efficiency(
        [layer.macs for layer in found],
        [layer.moved_elements for layer in found],
        waterline=waterline,
    )


def efficiency_gap(latency_ms: float, macs: float, *, peak_gmacs: float) -> float:
    """How many times longer than at peak `macs` took: one over the efficiency reached.

    It is the horizontal distance between the measured and the ideal point where latency is drawn on a logarithmic
    axis.
    """
    return latency_ms / MS_PER_S * peak_gmacs * 1e9 / macs
