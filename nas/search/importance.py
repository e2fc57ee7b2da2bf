"""Which choices matter: how much worse a forest predicts an objective when one choice is shuffled."""

from collections.abc import Sequence

import numpy as np

from nas.search.domain import Floats
from nas.search.record import Evaluation, distinct
from search_spaces.builder import Value

TREES = 40
REPEATS = 3
FEWEST = 12


def importances(
    evaluations: Sequence[Evaluation], objectives: Sequence[str], *, seed: int = 0
) -> dict[str, dict[str, float]]:
    """Per objective the importance of each choice, as shares that add up to 1, largest first.

    Permutation importance (Breiman, 2001) of a random forest over the picks; a choice that an architecture did not
    make counts as an option of its own. Objectives that do not vary, and searches of fewer than twelve networks, are
    left out.
    """
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    known = distinct(evaluations)
    if len(known) < FEWEST:
        return {}
    names, columns = _columns(known)
    found: dict[str, dict[str, float]] = {}
    for objective in objectives:
        target = np.array([evaluation.values[objective] for evaluation in known])
        if not names or target.std() <= 1e-12 * max(1.0, abs(float(target.mean()))):
            continue
        forest = RandomForestRegressor(TREES, min_samples_leaf=2, random_state=seed, n_jobs=1).fit(columns, target)
        shuffled = permutation_importance(forest, columns, target, n_repeats=REPEATS, random_state=seed, n_jobs=1)
        weights = np.maximum(shuffled.importances_mean, 0.0)
        total = float(weights.sum())
        if total > 0:
            order = np.argsort(-weights, kind="stable")
            found[objective] = {names[i]: float(weights[i]) / total for i in order}
    return found


def _columns(evaluations: Sequence[Evaluation]) -> tuple[list[str], Floats]:
    """Names of the choices that vary, and their picks as numbers [n, n_names]; -1 where a choice was not made."""
    picks = [evaluation.architecture.values for evaluation in evaluations]
    names = list(dict.fromkeys(name for one in picks for name in one))
    columns: list[Floats] = []
    varied: list[str] = []
    for name in names:
        options = _in_order({one[name] for one in picks if name in one})
        column = np.array([options.index(one[name]) if name in one else -1 for one in picks], dtype=float)
        if len(np.unique(column)) > 1:
            varied.append(name)
            columns.append(column)
    return varied, np.stack(columns, axis=1) if columns else np.zeros((len(picks), 0))


def _in_order(options: set[Value]) -> list[Value]:
    """Numbers by size, then everything else by its text."""
    return sorted(
        options,
        key=lambda value: (isinstance(value, str), 0.0 if isinstance(value, str) else float(value), str(value)),
    )
