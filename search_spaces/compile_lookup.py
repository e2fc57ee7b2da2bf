"""Table look-ups for whole populations: one matrix product gives the entries of all tables."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int16]
Numbers = npt.NDArray[np.int32]
CHUNK = 4096
MOST_ENTRIES = 1 << 24
"""Whole numbers that a float32 holds exactly."""


@dataclass(frozen=True)
class Table:
    """Values over the options of `variables`, in rising order: one axis each (and any axes of one entry's own)."""

    variables: tuple[int, ...]
    values: npt.NDArray[Any]

    @property
    def dims(self) -> tuple[int, ...]:
        """Sizes of the variables' axes."""
        return self.values.shape[: len(self.variables)]

    @property
    def flat(self) -> npt.NDArray[Any]:
        """Values by entry: the variables' axes in one."""
        return np.ascontiguousarray(self.values.reshape((math.prod(self.dims), *self.values.shape[len(self.dims) :])))


@dataclass(frozen=True)
class DerivedColumn:
    """A variable computed from earlier ones: its name, its table of codes, and how many codes there are.

    Where some combination was never reached, the last code stands for "unknown".
    """

    name: str
    table: Table
    size: int


def joined_variables(tables: Sequence[Table]) -> tuple[int, ...]:
    """The variables of all tables, each once, in rising order."""
    return tuple(sorted({variable for table in tables for variable in table.variables}))


def spread(table: Table, variables: Sequence[int]) -> npt.NDArray[Any]:
    """The table's values with axes of size one for the other `variables` (in rising order)."""
    sizes = dict(zip(table.variables, table.dims, strict=True))
    rest = table.values.shape[len(table.variables) :]
    return table.values.reshape((*(sizes.get(variable, 1) for variable in variables), *rest))


def extended(rows: Rows, columns: Sequence[DerivedColumn]) -> npt.NDArray[np.int64]:
    """Options and codes `[n, n_slots + n_columns]` of rows `[n, n_slots]`."""
    variables = [*rows.T.astype(np.int64)]
    for column in columns:
        chosen = column.table.values[tuple(variables[v] for v in column.table.variables)]
        variables.append(np.broadcast_to(chosen, len(rows)).astype(np.int64))
    return np.stack(variables, axis=1) if variables else np.zeros((len(rows), 0), np.int64)


class Lookup:
    """Finds the entries of many tables for rows `[n, n_slots]`; `columns` are computed on the way.

    Variables below `n_slots` are slots, those above the columns in order.
    """

    def __init__(self, n_slots: int, columns: Sequence[DerivedColumn], tables: Sequence[Table]) -> None:
        self._n_slots = n_slots
        self._needed = _needed_columns(n_slots, columns, tables)
        self._codes = [np.ascontiguousarray(columns[c].table.flat.astype(np.intp)) for c in self._needed]
        place = {n_slots + c: i for i, c in enumerate(self._needed)}
        everything = [*tables, *(columns[c].table for c in self._needed)]
        self._n_tables = len(tables)
        self._strides = np.zeros((n_slots, len(everything)), np.float32)
        self._derived: list[list[tuple[int, int]]] = []
        for t, table in enumerate(everything):
            if math.prod(table.dims) > MOST_ENTRIES:
                raise ValueError(f"a table of {math.prod(table.dims)} entries; at most {MOST_ENTRIES} can be indexed")
            stride = 1
            self._derived.append([])
            for variable, size in zip(reversed(table.variables), reversed(table.dims), strict=True):
                if variable < n_slots:
                    self._strides[variable, t] = stride
                else:
                    self._derived[t].append((place[variable], stride))
                stride *= size

    def entries(self, rows: npt.NDArray[Any]) -> Iterator[tuple[slice, npt.NDArray[np.intp]]]:
        """Chunks of rows and the entries `[n_tables, chunk]` of all tables; the array is used again."""
        size = min(CHUNK, max(1, len(rows)))
        wide = np.empty((size, self._n_slots), np.float32)
        product = np.empty((size, self._strides.shape[1]), np.float32)
        whole = np.empty((self._strides.shape[1], size), np.intp)
        codes = np.empty((len(self._needed), size), np.intp)
        scratch = np.empty(size, np.intp)
        for start in range(0, len(rows), size):
            n = min(size, len(rows) - start)
            np.copyto(wide[:n], rows[start : start + n], casting="unsafe")
            np.matmul(wide[:n], self._strides, out=product[:n])
            entries = whole[:, :n]
            np.copyto(entries, product[:n].T, casting="unsafe")
            for c, table in enumerate(self._codes):
                self._add_columns(self._n_tables + c, entries, codes[:, :n], scratch[:n])
                np.take(table, entries[self._n_tables + c], out=codes[c, :n], mode="clip")
            for t in range(self._n_tables):
                self._add_columns(t, entries, codes[:, :n], scratch[:n])
            yield slice(start, start + n), entries[: self._n_tables]

    def _add_columns(
        self,
        table: int,
        entries: npt.NDArray[np.intp],
        codes: npt.NDArray[np.intp],
        scratch: npt.NDArray[np.intp],
    ) -> None:
        for column, stride in self._derived[table]:
            np.multiply(codes[column], stride, out=scratch)
            np.add(entries[table], scratch, out=entries[table])


def _needed_columns(n_slots: int, columns: Sequence[DerivedColumn], tables: Sequence[Table]) -> list[int]:
    """Columns that the tables use, directly or through others, in order."""
    needed: set[int] = set()
    pending = [v - n_slots for table in tables for v in table.variables if v >= n_slots]
    while pending:
        column = pending.pop()
        if column not in needed:
            needed.add(column)
            pending += [v - n_slots for v in columns[column].table.variables if v >= n_slots]
    return sorted(needed)
