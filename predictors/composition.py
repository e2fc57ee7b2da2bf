"""From kernels to networks: what each kernel adds to the latency of the network it runs in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats, kernel_class
from predictors.kernels import Kernel

NETWORKS_FOR_OFFSETS = 10
NETWORKS_PER_CLASS = 5
SCALE_PRIOR = 0.003
OFFSET_PRIOR = 0.01
LEAST_SHARE = 0.25


@dataclass(frozen=True)
class Composition:
    """Intercept of a network, and per class of kernels a scale and an offset; classes not listed take the common ones.

    Offsets are negative where measuring a single kernel costs more than starting it. Kernels that take no time of
    their own add nothing.
    """

    intercept_ms: float
    scale: float
    offset_ms: float
    scales: Mapping[str, float]
    offsets_ms: Mapping[str, float]

    def contributions(self, kernels: Sequence[Kernel], kernel_ms: Floats) -> Floats:
        """What kernels that take `kernel_ms` alone add to a network's latency, both [n_kernels] milliseconds."""
        classes = [kernel_class(kernel) for kernel in kernels]
        scaled = kernel_ms * np.array([self.scales.get(name, self.scale) for name in classes])
        offsets = np.array([self.offsets_ms.get(name, self.offset_ms) for name in classes])
        return np.where(kernel_ms > 0, np.maximum(scaled + offsets, LEAST_SHARE * scaled), 0.0)


def plain_sum(intercept_ms: float) -> Composition:
    """The composition in which every kernel adds just what it takes alone."""
    return Composition(intercept_ms, 1.0, 0.0, {}, {})


def fit_composition(
    kernels: Sequence[Kernel], kernel_ms: Floats, network: npt.NDArray[np.int64], latency_ms: Floats
) -> Composition:
    """Fit to the relative errors of networks measured end to end.

    Row i of `kernels` and `kernel_ms` belongs to network number `network[i]` of `latency_ms`. Scales and offsets of
    classes are drawn towards common ones, so that classes seen rarely keep those.
    """
    names = sorted({kernel_class(kernel) for kernel in kernels})
    column = {name: i for i, name in enumerate(names)}
    place = (network, np.array([column[kernel_class(kernel)] for kernel in kernels]))
    sums, counts = (np.zeros((len(latency_ms), len(names))) for _ in range(2))
    np.add.at(sums, place, kernel_ms)
    np.add.at(counts, place, (kernel_ms > 0).astype(np.float64))
    weight = 1 / latency_ms[:, None]
    start = np.ones((len(latency_ms), 1))
    total, number = sums.sum(axis=1, keepdims=True), counts.sum(axis=1, keepdims=True)
    if len(latency_ms) < NETWORKS_FOR_OFFSETS:
        scale = float(1 / np.median(total[:, 0] / latency_ms))
        return Composition(0.0, scale, 0.0, {}, {})
    intercept, scale, offset = _bounded(np.hstack([start, total, number]) * weight, np.ones(len(start)), 2)
    if len(latency_ms) < NETWORKS_PER_CLASS * len(names):
        return Composition(intercept, scale, offset, {}, {})
    typical_ms = float(np.median(latency_ms / number[:, 0]))
    strength = np.sqrt(len(latency_ms) * np.repeat([SCALE_PRIOR, OFFSET_PRIOR / typical_ms**2], len(names)))
    wanted = np.repeat([scale, offset], len(names))
    rows = np.vstack(
        [
            np.hstack([start, sums, counts]) * weight,
            np.hstack([np.zeros((2 * len(names), 1)), np.diag(strength)]),
        ]
    )
    found = _bounded(rows, np.concatenate([np.ones(len(start)), strength * wanted]), 1 + len(names))
    scales, offsets = found[1 : 1 + len(names)], found[1 + len(names) :]
    return Composition(
        found[0],
        scale,
        offset,
        dict(zip(names, scales, strict=True)),
        dict(zip(names, offsets, strict=True)),
    )


def _bounded(design: Floats, wanted: Floats, positive: int) -> list[float]:
    """Least squares with the first `positive` unknowns at least 0."""
    from scipy.optimize import lsq_linear

    unit = np.maximum(np.abs(design).max(axis=0), 1e-12)
    lower = np.where(np.arange(design.shape[1]) < positive, 0.0, -np.inf)
    found = lsq_linear(design / unit, wanted, bounds=(lower, np.inf), method="bvls").x
    return [float(value) for value in found / unit]
