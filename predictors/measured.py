"""A figure of whole networks learned from measured ones: amounts at a price, what they do together, an interval.

A network is described by amounts (operators counted, elements moved, one column per place and operator), in groups of
columns; its figure is

    y = base + sum over groups of (amounts . prices) + products of amounts,    measured as y * (1 + error)

Prices are normal with one variance per group, so a figure is a Gaussian process (Rasmussen and Williams 2006, chapters
2 and 5); the variances are those of the greatest marginal likelihood. A group in general terms (how many of each
operator) beside one in detail (which operator where) lets few measurements fix the first and more of them the second.
Errors follow Student's t by reweighting (Lange, Little and Taylor 1989), so a disturbed measurement has little say.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from predictors.conformal import ratio_interval
from predictors.kernel_features import Floats
from search_spaces.errors import NasError

FEWEST_ROWS = 10
ROWS_FOR_VARIANCES = 500
BASE_VARIANCE = 9.0
PRICE, FACTOR, NOISE = 0.3, 0.01, 3e-3
LOG_BOUNDS = (-14.0, 6.0)
STEPS = 40
ROUNDS = 3
FOLDS = 5
DEGREES_OF_FREEDOM = 4.0
NORMAL_MEDIAN_SQUARE = 0.455
LEAST_SHARE = 0.2
LEAST_SQUARE = 1e-12


@dataclass(frozen=True, slots=True)
class Variances:
    """Prior variances in units of the mean figure squared, one per group of amounts.

    `prices` are those of the amounts, `factors` squared those of their products, `noise` that of the relative error.
    """

    prices: tuple[float, ...]
    factors: tuple[float, ...]
    noise: float


@dataclass(frozen=True, eq=False)
class LearnedFigure:
    """A figure learned from measured networks; see `fit_figure`.

    `ratios` are measured over predicted figure of each measured network, predicted from the folds without it; no
    figure is predicted below `smallest`.
    """

    variances: Variances
    ratios: tuple[float, ...]
    smallest: float
    scales: tuple["_Scale", ...]
    rows: tuple[Floats, ...]
    weights: Floats

    def predict(self, groups: Sequence[Floats]) -> Floats:
        """Figures [n] of networks with amounts `groups`, each [n, n_columns] as they were fitted; all above 0."""
        if [np.shape(group)[1:] for group in groups] != [row.shape[1:] for row in self.rows]:
            raise NasError(
                f"amounts of shapes {[np.shape(group) for group in groups]} were given, "
                f"but the figure was learned from columns {[row.shape[1] for row in self.rows]} per group"
            )
        scaled = [scale(group) for scale, group in zip(self.scales, groups, strict=True)]
        likeness = [one @ row.T for one, row in zip(scaled, self.rows, strict=True)]
        return np.maximum(_covariance(likeness, self.variances) @ self.weights, self.smallest)

    def interval(self, value: float, *, confidence: float = 0.9) -> tuple[float, float] | None:
        """Where the measured figure of a network predicted at `value` lies; `None`: too few measured to tell."""
        return ratio_interval(value, self.ratios, confidence=confidence)


def fit_figure(groups: Sequence[Floats], figure: Sequence[float] | Floats) -> LearnedFigure:
    """Learn `figure` [n], all above 0, from the amounts of n networks: groups of columns, each [n, n_columns].

    Deterministic. Columns that are the same in all rows say nothing and are left out. `NasError` for fewer than 10
    networks and for figures or amounts that are not usable numbers.
    """
    amounts, measured = checked_rows(groups, figure, fewest=FEWEST_ROWS)
    start = Variances((PRICE,) * len(amounts), (FACTOR,) * len(amounts), NOISE)
    model = _learn(amounts, measured, start)
    fold = np.random.default_rng(0).permutation(len(measured)) % FOLDS
    ratios = np.zeros(len(measured))
    for held in (fold == i for i in range(FOLDS)):
        other = _learn([group[~held] for group in amounts], measured[~held], model.variances)
        ratios[held] = measured[held] / other.predict([group[held] for group in amounts])
    return replace(model, ratios=tuple(ratios.tolist()))


def _learn(amounts: Sequence[Floats], measured: Floats, variances: Variances) -> LearnedFigure:
    """The figure without ratios; variances are looked for from those given."""
    scales = tuple(_Scale.of(group) for group in amounts)
    scaled = tuple(scale(group) for scale, group in zip(scales, amounts, strict=True))
    unit = float(measured.mean())
    target = measured / unit
    smallest = LEAST_SHARE * float(target.min())
    rows = _Rows(tuple(one @ one.T for one in scaled), target, target, np.ones(len(target)))
    guess = _covariance(rows.likeness, variances) @ rows.solve(variances)[0]
    rows = replace(rows, level=np.maximum(guess, smallest))
    sample = np.random.default_rng(0).permutation(len(target))[:ROWS_FOR_VARIANCES]
    for _ in range(ROUNDS):
        variances = _likeliest(rows.part(sample), variances)
        rows = replace(rows, trust=_trust(rows.solve(variances)[1]))
    weights, _ = rows.solve(variances)
    return LearnedFigure(variances, (), unit * smallest, scales, scaled, unit * weights)


def checked_rows(groups: Sequence[npt.ArrayLike], figure: npt.ArrayLike, *, fewest: int) -> tuple[list[Floats], Floats]:
    """The amounts and figures as arrays; `NasError` where they are too few, do not match or are not usable numbers."""
    measured = np.asarray(figure, dtype=np.float64)
    amounts = [np.asarray(group, dtype=np.float64) for group in groups]
    if measured.ndim != 1 or len(measured) < fewest:
        raise NasError(f"figures of shape {measured.shape} are too few measured networks: measure at least {fewest}")
    if not amounts:
        raise NasError("nothing is known of the networks but their figures: give at least one group of amounts")
    if bad := [i for i, value in enumerate(measured) if not 0 < value < np.inf]:
        raise NasError(f"the figure of network {bad[0]} is {measured[bad[0]]}; every figure must be a number above 0")
    for number, group in enumerate(amounts):
        if group.ndim != 2 or len(group) != len(measured):
            raise NasError(f"group {number} of amounts has shape {group.shape}; expected ({len(measured)}, columns)")
        if not np.isfinite(group).all():
            row, column = np.argwhere(~np.isfinite(group))[0]
            raise NasError(f"group {number} of amounts holds {group[row, column]} in row {row}, column {column}")
    return amounts, measured


@dataclass(frozen=True, eq=False)
class _Scale:
    """Centres columns and gives a group's rows a mean squared length of 1; constant columns become 0."""

    mean: Floats
    unit: Floats

    @classmethod
    def of(cls, group: Floats) -> "_Scale":
        spread = group.std(axis=0)
        varies = spread > 1e-9 * np.maximum(1.0, np.abs(group).max(axis=0, initial=0.0))
        return cls(group.mean(axis=0), np.where(varies, spread, np.inf) * np.sqrt(max(1, varies.sum())))

    def __call__(self, group: Floats) -> Floats:
        return np.asarray((np.asarray(group, dtype=np.float64) - self.mean) / self.unit)


