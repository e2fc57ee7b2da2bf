"""Learned energy: networks metered whole, as a sum over their kernels.

    energy = intercept + sum over kernels of what each adds

Two laws are tried, and the one that predicts networks left out better is kept. By time: every class of kernels draws a
power of its own for as long as the latency model says (watts times milliseconds are millijoules). By work: operations
and traffic have a price per class, found as latency is where only whole networks were timed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from predictors.composition import fit_composition
from predictors.conformal import ratio_interval
from predictors.kernel_features import Floats
from predictors.kernel_totals import fit_kernel_totals
from predictors.kernels import Fusion, Kernel, kernels
from predictors.latency import LatencyModel
from search_spaces.network import Network

FOLDS = 5
FEWEST_TO_CHOOSE = 10


class EnergyModel(Protocol):
    """Additive energy of a network on one target."""

    fusion: Fusion
    intercept_mj: float

    def predict_mj(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's energy in millijoules, [n_kernels]."""

    def interval(self, energy_mj: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the energy of a network predicted at `energy_mj` lies, in proportion to it; `None`: not known."""


def network_energy_mj(model: EnergyModel, network: Network) -> float:
    """Energy of one inference of `network` in millijoules."""
    return _total(model, kernels(network, fusion=model.fusion))


def _total(model: "EnergyModel | _Law", parts: Sequence[Kernel]) -> float:
    return model.intercept_mj + float(model.predict_mj(parts).sum())


@dataclass(frozen=True, slots=True)
class MeasuredEnergy:
    """Energy of one inference of a network, measured whole; `held_out` networks are never fitted on."""

    kernels: tuple[Kernel, ...]
    energy_mj: float
    held_out: bool = False


@dataclass(frozen=True)
class _Law:
    """What a network takes beside its kernels, and what they add."""

    intercept_mj: float
    predict_mj: Callable[[Sequence[Kernel]], Floats]


class LearnedEnergy:
    """Energy model fitted on metered networks; see `fit_energy`.

    `ratios` are measured over predicted energy of networks that were not fitted on.
    """

    def __init__(self, law: _Law, *, ratios: Sequence[float], fusion: Fusion) -> None:
        self._law = law
        self.intercept_mj = law.intercept_mj
        self.ratios = tuple(ratios)
        self.fusion: Fusion = fusion

    def predict_mj(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's energy in millijoules, [n_kernels]."""
        return self._law.predict_mj(kernels)

    def total_mj(self, kernels: Sequence[Kernel]) -> float:
        """Energy in millijoules of one inference of a network of these kernels."""
        return _total(self._law, kernels)

    def interval(self, energy_mj: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Conformal interval: as far off, in either direction, as this share of networks not fitted on were."""
        return ratio_interval(energy_mj, self.ratios, confidence=confidence)


def fit_energy(
    networks: Sequence[MeasuredEnergy], *, fusion: Fusion = "graph", latency: LatencyModel | None = None
) -> LearnedEnergy:
    """Fit on the `networks` that are not held out, at least one; deterministic.

    Ratios for intervals come from the held-out ones; where there are none, from folds that were left out in turn.
    Without `latency`, a model of the same device, only the law by work is there. Of fewer than ten networks nothing
    is left out, and time is preferred.
    """
    fitted = [network for network in networks if not network.held_out]
    fits: list[Callable[[Sequence[MeasuredEnergy]], _Law]] = [_by_work]
    if latency is not None:
        fits.insert(0, lambda rows: _by_time(rows, latency))
    if len(fitted) < FEWEST_TO_CHOOSE:
        best, ratios = fits[0], np.empty(0)
    else:
        tried = [(fit, _left_out_ratios(fit, fitted)) for fit in fits]
        best, ratios = min(tried, key=lambda one: float(np.abs(np.log(one[1])).mean()))
    law = best(fitted)
    held_out = _ratios(law, [network for network in networks if network.held_out])
    return LearnedEnergy(law, ratios=(held_out if len(held_out) else ratios).tolist(), fusion=fusion)


def _by_time(rows: Sequence[MeasuredEnergy], latency: LatencyModel) -> _Law:
    parts, number, energy_mj = _flat(rows)
    found = fit_composition(parts, latency.predict_ms(parts), number, energy_mj)
    return _Law(found.intercept_ms, lambda kernels: found.contributions(kernels, latency.predict_ms(kernels)))


def _by_work(rows: Sequence[MeasuredEnergy]) -> _Law:
    intercept, model = fit_kernel_totals(*_flat(rows))
    return _Law(intercept, model.predict_ms)


def _flat(rows: Sequence[MeasuredEnergy]) -> tuple[tuple[Kernel, ...], npt.NDArray[np.int64], Floats]:
    """All kernels, the number of each one's network, and the networks' energies."""
    parts = tuple(kernel for row in rows for kernel in row.kernels)
    number = np.array([i for i, row in enumerate(rows) for _ in row.kernels], dtype=np.int64)
    return parts, number, np.array([row.energy_mj for row in rows])


def _left_out_ratios(fit: Callable[[Sequence[MeasuredEnergy]], _Law], rows: Sequence[MeasuredEnergy]) -> Floats:
    """Measured over predicted energy of each network, predicted from the folds without it."""
    found = np.empty(len(rows))
    for fold in range(FOLDS):
        law = fit([row for i, row in enumerate(rows) if i % FOLDS != fold])
        found[fold::FOLDS] = _ratios(law, rows[fold::FOLDS])
    return found


def _ratios(law: _Law, rows: Sequence[MeasuredEnergy]) -> Floats:
    return np.array([row.energy_mj / max(_total(law, row.kernels), 1e-12) for row in rows])
