"""How far a latency model can be trusted: its errors on networks that it was not fitted on."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from predictors.kernel_features import Floats, kernel_class
from predictors.kernels import Kernel
from predictors.latency import LearnedLatency, MeasuredLatency, compose


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Relative errors of `count` predictions: median, mean, shares within 5 and 10 %, rank correlation.

    `spearman` is `None` below three predictions.
    """

    count: int
    median_error: float
    mape: float
    within_5_percent: float
    within_10_percent: float
    spearman: float | None


@dataclass(frozen=True, slots=True)
class HoldoutReport:
    """Accuracy on networks held out of the fit, of MACs alone on the same ones, and per group of kernels.

    `kernels` lists (group such as "group size 8", accuracy over the held-out networks' kernels), empty where kernels
    were not timed; `networks_with` lists (group, accuracy over the held-out networks that contain such a kernel).
    """

    networks: Accuracy
    macs_alone: Accuracy
    kernels: tuple[tuple[str, Accuracy], ...]
    networks_with: tuple[tuple[str, Accuracy], ...]


def accuracy(predicted: Sequence[float] | Floats, measured: Sequence[float] | Floats) -> Accuracy:
    """Accuracy of predictions [n] against measurements [n], both positive, n at least 1."""
    guess, truth = np.asarray(predicted, dtype=np.float64), np.asarray(measured, dtype=np.float64)
    errors = np.abs(guess / truth - 1)
    return Accuracy(
        len(truth),
        float(np.median(errors)),
        float(errors.mean()),
        float((errors <= 0.05).mean()),
        float((errors <= 0.10).mean()),
        _spearman(guess, truth),
    )


def _spearman(guess: Floats, truth: Floats) -> float | None:
    from scipy.stats import spearmanr

    if len(guess) < 3 or np.ptp(guess) == 0 or np.ptp(truth) == 0:
        return None
    return float(spearmanr(guess, truth).statistic)


def predictions(model: LearnedLatency, networks: Sequence[MeasuredLatency]) -> Floats:
    """Predicted milliseconds of measured networks, [n_networks]."""
    return np.array([float(compose(model, model.predict_ms(n.kernels))) for n in networks])


def timed_kernels(
    model: LearnedLatency, networks: Sequence[MeasuredLatency]
) -> tuple[tuple[Kernel, float, float], ...]:
    """(kernel, predicted, measured milliseconds) of every kernel of `networks` that took time of its own."""
    kernels = [kernel for network in networks if network.kernel_ms for kernel in network.kernels]
    measured = [ms for network in networks for ms in network.kernel_ms]
    predicted = model.kernel_model.predict_ms(kernels)
    rows = zip(kernels, predicted, measured, strict=True)
    return tuple((kernel, float(guess), truth) for kernel, guess, truth in rows if truth > 0)


def holdout_report(
    model: LearnedLatency,
    fitted: Sequence[MeasuredLatency],
    held_out: Sequence[MeasuredLatency],
) -> HoldoutReport | None:
    """Compare `model`, fitted on `fitted`, with the measurements of `held_out`; `None` when that is empty."""
    if not held_out:
        return None
    truth = np.array([network.latency_ms for network in held_out])
    return HoldoutReport(
        accuracy(predictions(model, held_out), truth),
        accuracy(macs_alone(fitted, held_out), truth),
        _by_group(model, held_out),
        _by_content(model, held_out),
    )


def macs_alone(fitted: Sequence[MeasuredLatency], networks: Sequence[MeasuredLatency]) -> Floats:
    """What a straight line over MACs, fitted to relative errors, says of `networks`: [n_networks] ms."""
    from scipy.optimize import nnls

    def design(some: Sequence[MeasuredLatency]) -> Floats:
        macs = [sum(kernel.macs for kernel in network.kernels) / 1e6 for network in some]
        return np.column_stack([np.ones(len(some)), macs])

    latency = np.array([network.latency_ms for network in fitted])
    line, _ = nnls(design(fitted) / latency[:, None], np.ones(len(fitted)))
    return np.asarray(np.maximum(design(networks) @ line, 1e-9))


def _by_group(model: LearnedLatency, networks: Sequence[MeasuredLatency]) -> tuple[tuple[str, Accuracy], ...]:
    rows = timed_kernels(model, networks)
    return _grouped((group, guess, truth) for kernel, guess, truth in rows for group in _groups(kernel))


def _by_content(model: LearnedLatency, networks: Sequence[MeasuredLatency]) -> tuple[tuple[str, Accuracy], ...]:
    return _grouped(
        (group, float(guess), network.latency_ms)
        for network, guess in zip(networks, predictions(model, networks), strict=True)
        for group in {group for kernel in network.kernels for group in _groups(kernel)}
    )


def _grouped(rows: Iterable[tuple[str, float, float]]) -> tuple[tuple[str, Accuracy], ...]:
    """Accuracy per group of (group, predicted, measured) rows."""
    guesses: dict[str, list[float]] = defaultdict(list)
    truths: dict[str, list[float]] = defaultdict(list)
    for group, guess, truth in rows:
        guesses[group].append(guess)
        truths[group].append(truth)
    return tuple((name, accuracy(guesses[name], truths[name])) for name in sorted(guesses, key=_natural))


def _natural(name: str) -> tuple[str, float, str]:
    """Groups in the order of their words, then of the number at their end."""
    words, _, last = name.rpartition(" ")
    return (words, float(last), "") if last.replace(".", "", 1).isdigit() else (words, 0.0, last)


def _groups(kernel: Kernel) -> list[str]:
    found = [f"class {kernel_class(kernel)}"]
    if kernel.kind == "conv":
        if kernel.groups > 1:
            found.append(f"group size {kernel.group_size}")
        if max(kernel.window) > 1:
            found.append(f"dilation {max(kernel.dilation)}")
            found.append(f"kernel {max(kernel.window)}")
    if kernel.sparsity:
        found.append(f"sparsity {kernel.sparsity}")
    return found
