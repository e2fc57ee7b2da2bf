"""Random search: the null baseline."""

import numpy as np

from nas.search.domain import Domain, History, Rows
from nas.search.limits import feasible_rows


class Uniform:
    """Draws architectures uniformly, choice by choice, among those that keep the known limits."""

    def __init__(self, domain: Domain) -> None:
        self._domain = domain

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Fresh draws; the history only tells what was drawn before."""
        return feasible_rows(self._domain, rng, count, taken=history.taken)
