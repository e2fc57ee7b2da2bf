"""What is known of architectures before a new device is seen: other devices' figures and counted amounts."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats
from predictors.kernels import Kernel, kernels
from predictors.latency import LatencyModel
from search_spaces.errors import NasError
from search_spaces.network import Network

FEWEST_MEASURED = 5
CHOICE_NOISE = 0.1
CHOICE_BASE = 9.0
CHOICE_AMOUNTS = 0.1
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class KnownDevices:
    """A pool of architectures as known devices and counting see it.

    `figures` [n_pool, n_devices], all above 0, are measured or predicted; `families` [n_devices] says which devices
    are alike (one maker's line, say). `amounts` [n_pool, n_amounts], of no columns where nothing was counted, are
    such that more of them takes no less; those that never change say nothing. `NasError` for numbers that cannot be
    used and for devices that take the same for all architectures.
    """

    figures: Floats
    families: tuple[str, ...]
    amounts: Floats

    def __post_init__(self) -> None:
        shape, counted = np.shape(self.figures), np.shape(self.amounts)
        if len(shape) != 2 or len(counted) != 2 or shape[0] != counted[0] or shape[1] != len(self.families):
            raise NasError(
                f"known figures have shape {shape}, amounts {counted}, and there are {len(self.families)} families; "
                "expected [n_pool, n_devices], [n_pool, n_amounts] and n_devices"
            )
        if not self.families:
            raise NasError("a new device is learned from known devices, but none is given")
        check_columns(self.figures, self.amounts)
        if same := [i for i, column in enumerate(self.figures.T) if np.ptp(column) == 0]:
            raise NasError(f"known device {same[0]} takes the same for all architectures of the pool: leave it out")

    @cached_property
    def mean(self) -> Floats:
        """Mean of each column, devices before amounts."""
        return np.asarray(np.hstack([self.figures, self.amounts]).mean(axis=0))

    @cached_property
    def spread(self) -> Floats:
        """Standard deviation of each column, devices before amounts; infinite for amounts that never change."""
        columns = np.hstack([self.figures, self.amounts])
        return np.where(np.ptp(columns, axis=0) > 0, columns.std(axis=0), np.inf)

    @cached_property
    def columns(self) -> Floats:
        """The pool's columns, centred and in units of their spread: [n_pool, n_devices + n_amounts]."""
        return np.asarray((np.hstack([self.figures, self.amounts]) - self.mean) / self.spread)

    def without(self, devices: Sequence[int]) -> "KnownDevices":
        """The same pool without some of the devices."""
        kept = [i for i in range(len(self.families)) if i not in devices]
        return KnownDevices(self.figures[:, kept], tuple(self.families[i] for i in kept), self.amounts)


def check_columns(figures: Floats, amounts: Floats) -> None:
    """Raise NasError for figures of known devices that are not above 0, and for amounts that are no numbers."""
    for kind, columns, usable in (
        ("figure of known device", figures, np.isfinite(figures) & (figures > 0)),
        ("amount", amounts, np.isfinite(amounts)),
    ):
        if not usable.all():
            row, column = np.argwhere(~usable)[0]
            legal = "numbers above 0" if columns is figures else "numbers"
            raise NasError(f"{kind} {column} is {columns[row, column]} in row {row}; legal are {legal}")


def kernel_amounts(parts: Sequence[Kernel]) -> Floats:
    """Multiply-adds, elements moved and 1 for each kernel, [n_kernels, 3]; a network's amounts are their sums."""
    return np.array([(part.macs, part.moved_elements, 1) for part in parts], dtype=np.float64).reshape(-1, 3)


def describe(networks: Sequence[Network], models: Sequence[LatencyModel]) -> tuple[Floats, Floats]:
    """What known devices' models say of networks, in ms [n, n_devices], and the networks' amounts [n, 3].

    `NasError` without a network or a model, and where the models' runtimes fuse kernels in different ways.
    """
    if not networks or not models:
        raise NasError(f"{len(networks)} networks and {len(models)} known devices: give at least one of each")
    if len({model.fusion for model in models}) != 1:
        raise NasError(
            f"the known devices fuse kernels as {[model.fusion for model in models]}; give devices that agree"
        )
    parts = [kernels(network, fusion=models[0].fusion) for network in networks]
    flat = [kernel for part in parts for kernel in part]
    starts = np.cumsum([0, *map(len, parts[:-1])])
    figures = [model.intercept_ms + np.add.reduceat(model.predict_ms(flat), starts) for model in models]
    return np.column_stack(figures), np.add.reduceat(kernel_amounts(flat), starts, axis=0)


def choose_architectures(known: KnownDevices, count: int, *, among: Rows | None = None) -> Rows:
    """The `count` rows of the pool (of those in `among`, when given) to measure on a new device; deterministic.

    Each next one leaves the least variance, averaged over the pool, in a linear predictor from the known devices'
    columns (Cohn, Ghahramani and Jordan 1996, "Active learning with statistical models"). `NasError` where there are
    fewer rows than wanted.
    """
    rows = np.arange(len(known.columns)) if among is None else np.asarray(among)
    if not FEWEST_MEASURED <= count <= len(rows):
        raise NasError(f"{count} architectures cannot be chosen: legal are {FEWEST_MEASURED} to {len(rows)}")
    devices, counted = len(known.families), known.amounts.shape[1]
    doubt = np.diag(np.repeat([CHOICE_BASE, 1 / devices, CHOICE_AMOUNTS], [1, devices, counted]))
    design = np.column_stack([np.ones(len(known.columns)), known.columns])
    spread = design.T @ design / len(design)
    offered = design[rows]
    chosen: list[int] = []
    for _ in range(count):
        toward = offered @ doubt
        variance = CHOICE_NOISE + (toward * offered).sum(axis=1)
        gain = ((toward @ spread) * toward).sum(axis=1) / variance
        gain[chosen] = -1.0
        best = int(gain.argmax())
        doubt = doubt - np.outer(toward[best], toward[best]) / variance[best]
        chosen.append(best)
    return np.asarray(rows[chosen])
