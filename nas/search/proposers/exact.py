"""An additive model of the objectives, solved exactly: each proposal is the best of the whole space by the model."""

import numpy as np

from nas.search.domain import Domain, Floats, History, Rows, distinct_rows, no_rows, without
from nas.search.gain import non_dominated
from nas.search.proposers.offspring import filled

START = 12
RIDGE = 1.0


class Exact:
    """Proposes optima of integer programmes: the least of one objective under a limit on every other that is known.

    The first objective that only an evaluation tells is modelled as a sum over the options of the slots (ridge
    regression); where all are known the first is taken as it is. The limits on the known ones are drawn along the front
    (the epsilon-constraint method, Haimes et al., 1971). What is not on tables that add up is not seen: random rows are
    proposed for a space without such tables, and until twelve results are in.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """One optimum per row asked for, none of them taken; random rows where the limits drawn leave none."""
        domain = self._domain
        chosen = no_rows(domain)
        if domain.prover is not None and len(history.rows) >= START:
            worth = self._worth(history)
            for _ in range(count):
                taken = np.concatenate([history.taken, chosen])
                found = domain.prover.best(worth, self._limits(history, rng), taken)
                if found is not None:
                    new = without(domain.within(found[None]), taken)
                    chosen = distinct_rows(np.concatenate([chosen, new]))
        return filled(domain, history, chosen, count, rng)

    @property
    def _modelled(self) -> int | None:
        """Place of the objective that is modelled; `None` where all are known."""
        unknown = [i for i, name in enumerate(self._domain.objectives) if name not in self._domain.known]
        return unknown[0] if unknown else None

    def _worth(self, history: History) -> "str | list[Floats]":
        """The name of a known figure, or per slot what each of its options adds to the modelled objective."""
        place = self._modelled
        if place is None:
            return self._domain.objectives[0]
        values = history.values[:, place]
        scaled = (values - values.mean()) / max(float(values.std()), 1e-12)
        columns = [history.rows[:, [slot]] == np.arange(size) for slot, size in enumerate(self._domain.options)]
        design = np.concatenate(columns, axis=1).astype(float)
        weights = np.linalg.solve(design.T @ design + RIDGE * np.eye(design.shape[1]), design.T @ scaled)
        return list(np.split(weights, np.cumsum(self._domain.options)[:-1]))

    def _limits(self, history: History, rng: np.random.Generator) -> dict[str, float]:
        """The known limits, and one on each known objective that is not minimised, between two of the front."""
        domain = self._domain
        limits = dict(domain.known_limits)
        first = self._modelled or 0
        within = history.values[history.feasible] if history.feasible.any() else history.values
        front = within[non_dominated(within)]
        for place, name in enumerate(domain.objectives):
            if place == first or name not in domain.known:
                continue
            levels = np.unique(front[:, place])
            low = levels[rng.integers(len(levels))]
            above = levels[levels > low]
            high = above[0] if len(above) else low * 1.5
            most = float(low + rng.random() * (high - low))
            limits[name] = min(most, limits.get(name, np.inf))
        return limits
