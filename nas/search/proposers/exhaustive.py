"""Every architecture, one after the other."""

import numpy as np

from nas.search.domain import Domain, History, Rows, without
from nas.search.proposers.offspring import filled
from nas.search.variation import single_changes

FIRST = 256
MOST = 65_536


class Exhaustive:
    """The rows of the space in order, where they can be listed.

    Larger spaces are walked breadth first, by single changes from the row with the first option everywhere.
    """

    def __init__(self, domain: Domain) -> None:
        self._domain = domain
        self._walked = list(domain.space.repair(np.zeros((1, len(domain.options)), dtype=np.int16)))
        self._seen = {row.tobytes() for row in self._walked}
        self._expanded = 0

    def propose(self, history: History, count: int, rng: np.random.Generator) -> Rows:
        """The first `count` that were not tried; random ones where the first 65,536 of a walk hold too few."""
        domain = self._domain
        if domain.everything is not None:
            return without(domain.within(domain.everything), history.taken)[:count]
        size = FIRST
        rows = self._new(size, history)
        while len(rows) < count and size < MOST:
            size *= 4
            rows = self._new(size, history)
        return filled(domain, history, rows, count, rng)

    def _new(self, size: int, history: History) -> Rows:
        """Those of the first `size` rows of the walk that keep the known limits and were not tried."""
        while len(self._walked) < size and self._expanded < len(self._walked):
            for row in single_changes(self._domain, self._walked[self._expanded]):
                if row.tobytes() not in self._seen:
                    self._seen.add(row.tobytes())
                    self._walked.append(row)
            self._expanded += 1
        return without(self._domain.within(np.array(self._walked[:size])), history.taken)
