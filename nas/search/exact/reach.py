"""What a space can reach at best, proved on its cost tables."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.search.domain import Floats, Rows
from nas.search.exact.additive import Limit, best_row, nearest_row
from predictors.table_nodes import PEAK
from predictors.tables import CostTables
from search_spaces.compile_lookup import Table
from search_spaces.errors import NasError, SpaceError

LOGGER = logging.getLogger(__name__)
SECONDS = 30.0
CERTAIN = 1e-6
GAP = 1e-3
NODES = 2000


@dataclass(frozen=True)
class Reach:
    """Proofs about a space; `sources` says which tables know a figure, and what they call it."""

    sources: Mapping[str, tuple[CostTables, str]]

    def least(self, figure: str) -> Rows | None:
        """The row [n_slots] with the least `figure` of all; `None` where that cannot be proved."""
        if figure not in self.sources:
            return None
        tables, name = self.sources[figure]
        return tables.least(name)

    def best(self, worth: str | Sequence[Floats], limits: Mapping[str, float], taken: Rows) -> Rows | None:
        """The row with the least `worth` (a figure, or per slot what each option adds) within the limits, not taken.

        `None` where there is none, where a figure does not add up, and where a bounded search found none.
        """
        figures = [*([worth] if isinstance(worth, str) else []), *limits]
        if not self.sources or any(name not in self.sources or self.sources[name][1] == PEAK for name in figures):
            return None
        compiled = next(iter(self.sources.values()))[0].costed
        if isinstance(worth, str):
            terms: Sequence[Table] = self.sources[worth][0].terms(self.sources[worth][1])
        else:
            terms = [Table((slot,), np.asarray(values, dtype=float)) for slot, values in enumerate(worth)]
        kept = [Limit(name, self.sources[name][0].terms(self.sources[name][1]), most) for name, most in limits.items()]
        try:
            return best_row(compiled, terms, limits=kept, taken=taken, gap=GAP, nodes=NODES).row
        except (NasError, SpaceError):
            return None

    def nearest(self, limits: Mapping[str, float]) -> Rows | None:
        """The row that exceeds the limits least where it is proved that none keeps them all, else `None`.

        Peak memory does not add up over operators and is left out: limits that fail without it fail with it.
        """
        added = {name: most for name, most in limits.items() if name in self.sources and self.sources[name][1] != PEAK}
        if not added:
            return None
        terms = {name: self.sources[name][0].terms(self.sources[name][1]) for name in added}
        compiled = self.sources[next(iter(added))][0].costed
        try:
            found = nearest_row(
                compiled, [Limit(name, terms[name], most) for name, most in added.items()], seconds=SECONDS
            )
        except (NasError, SpaceError) as error:
            LOGGER.info("whether the limits can be met together was not proved: %s", error)
            return None
        return found.row if found.bound > CERTAIN and found.value > 0 else None