def _covariance(likeness: Sequence[Floats], variances: Variances) -> Floats:
    """Prior covariance of figures from the inner products of rows, one array per group."""
    alone = _weighed(variances.prices, likeness)
    return np.asarray(BASE_VARIANCE + alone + _weighed(variances.factors, likeness) ** 2)


def _weighed(weights: Sequence[float], likeness: Sequence[Floats]) -> Floats:
    return np.asarray(sum(weight * one for weight, one in zip(weights, likeness, strict=True)))


@dataclass(frozen=True, eq=False)
class _Rows:
    """Measured rows: inner products by group, each [n, n]; per row [n] the figure, about how large it is, and trust.

    An error is in proportion to the level, and its variance to one over the trust.
    """

    likeness: tuple[Floats, ...]
    target: Floats
    level: Floats
    trust: Floats

    def part(self, chosen: npt.NDArray[np.int64]) -> "_Rows":
        """Some of the rows."""
        likeness = tuple(one[np.ix_(chosen, chosen)] for one in self.likeness)
        return _Rows(likeness, self.target[chosen], self.level[chosen], self.trust[chosen])

    def covariance(self, variances: Variances) -> Floats:
        """Of the figures over their levels, noise included."""
        scale = np.outer(self.level, self.level)
        return np.asarray(_covariance(self.likeness, variances) / scale + np.diag(variances.noise / self.trust))

    def solve(self, variances: Variances) -> tuple[Floats, Floats]:
        """Weights of the rows, and each row's relative error when it is left out."""
        weights, errors = left_out(self.covariance(variances), self.target / self.level)
        return weights / self.level, errors


def left_out(covariance: Floats, target: Floats) -> tuple[Floats, Floats]:
    """Weights [n] of a Gaussian process's rows and each row's error when it is left out [n].

    `covariance` [n, n] includes the noise (Rasmussen and Williams 2006, equation 5.12).
    """
    inverse = np.linalg.inv(covariance)
    weights = inverse @ target
    return weights, weights / np.diag(inverse)


def _trust(errors: Floats) -> Floats:
    """Weight of each row as Student's t gives it to its error, [n]."""
    typical = np.median(errors**2) / NORMAL_MEDIAN_SQUARE
    return np.asarray((DEGREES_OF_FREEDOM + 1) / (DEGREES_OF_FREEDOM + errors**2 / max(typical, LEAST_SQUARE)))


def _likeliest(rows: _Rows, start: Variances) -> Variances:
    """Variances of the greatest marginal likelihood, looked for from `start`."""
    from scipy.optimize import minimize

    def cost(logs: Floats) -> tuple[float, Floats]:
        return _evidence(rows, _variances(np.exp(logs)))

    first = np.clip(np.log([*start.prices, *start.factors, start.noise]), *LOG_BOUNDS)
    found = minimize(
        cost, first, jac=True, method="L-BFGS-B", bounds=[LOG_BOUNDS] * len(first), options={"maxiter": STEPS}
    )
    return _variances(np.exp(found.x))


def _variances(values: Floats) -> Variances:
    prices, factors = np.split(values[:-1], 2)
    return Variances(tuple(prices.tolist()), tuple(factors.tolist()), float(values[-1]))


def _evidence(rows: _Rows, variances: Variances) -> tuple[float, Floats]:
    """Negative log marginal likelihood up to a constant, and its gradient by the logarithms of the variances."""
    covariance, relative = rows.covariance(variances), rows.target / rows.level
    inverse = np.linalg.inv(covariance)
    weights = inverse @ relative
    value = 0.5 * float(relative @ weights + np.linalg.slogdet(covariance)[1])
    slope = inverse - np.outer(weights, weights)
    per_price = slope / np.outer(rows.level, rows.level)
    per_factor = 2 * per_price * _weighed(variances.factors, rows.likeness)
    gradient = [
        *(price * np.vdot(per_price, one) for price, one in zip(variances.prices, rows.likeness, strict=True)),
        *(factor * np.vdot(per_factor, one) for factor, one in zip(variances.factors, rows.likeness, strict=True)),
        variances.noise * np.vdot(np.diag(slope), 1 / rows.trust),
    ]
    return value, 0.5 * np.array(gradient)
