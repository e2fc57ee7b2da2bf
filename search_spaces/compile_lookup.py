"""Table look-ups for whole populations: one matrix product gives the entries of all tables."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.int16]
Numbers = npt.NDArray[np.int32]
CHUNK = 8192
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

    Variables below `n_slots` are slots, those above the columns in order. One matrix product over the slots and one
    over the columns' codes give all entries; float32 holds them exactly.
    """

    def __init__(self, n_slots: int, columns: Sequence[DerivedColumn], tables: Sequence[Table]) -> None:
        self._n_slots, self._n_tables = n_slots, len(tables)
        needed = _needed_columns(n_slots, columns, tables)
        place = {n_slots + c: i for i, c in enumerate(needed)}
        everything = [*tables, *(columns[c].table for c in needed)]
        self._codes = [columns[c].table.flat.astype(np.float32) for c in needed]
        self._slot_strides = np.zeros((n_slots, len(everything)), np.float32)
        self._code_strides = np.zeros((len(needed), len(everything)), np.float32)
        for t, table in enumerate(everything):
            if math.prod(table.dims) > MOST_ENTRIES:
                raise ValueError(f"a table of {math.prod(table.dims)} entries; at most {MOST_ENTRIES} can be indexed")
            stride = 1
            for variable, size in zip(reversed(table.variables), reversed(table.dims), strict=True):
                strides, row = (
                    (self._slot_strides, variable) if variable < n_slots else (self._code_strides, place[variable])
                )
                strides[row, t] = stride
                stride *= size

    def entries(self, rows: npt.NDArray[Any]) -> Iterator[tuple[slice, npt.NDArray[np.intp]]]:
        """Chunks of rows and the entries `[n_tables, chunk]` of all tables; the array is used again."""
        size = min(CHUNK, max(1, len(rows)))
        wide = np.empty((size, self._n_slots), np.float32)
        product = np.empty((size, self._slot_strides.shape[1]), np.float32)
        codes = np.empty((len(self._codes), size), np.float32)
        whole = np.empty((self._n_tables, size), np.intp)
        for start in range(0, len(rows), size):
            n = min(size, len(rows) - start)
            np.copyto(wide[:n], rows[start : start + n], casting="unsafe")
            np.matmul(wide[:n], self._slot_strides, out=product[:n])
            entries = product[:n, : self._n_tables]
            if self._codes:
                self._find_codes(product[:n], codes[:, :n])
                entries += codes[:, :n].T @ self._code_strides[:, : self._n_tables]
            np.copyto(whole[:, :n], entries.T, casting="unsafe")
            yield slice(start, start + n), whole[:, :n]

    def _find_codes(self, product: npt.NDArray[np.float32], codes: npt.NDArray[np.float32]) -> None:
        """Look up the columns one after another, each in the table at its own place behind the others."""
        for c, table in enumerate(self._codes):
            entry = np.ascontiguousarray(product[:, self._n_tables + c])
            strides = self._code_strides[:c, self._n_tables + c]
            for earlier in np.flatnonzero(strides):
                entry += codes[earlier] * strides[earlier]
            np.take(table, entry.astype(np.intp), out=codes[c], mode="clip")


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
