"""The protocol of proposers."""

from typing import Protocol

import numpy as np

from nas.search.domain import History, Rows


class Proposer(Protocol):
    """Says what to evaluate next. What it proposes follows from its arguments alone, so that a search can resume.

    What a proposer keeps between calls is a cache of what the same arguments would give again.
    """

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """Up to `count` distinct canonical rows [n, n_slots], best first.

        None is in `history.taken`, all keep the known limits. Fewer rows come back when no more are found.
        """
