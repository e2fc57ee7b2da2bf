"""How much of what tells two architectures apart lies in each dimension."""

from collections.abc import Mapping, Sequence

import numpy as np

from nas.fidelity.ranking import Floats
from nas.report.picks import dimensions
from search_spaces.builder import Value


def pair_shares(population: Sequence[Mapping[str, Value]]) -> dict[str, Floats]:
    """Per dimension [n, n]: of the choices that differ between two architectures, the share that belongs to it.

    Only choices that both make count; where none differs the share is 0.
    """
    names = sorted({name for picks in population for name in picks})
    apart = {name: _apart([picks.get(name) for picks in population]) for name in names}
    total = sum(apart.values(), np.zeros((len(population), len(population))))
    scale = np.where(total > 0, total, 1.0)
    return {
        dimension: np.asarray(sum(apart[name] for name in members) / scale)
        for dimension, members in dimensions(names).items()
    }


def _apart(values: Sequence[Value | None]) -> Floats:
    """[n, n] 1 where two values differ and both are there."""
    keys = [None if value is None else (type(value).__name__, value) for value in values]
    codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
    column = np.array([codes[key] for key in keys])
    there = np.array([value is not None for value in values])
    differ = (column[:, None] != column[None, :]) & there[:, None] & there[None, :]
    return np.asarray(differ, dtype=np.float64)
