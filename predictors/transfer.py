"""A new device from a handful of measurements, by what is known of other devices.

Over a pool of architectures the figures of known devices, and amounts counted from the networks (multiply-adds,
parameters, layers), make one column each. The new device's figure is

    y = base + columns . (prices + deviations),    prices >= 0,    measured as y * (1 + error)

Prices that are not negative say that what takes longer elsewhere takes no less here; deviations, normal and small,
leave room for exceptions. How strong each part is, the known devices tell: one family after the other is taken for
new and predicted from the others. The same rehearsal says how far predictions lie off, in units of the errors that
the measured architectures show when they are left out, and so gives the new device's interval. It covers as often as
it says over devices like the known ones, not on each single device.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from predictors.conformal import ratio_interval
from predictors.kernel_features import Floats
from predictors.kernels import Fusion, Kernel
from predictors.known_devices import (
    FEWEST_MEASURED,
    KnownDevices,
    Rows,
    check_columns,
    choose_architectures,
    kernel_amounts,
)
from predictors.latency import LatencyModel
from predictors.measured import checked_rows, left_out
from search_spaces.errors import NasError

BASE_VARIANCE = 9.0
DRAWS = 3
TRIED_ON = 500
SCORES_PER_FAMILY = 60
LEAST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class Prior:
    """Variances of prices and of deviations per column, and of the error, in units of the figure's spread."""

    price: float
    deviation: float
    noise: float


PRIORS = tuple(Prior(*values) for values in product((0.3, 1.0), (0.003, 0.02), (0.1, 0.3)))


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What was learned by taking known devices for new ones, each with `measured` architectures.

    `scores` are errors of log figures in units of the left-one-out errors, as many from each family.
    """

    prior: Prior
    scores: tuple[float, ...]
    measured: int


@dataclass(frozen=True, slots=True)
class TransferredFigure:
    """The figure of a new device: `base`, and a price for each column.

    `device_prices` are those of the known devices' figures, `amount_prices` those of the amounts. `ratios` are about
    the measured over predicted figures to be met with on architectures not measured; no figure is predicted below
    `smallest`. See `fit_transfer`.
    """

    base: float
    device_prices: tuple[float, ...]
    amount_prices: tuple[float, ...]
    ratios: tuple[float, ...]
    smallest: float

    @property
    def prices(self) -> Floats:
        """All prices, those of devices before those of amounts."""
        return np.array([*self.device_prices, *self.amount_prices])

    def predict(self, figures: Floats, amounts: Floats) -> Floats:
        """Figures [n] of architectures from those of the known devices [n, n_devices] and amounts [n, n_amounts]."""
        expected = [len(self.device_prices), len(self.amount_prices)]
        if [*np.shape(figures)[1:], *np.shape(amounts)[1:]] != expected or len(figures) != len(amounts):
            raise NasError(
                f"figures {np.shape(figures)} and amounts {np.shape(amounts)} were given; "
                f"expected (n, {expected[0]}) and (n, {expected[1]})"
            )
        check_columns(figures, amounts)
        return np.maximum(self.base + np.hstack([figures, amounts]) @ self.prices, self.smallest)

    def interval(self, value: float, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the measured figure of a network predicted at `value` lies; `None`: rehearsed too little to tell."""
        return ratio_interval(value, self.ratios, confidence=confidence)


