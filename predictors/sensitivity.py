"""Which choices decide a figure, and which only together: variance-based sensitivity of a coded space.

Every choice is drawn uniformly and independently; what a row means is up to `score`. First-order shares follow
Saltelli et al. (2010), "Variance based sensitivity analysis of model output", table 2 (b); total shares Jansen (1999),
"Analysis of variance designs for model output"; shares of pairs are closed shares of two groups less those of each.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from search_spaces.compile_lookup import Rows

Floats = npt.NDArray[np.float64]
Score = Callable[[Rows], Mapping[str, Floats]]
Groups = Sequence[Sequence[int]]


@dataclass(frozen=True)
class Shares:
    """Shares of the variance of one figure, per group of choices.

    first: [n_groups] what each decides alone. total: [n_groups] with all it interacts with.
    """

    first: Floats
    total: Floats


class Sensitivity:
    """Samples of a space in pairs of rows, from which shares of any groups of choices follow.

    score: rows [n, n_slots] of option positions to figures [n]. options: options per slot. n: rows in each half;
    shares are known to about 1 / sqrt(n). Figures must be finite.
    """

    def __init__(self, score: Score, options: Sequence[int], *, n: int, rng: np.random.Generator) -> None:
        sizes = np.asarray(options)
        self._score = score
        self._first, self._second = (rng.integers(0, sizes, size=(n, len(sizes))).astype(np.int16) for _ in range(2))
        base, other = score(self._first), score(self._second)
        self._mean = {name: float(np.concatenate([base[name], other[name]]).mean()) for name in base}
        self._variance = {name: float(np.concatenate([base[name], other[name]]).var()) for name in base}
        self._base = {name: values - self._mean[name] for name, values in base.items()}
        self._other = {name: values - self._mean[name] for name, values in other.items()}

    def _mixed(self, group: Sequence[int]) -> dict[str, Floats]:
        """The first half's figures with the choices of `group` taken from the second."""
        rows = self._first.copy()
        columns = list(group)
        rows[:, columns] = self._second[:, columns]
        return {name: values - self._mean[name] for name, values in self._score(rows).items()}

    def shares(self, groups: Groups) -> dict[str, Shares]:
        """By figure, the shares of `groups` (positions of choices); 0 for a figure that does not vary.

        A share alone is at most the total one; where sampling says otherwise, it is cut to that.
        """
        first = {name: np.zeros(len(groups)) for name in self._base}
        total = {name: np.zeros(len(groups)) for name in self._base}
        for g, group in enumerate(groups):
            for name, mixed in self._mixed(group).items():
                first[name][g] = self._closed(name, mixed)
                change = ((self._base[name] - mixed) ** 2).mean() / 2
                total[name][g] = self._share(name, float(change))
        clipped = {name: np.clip(shares, 0, 1) for name, shares in total.items()}
        return {name: Shares(np.clip(first[name], 0, clipped[name]), clipped[name]) for name in first}

    def pairs(self, groups: Groups) -> dict[str, Floats]:
        """By figure, [n_groups, n_groups]: what two groups decide only together; on the diagonal each one alone."""
        alone = {name: shares.first for name, shares in self.shares(groups).items()}
        found = {name: np.diag(values) for name, values in alone.items()}
        for a, b in combinations(range(len(groups)), 2):
            for name, mixed in self._mixed([*groups[a], *groups[b]]).items():
                joint = self._closed(name, mixed) - alone[name][a] - alone[name][b]
                found[name][a, b] = found[name][b, a] = min(1.0, max(0.0, joint))
        return found

    def _closed(self, name: str, mixed: Floats) -> float:
        return self._share(name, float((self._other[name] * (mixed - self._base[name])).mean()))

    def _share(self, name: str, part: float) -> float:
        variance = self._variance[name]
        return part / variance if variance > 1e-18 * self._mean[name] ** 2 else 0.0
