"""Figures that only evaluation tells, guessed for any architecture from its choices, and how well that goes."""

import numpy as np
import numpy.typing as npt

from nas.report.explored import Coded, Floats, Guess
from search_spaces.compile_lookup import Table

FEWEST = 24
FOLDS = 5
PENALTIES = tuple(float(10.0**power) for power in range(-3, 4))


def fit_guess(figure: str, rows: Coded, values: Floats, sizes: tuple[int, ...], *, seed: int = 0) -> Guess | None:
    """A ridge regression of `values` [n] on the options of canonical `rows` [n, n_slots].

    sizes: options per slot. The penalty is the one that predicts single evaluations left out best; the accuracy told
    comes from five folds. `None` with fewer than 24 evaluations or where they do not vary.
    """
    from scipy.stats import spearmanr

    if len(values) < FEWEST or np.ptp(values) <= 1e-12 * max(1.0, float(np.abs(values).max())):
        return None
    logarithm = bool((values > 0).all())
    target = np.log(values) if logarithm else values
    features = one_hot(rows, sizes)
    guessed = np.empty(len(values))
    fold = np.random.default_rng(seed).permutation(len(values)) % FOLDS
    for number in range(FOLDS):
        out = fold == number
        constant, weights = _fitted(features[~out], target[~out])
        guessed[out] = constant + features[out] @ weights
    told = np.exp(guessed) if logarithm else guessed
    rank = float(spearmanr(told, values).statistic) if np.ptp(told) > 0 else 0.0
    relative = np.abs(told - values) / np.maximum(np.abs(values), 1e-12)
    constant, weights = _fitted(features, target)
    return Guess(
        figure, logarithm, _tables(constant, weights, sizes), rank, float(np.median(relative)), count=len(values)
    )


def guessed_values(guess: Guess, rows: Coded) -> Floats:
    """What `guess` says of canonical `rows` [n, n_slots]."""
    total = np.zeros(len(rows))
    for table in guess.tables:
        total += table.values[tuple(rows[:, v] for v in table.variables)]
    return np.exp(total) if guess.logarithm else total


def one_hot(rows: Coded, sizes: tuple[int, ...]) -> npt.NDArray[np.float64]:
    """[n, sum(sizes) - n_slots] options but the first of every slot."""
    columns = [rows[:, [slot]] == np.arange(1, size) for slot, size in enumerate(sizes) if size > 1]
    return np.concatenate(columns, axis=1).astype(float) if columns else np.zeros((len(rows), 0))


def _fitted(features: Floats, target: Floats) -> tuple[float, Floats]:
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(alphas=PENALTIES).fit(features, target)
    return float(model.intercept_), np.asarray(model.coef_, np.float64)


def _tables(constant: float, weights: Floats, sizes: tuple[int, ...]) -> tuple[Table, ...]:
    tables, start = [Table((), np.array(constant))], 0
    for slot, size in enumerate(sizes):
        if size > 1:
            tables.append(Table((slot,), np.concatenate([[0.0], weights[start : start + size - 1]])))
            start += size - 1
    return tuple(tables)