class TransferredLatency:
    """The latency model of a new device, additive over kernels as those of the known `models` that it rests on.

    `figure` was learned from columns of `known_devices.describe` with the same models in the same order.
    """

    def __init__(self, figure: TransferredFigure, models: Sequence[LatencyModel]) -> None:
        expected = (len(models), kernel_amounts([]).shape[1])
        if (len(figure.device_prices), len(figure.amount_prices)) != expected:
            raise NasError(
                f"the figure was not learned from {expected[0]} devices and {expected[1]} amounts of kernels"
            )
        self.fusion: Fusion = models[0].fusion
        self.ratios = figure.ratios
        self._figure = figure
        self._models = tuple(models)
        paid = zip(figure.device_prices, models, strict=True)
        self.intercept_ms = figure.base + sum(price * model.intercept_ms for price, model in paid)

    def predict_ms(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's latency in milliseconds, [n_kernels]."""
        parts = [*(model.predict_ms(kernels) for model in self._models), *kernel_amounts(kernels).T]
        return np.asarray(np.column_stack(parts) @ self._figure.prices)

    def interval(self, latency_ms: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the measured latency of a network predicted at `latency_ms` lies; `None`: not known."""
        return self._figure.interval(latency_ms, confidence=confidence)


class TransferredEnergy:
    """The energy model of a new device: millijoules in terms of what the known `models` take, as for its latency."""

    def __init__(self, figure: TransferredFigure, models: Sequence[LatencyModel]) -> None:
        self._law = TransferredLatency(figure, models)
        self.fusion: Fusion = self._law.fusion
        self.intercept_mj = self._law.intercept_ms
        self.ratios = figure.ratios

    def predict_mj(self, kernels: Sequence[Kernel], /) -> Floats:
        """What each kernel adds to a network's energy in millijoules, [n_kernels]."""
        return self._law.predict_ms(kernels)

    def interval(self, energy_mj: float, /, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the measured energy of a network predicted at `energy_mj` lies; `None`: not known."""
        return self._law.interval(energy_mj, confidence=confidence)


def fit_transfer(
    known: KnownDevices,
    rows: Sequence[int] | Rows,
    figure: Sequence[float] | Floats,
    *,
    rehearsal: Rehearsal | None = None,
) -> TransferredFigure:
    """Learn a new device's figure from the measured `figure` [n] of the pool's architectures `rows` [n].

    `rehearsal`, with as many random architectures when none is given, can be shared by several new devices.
    `NasError` for fewer than 5 measured architectures, for one named twice or outside the pool, for figures that are
    not numbers above 0, and for a rehearsal with another number of architectures.
    """
    places = np.asarray(rows, dtype=np.int64)
    if outside := [int(row) for row in places if not 0 <= row < len(known.columns)]:
        raise NasError(f"measured row {outside[0]} is outside the pool of {len(known.columns)} architectures")
    (columns,), measured = checked_rows([known.columns[places]], figure, fewest=FEWEST_MEASURED)
    if len(set(places.tolist())) < len(places):
        raise NasError("an architecture is named twice among the measured rows: give one figure for each")
    lesson = rehearsal or rehearse(known, len(places))
    if lesson.measured != len(places):
        raise NasError(
            f"rehearsed with {lesson.measured} architectures, but {len(places)} were measured: rehearse again"
        )
    line = _fit(columns, measured, lesson.prior)
    prices = line.slopes / known.spread
    ratios = np.exp(line.scale * np.array(lesson.scores))
    devices, amounts = np.split(prices, [len(known.families)])
    return TransferredFigure(
        line.base - float(prices @ known.mean),
        tuple(devices.tolist()),
        tuple(amounts.tolist()),
        tuple(ratios.tolist()),
        line.smallest,
    )


def rehearse(known: KnownDevices, measured: int, *, chosen: bool = False) -> Rehearsal:
    """Take each known family for new, with `measured` architectures that are `chosen` or random; deterministic.

    The prior is the one with the least mean logarithm of the error, each family counting the same. Where all devices
    are of one family, each is taken for new by itself. `NasError` for fewer than 2 known devices and for a pool less
    than twice as large as what is measured.
    """
    if len(known.families) < 2:
        raise NasError("a rehearsal takes one known device for new and needs at least 1 more, but 1 is known")
    if not FEWEST_MEASURED <= measured <= len(known.columns) // 2:
        raise NasError(
            f"{measured} measured architectures and a pool of {len(known.columns)}: "
            f"legal are {FEWEST_MEASURED} to {len(known.columns) // 2}"
        )
    alike = known.families if len(set(known.families)) > 1 else tuple(map(str, range(len(known.families))))
    families = [[i for i, name in enumerate(alike) if name == family] for family in sorted(set(alike))]
    played = [_play(known, members, measured, chosen=chosen) for members in families]
    log_errors = np.mean([[np.log(error) for error, _ in one] for one in played], axis=0)
    best = int(log_errors.argmin())
    parts = (np.arange(SCORES_PER_FAMILY) + 0.5) / SCORES_PER_FAMILY
    scores = np.concatenate([np.quantile(one[best][1], parts) for one in played])
    return Rehearsal(PRIORS[best], tuple(scores.tolist()), measured)


def _play(known: KnownDevices, members: Sequence[int], measured: int, *, chosen: bool) -> list[tuple[float, Floats]]:
    """Typical error and scores of each of `PRIORS` on the `members`, predicted from the other devices."""
    others = known.without(members)
    rng = np.random.default_rng(0)
    errors: list[list[float]] = [[] for _ in PRIORS]
    scores: list[list[Floats]] = [[] for _ in PRIORS]
    for _ in range(DRAWS):
        order = rng.permutation(len(known.columns))
        offered, fresh = order[: len(order) // 2], order[len(order) // 2 :][:TRIED_ON]
        rows = choose_architectures(others, measured, among=offered) if chosen else offered[:measured]
        for device in members:
            figure = known.figures[:, device]
            for i, prior in enumerate(PRIORS):
                line = _fit(others.columns[rows], figure[rows], prior)
                missed = np.log(figure[fresh] / line(others.columns[fresh]))
                errors[i].append(float(np.log(np.sqrt((missed**2).mean()) + 1e-12)))
                scores[i].append(missed / line.scale)
    return [(float(np.exp(np.mean(one))), np.concatenate(many)) for one, many in zip(errors, scores, strict=True)]


@dataclass(frozen=True)
class _Line:
    """Figure = base + columns . slopes, at least `smallest`; `scale` is the error of rows left out, in logarithms."""

    base: float
    slopes: Floats
    scale: float
    smallest: float

    def __call__(self, columns: Floats) -> Floats:
        return np.maximum(self.base + columns @ self.slopes, self.smallest)


def _fit(columns: Floats, figure: Floats, prior: Prior) -> _Line:
    """Most probable prices, then the normal posterior of deviations and of the prices that are not 0."""
    from scipy.optimize import nnls

    middle, unit = figure.mean(), max(float(figure.std()), 1e-9 * float(figure.mean()))
    target = (figure - middle) / unit
    noise = np.diag(prior.noise * (figure / middle) ** 2)
    covariance = BASE_VARIANCE + prior.deviation * columns @ columns.T + noise
    white = np.linalg.solve(np.linalg.cholesky(covariance), np.column_stack([target, columns]))
    held = np.eye(columns.shape[1]) / np.sqrt(prior.price)
    prices, _ = nnls(np.vstack([white[:, 1:], held]), np.concatenate([white[:, 0], np.zeros(len(held))]))
    paid = prior.price * (prices > 0)
    weights, errors = left_out(covariance + (paid * columns) @ columns.T, target)
    smallest = LEAST_SHARE * float(figure.min())
    ratios = np.log(figure / np.maximum(figure - unit * errors, smallest))
    return _Line(
        float(middle + unit * BASE_VARIANCE * weights.sum()),
        unit * (prior.deviation + paid) * (columns.T @ weights),
        float(np.sqrt((ratios**2).mean()) + 1e-9),
        smallest,
    )
