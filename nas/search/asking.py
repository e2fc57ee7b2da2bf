"""Asking a proposer for the next architecture that is not the twin of an earlier one."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from nas.search.domain import History, Rows
from nas.search.proposers.base import Proposer

ATTEMPTS = 8
MOST = 4096


def ask(
    proposer: Proposer, history: History, is_new: Callable[[Rows], bool], seed: Sequence[int]
) -> tuple[Rows | None, Rows]:
    """The next row [n_slots] and the rows [k, n_slots] passed over because `is_new` refused them.

    The row is `None` when the proposer has no more, or when it offers nothing but twins. Each attempt asks for
    eight times as many rows as the last, with its own generator, so the result follows from the arguments alone.
    """
    skipped = history.rows[:0]
    for attempt in range(ATTEMPTS):
        known = replace(history, excluded=np.concatenate([history.excluded, skipped]))
        rows = proposer.propose(known, min(8**attempt, MOST), np.random.default_rng([*seed, attempt]))
        if len(rows) == 0:
            break
        for place, row in enumerate(rows):
            if is_new(row):
                return row, np.concatenate([skipped, rows[:place]])
        skipped = np.concatenate([skipped, rows])
    return None, skipped
