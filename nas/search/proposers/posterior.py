"""What is believed of architectures not yet evaluated: exact where tables know, Gaussian processes elsewhere."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nas.search.domain import Domain, Floats, History, Rows
from nas.search.proposers.gaussian import Kernel, Process, condition, fit_kernel
from nas.search.proposers.pool import Axes

START = 6
GROWTH = 1.2
KERNEL_ROWS = 256
PROCESS_ROWS = 800
SOFTENING = 0.01


@dataclass(frozen=True)
class Beliefs:
    """Of n rows: coded mean and spread of every objective [n, n_objectives], and the chance to keep the limits [n].

    Coded is the scale of the processes; the spread is 0 where an objective is known.
    """

    mean: Floats
    spread: Floats
    legal: Floats

    def take(self, places: NDArray[np.int64]) -> "Beliefs":
        """The beliefs of some of the rows."""
        return Beliefs(self.mean[places], self.spread[places], self.legal[places])


class FigureScale:
    """Logarithms of figures that all have one sign, softened near 0; others, and none at all, as they are."""

    def __init__(self, values: Floats) -> None:
        self._sign = 0.0
        if len(values) and (values >= 0).all():
            self._sign = 1.0
        elif len(values) and (values <= 0).all():
            self._sign = -1.0
        self._offset = SOFTENING * abs(float(np.median(values))) + 1e-12 if self._sign else 0.0

    def into(self, values: Floats) -> Floats:
        """Figures to coded values, in the same order."""
        if not self._sign:
            return values
        return np.asarray(self._sign * np.log(np.maximum(self._sign * values, 0) + self._offset))

    def back(self, coded: Floats) -> Floats:
        """Coded values to figures."""
        if not self._sign:
            return coded
        return np.asarray(self._sign * np.maximum(np.exp(self._sign * coded) - self._offset, 0))


class Features:
    """Rows as groups of features: one-hot slots, ordered options scaled to [-1, 1], known figures on one scale."""

    def __init__(self, domain: Domain, axes: Axes) -> None:
        self._domain, self._axes = domain, axes
        self._ordered = np.array([_is_ordered(slot.options) for slot in domain.space.slots], dtype=bool)

    def __call__(self, rows: Rows) -> tuple[Floats, ...]:
        """One array [n, d_g] per group."""
        options = self._domain.options
        one_hot = [rows[:, [slot]] == np.arange(count) for slot, count in enumerate(options) if count > 1]
        order = (2 * rows / np.maximum(options - 1, 1) - 1)[:, self._ordered]
        groups = [np.concatenate(one_hot, axis=1).astype(float) if one_hot else np.zeros((len(rows), 1))]
        if order.shape[1]:
            groups.append(order)
        if self._domain.known:
            groups.append(self._axes.scaled(rows, self._domain.known))
        return tuple(groups)


class Kernels:
    """Fits one kernel per unknown figure, anew each time the history has grown by a fifth, and remembers them."""

    def __init__(self, features: Features) -> None:
        self._features = features
        self._known: dict[bytes, Kernel] = {}

    def kernel(self, rows: Rows, values: Floats) -> Kernel:
        """The kernel that explains the first of `values` [n] best; the same for the same arguments."""
        used = min(_milestone(len(rows)), KERNEL_ROWS)
        rows, values = rows[:used], values[:used]
        key = rows.tobytes() + values.tobytes()
        if key not in self._known:
            self._known[key] = fit_kernel(self._features(rows), FigureScale(values).into(values))
        return self._known[key]


class Posterior:
    """The beliefs that follow from one history."""

    def __init__(self, domain: Domain, features: Features, kernels: Kernels, history: History) -> None:
        self._domain, self._features = domain, features
        self.unknown = [j for j, name in enumerate(domain.objectives) if name not in domain.known]
        bounds = np.array(list(domain.limits.values()))
        limits = [j for j, name in enumerate(domain.limits) if name not in domain.known]
        self._bounds = bounds[limits]
        figures = [history.values[:, j] for j in self.unknown]
        figures += [history.excess[:, j] + bounds[j] for j in limits]
        kept = most_telling(history.values)
        groups = features(history.rows[kept])
        self._scales = [FigureScale(column) for column in figures]
        self._processes: list[Process] = [
            condition(kernels.kernel(history.rows, column), groups, scale.into(column[kept]))
            for column, scale in zip(figures, self._scales, strict=True)
        ]

    def believe(self, rows: Rows) -> Beliefs:
        """What is expected of rows [n, n_slots]."""
        objectives = self._domain.objectives
        mean = np.zeros((len(rows), len(objectives)))
        spread = np.zeros_like(mean)
        legal = np.ones(len(rows))
        if len(rows) == 0:
            return Beliefs(mean, spread, legal)
        if len(self.unknown) < len(objectives):
            figures = self._domain.score(rows)
            for j, name in enumerate(objectives):
                if j not in self.unknown:
                    mean[:, j] = figures[name]
        groups = self._features(rows) if self._processes else ()
        predicted = [process.predict(groups) for process in self._processes]
        for j, (middle, width) in zip(self.unknown, predicted, strict=False):
            mean[:, j], spread[:, j] = middle, width
        over = len(self.unknown)
        for bound, scale, (middle, width) in zip(self._bounds, self._scales[over:], predicted[over:], strict=True):
            legal *= _normal_share((scale.into(np.array([bound])) - middle) / width)
        return Beliefs(mean, spread, legal)

    def values(self, beliefs: Beliefs, shift: Floats | float = 0.0) -> Floats:
        """[n, n_objectives] objectives if each is `shift` spreads away from its mean."""
        coded = beliefs.mean + shift * beliefs.spread
        for j, scale in zip(self.unknown, self._scales, strict=False):
            coded[:, j] = scale.back(coded[:, j])
        return coded


def most_telling(values: Floats) -> NDArray[np.int64]:
    """Indices, rising, of at most 800 of n evaluated rows: those of the best ranks."""
    import moocore

    if len(values) <= PROCESS_ROWS:
        return np.arange(len(values))
    rank = np.asarray(moocore.pareto_rank(values))
    return np.sort(np.argsort(rank, kind="stable")[:PROCESS_ROWS])


def _milestone(count: int) -> int:
    """The largest member of 6, 8, 10, ... (each a fifth more than the last) that is at most `count`."""
    size = START
    while (following := int(size * GROWTH) + 1) <= count:
        size = following
    return size


def _normal_share(values: Floats) -> Floats:
    from scipy.special import ndtr

    return np.asarray(ndtr(values))


def _is_ordered(options: Sequence[object]) -> bool:
    return len(options) > 2 and all(isinstance(o, (int, float)) and not isinstance(o, bool) for o in options)
