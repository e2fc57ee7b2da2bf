"""Kernels where only whole networks were measured: the law of each class of kernels, fitted to networks' totals."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from predictors.kernel_features import Floats, WorkFunction, conv_work, kernel_class, kernel_table, plain_work
from predictors.kernel_model import ClassModel, KernelModel
from predictors.kernels import Kernel

FOLDS = 5
RIDGES = (1e-5, 1e-4, 1e-3, 1e-2)
CAUTIOUS = 1e-3
FEWEST_TO_CHOOSE = 10


@dataclass(frozen=True)
class _Design:
    """Amounts of work of whole networks: a column of ones, then those of each class, [n_networks, 1 + n_amounts]."""

    rows: Floats
    work: dict[str, WorkFunction]
    amounts: dict[str, slice]


def fit_kernel_totals(
    kernels: Sequence[Kernel], network: npt.NDArray[np.int64], total: Floats
) -> tuple[float, KernelModel]:
    """What a network takes beside its kernels, and the kernel model, from totals alone; deterministic.

    Row i of `kernels` belongs to network number `network[i]`, which took `total[network[i]]`, all above 0. As where
    kernels are timed, a kernel takes a non-negative sum of amounts of work and relative errors are made small. A
    ridge on each amount's share of the total keeps many amounts from sharing out few networks by chance; its
    strength, and whether convolutions take all their amounts or three, is what predicts networks left out best.
    Classes that no network has are taken for data movement.
    """
    plain = _design(kernels, network, len(total), full=False)
    design, ridge = plain, CAUTIOUS
    if len(total) >= FEWEST_TO_CHOOSE:
        full = _design(kernels, network, len(total), full=True)
        settings = [(one, strength) for one in (plain, full) for strength in RIDGES]
        design, ridge = min(settings, key=lambda setting: _left_out_error(setting[0], setting[1], total))
    found = _coefficients(design.rows, total, ridge)
    classes = {name: ClassModel(design.work[name], found[place], None, 0.0) for name, place in design.amounts.items()}
    moving = np.zeros((len(total), 3))
    np.add.at(moving, network, plain_work(kernel_table(kernels)) * [1, 0, 1])
    classes[""] = ClassModel(plain_work, _coefficients(moving, total, CAUTIOUS), None, 0.0)
    return float(found[0]), KernelModel(classes, {})


def _design(kernels: Sequence[Kernel], network: npt.NDArray[np.int64], count: int, *, full: bool) -> _Design:
    places: dict[str, list[int]] = defaultdict(list)
    for i, kernel in enumerate(kernels):
        places[kernel_class(kernel)].append(i)
    work: dict[str, WorkFunction] = {}
    amounts: dict[str, slice] = {}
    columns = [np.ones((count, 1))]
    start = 1
    for name, members in sorted(places.items()):
        work[name] = conv_work if full and kernels[members[0]].kind == "conv" else plain_work
        found = work[name](kernel_table([kernels[i] for i in members]))
        summed = np.zeros((count, found.shape[1]))
        np.add.at(summed, network[members], found)
        columns.append(summed)
        amounts[name] = slice(start, start + found.shape[1])
        start += found.shape[1]
    return _Design(np.hstack(columns), work, amounts)


def _coefficients(rows: Floats, total: Floats, ridge: float) -> Floats:
    """Non-negative coefficients with the least squared relative error and ridge on shares, [n_amounts]."""
    from scipy.optimize import nnls

    relative = rows / total[:, None]
    unit = np.maximum(relative.mean(axis=0), 1e-12)
    held = np.sqrt(ridge * len(total)) * np.eye(rows.shape[1])
    wanted = np.concatenate([np.ones(len(total)), np.zeros(rows.shape[1])])
    shares, _ = nnls(np.vstack([relative / unit, held]), wanted)
    return np.asarray(shares / unit)


def _left_out_error(design: _Design, ridge: float, total: Floats) -> float:
    """Mean absolute relative error on networks left out of the fit."""
    fold = np.arange(len(total)) % FOLDS
    ratios = [
        design.rows[fold == i] @ _coefficients(design.rows[fold != i], total[fold != i], ridge) / total[fold == i]
        for i in range(FOLDS)
    ]
    return float(np.abs(np.concatenate(ratios) - 1).mean())
