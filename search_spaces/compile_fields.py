"""What was seen of a space, and one table per field over the variables it was found to depend on."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_spaces.compile_observe import COLUMNS, NOTHING, FieldKey, Run, RunObserver

Ints = npt.NDArray[np.int32]
Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(slots=True)
class Column:
    """A derived variable: one property of the last tensor built before the choice `slot` is asked for.

    `cut` numbers that point, `field` is the field that holds the same values, `numbers` the values by code.
    """

    cut: int
    slot: str
    part: str
    field: int
    numbers: list[int]
    codes: dict[int, int]

    def code(self, number: int) -> int:
        """Code of a value number, a new one when it was not met before."""
        code = self.codes.get(number)
        if code is None:
            code = self.codes[number] = len(self.numbers)
            self.numbers.append(number)
        return code


def _grown(array: Ints, rows: int, columns: int, fill: int) -> Ints:
    """`array` with room for at least [rows, columns], new places filled with `fill`."""
    if rows <= array.shape[0] and columns <= array.shape[1]:
        return array
    shape = tuple(had if n <= had else max(n, 2 * had) for n, had in zip((rows, columns), array.shape, strict=True))
    grown = np.full(shape, fill, np.int32)
    grown[: array.shape[0], : array.shape[1]] = array
    return grown


class Evidence:
    """All runs so far, as matrices: variables `[runs, variables]` and field values `[runs, fields]`.

    A variable is a choice (its option's position) or a column (its code). -1 stands for "was not reached".
    """

    def __init__(self, observer: RunObserver) -> None:
        self.observer = observer
        self.runs: list[Run] = []
        self.columns: dict[int, Column] = {}
        self.variable_of_slot: list[int] = []
        self.slot_of_variable: list[int] = []
        self._variables: Ints = np.zeros((256, 64), np.int32)
        self._values: Ints = np.full((256, 512), -1, np.int32)
        self._fields = 0

    @property
    def variables(self) -> Ints:
        """Matrix [runs, variables]."""
        return self._variables[: len(self.runs), : len(self.slot_of_variable)]

    @property
    def values(self) -> Ints:
        """Matrix [runs, fields] of value numbers."""
        return self._values[: len(self.runs), : self._fields]

    @property
    def sizes(self) -> list[int]:
        """Number of options or codes per variable."""
        return [
            len(self.observer.options[slot]) if slot >= 0 else len(self.columns[variable].numbers)
            for variable, slot in enumerate(self.slot_of_variable)
        ]

    def column_at(self, cut: int) -> list[int]:
        """Variables of the columns of `cut`."""
        return [variable for variable, column in self.columns.items() if column.cut == cut]

    def add(self, run: Run, row: Sequence[int] | None) -> int:
        """Append `run` of the picks `row` (option positions per choice; `None`: those picked); return its number."""
        number = len(self.runs)
        self._sync_slots()
        self._sync_fields()
        self._variables = _grown(self._variables, number + 1, len(self.slot_of_variable), 0)
        self._values = _grown(self._values, number + 1, self._fields, -1)
        self.runs.append(run)
        names = [self.observer.slot(name) for name in run.asked]
        if row is None:
            for slot, position in zip(names, run.picked, strict=True):
                self._variables[number, self.variable_of_slot[slot]] = position
        else:
            self._variables[number, self.variable_of_slot[: len(row)]] = row
        if run.refused is None:
            self._values[number, : self._fields] = self.observer.defaults
        self._values[number, run.found[0]] = run.found[1]
        for variable in self.columns:
            self._note_column(number, variable)
        return number

    def add_cut(self, cut: int, slot: str) -> None:
        """Make the columns of a new cut at the choice `slot`."""
        for part in COLUMNS:
            number = self.observer.field(FieldKey(slot, part), None, NOTHING)
            self._sync_fields()
            variable = len(self.slot_of_variable)
            self.slot_of_variable.append(-1)
            self.columns[variable] = Column(cut, slot, part, number, [], {})
            self._variables = _grown(self._variables, 1, variable + 1, 0)
            for run in range(len(self.runs)):
                self._note_column(run, variable)

    def row(self, run: int) -> list[int]:
        """Option positions per choice of a run."""
        return [int(v) for v in self._variables[run, self.variable_of_slot]]

    def _note_column(self, number: int, variable: int) -> None:
        run, column = self.runs[number], self.columns[variable]
        if column.slot in run.asked:
            last = run.last[run.asked.index(column.slot)]
            value: object = None
            if last is not None:
                value = {"channels": last[0][0], "spatial": last[0][1:], "maker": last[1]}[column.part]
            seen = self.observer.values.number(value)
        else:
            seen = NOTHING if run.refused is None else -1
        self._values[number, column.field] = seen
        self._variables[number, variable] = -1 if seen < 0 else column.code(seen)

    def _sync_slots(self) -> None:
        for slot in range(len(self.variable_of_slot), len(self.observer.slots)):
            self.variable_of_slot.append(len(self.slot_of_variable))
            self.slot_of_variable.append(slot)

    def _sync_fields(self) -> None:
        """Give fields met for the first time the value they had in earlier runs."""
        fields = len(self.observer.keys)
        if fields == self._fields:
            return
        self._values = _grown(self._values, 1, fields, -1)
        complete = np.array([run.refused is None for run in self.runs], bool)
        new = self.observer.defaults[self._fields :]
        self._values[: len(self.runs), self._fields : fields] = np.where(complete[:, None], new, -1)
        self._fields = fields


class FieldTables:
    """One flat table of value numbers per field, indexed by the variables the field depends on (its support).

    `pending` holds, per field, runs whose value differs from the table's: the support lacks a variable.
    """

    def __init__(self, evidence: Evidence) -> None:
        self.evidence = evidence
        self.supports: list[tuple[int, ...]] = []
        self.pending: dict[int, list[int]] = {}
        self.filled = 0
        self._inserted = 0
        self._sizes: list[int] = []
        self._strides = np.zeros((64, 512))
        self._offsets = np.zeros(512, np.int64)
        self._lengths = np.zeros(512, np.int64)
        self._known = np.full(4096, -1, np.int32)
        self._witness = np.full(4096, -1, np.int32)
        self._used = 0

    def length(self, number: int) -> int:
        """Number of entries of a field's table."""
        return int(self._lengths[number])

    def table(self, number: int) -> Ints:
        """A field's value numbers by entry, -1 where unknown, flat; the last variable of its support runs fastest."""
        start = self._offsets[number]
        return self._known[start : start + self._lengths[number]]

    def dims(self, support: Sequence[int]) -> tuple[int, ...]:
        """Sizes of the variables of a support."""
        return tuple(self._sizes[variable] for variable in support)

    def entries(self, variables: Ints, number: int) -> Positions:
        """Table entry of each row of `variables` for one field, -1 where a variable was not reached."""
        support = list(self.supports[number])
        if not support:
            return np.zeros(len(variables), np.int64)
        chosen = variables[:, support].astype(np.int64)
        entry = chosen @ self._strides[support, number].astype(np.int64)
        return np.asarray(np.where((chosen < 0).any(1), -1, entry), np.int64)

    def look_up(self, variables: Ints, number: int) -> Ints:
        """Value number of one field for each row of `variables`, -1 where unknown."""
        entry = self.entries(variables, number)
        return np.where(entry < 0, np.int32(-1), self.table(number)[np.maximum(entry, 0)])

    def witness(self, number: int, run: int) -> int:
        """A run that filled the entry of `run` in the table of a field."""
        entry = self.entries(self.evidence.variables[run : run + 1], number)[0]
        return int(self._witness[self._offsets[number] + entry])

    def sync(self) -> None:
        """Take in new variables, options, fields and runs."""
        fields, sizes = len(self.evidence.observer.keys), self.evidence.sizes
        grown = {v for v, size in enumerate(sizes) if v >= len(self._sizes) or self._sizes[v] != size}
        self._sizes = sizes
        if len(sizes) > self._strides.shape[0] or fields > self._strides.shape[1]:
            strides = np.zeros((2 * max(len(sizes), 32), 2 * max(fields, 256)))
            strides[: self._strides.shape[0], : self._strides.shape[1]] = self._strides
            self._strides = strides
            self._offsets = np.resize(self._offsets, strides.shape[1])
            self._lengths = np.resize(self._lengths, strides.shape[1])
        new = range(len(self.supports), fields)
        self.supports.extend(() for _ in new)
        changed = {f for f, support in enumerate(self.supports) if not grown.isdisjoint(support)}
        self._lay_out(sorted(changed | set(new)))
        first, self._inserted = self._inserted, len(self.evidence.runs)
        if first < self._inserted:
            self._insert(first, slice(fields))

    def set_supports(self, changes: Mapping[int, Iterable[int]]) -> None:
        """Give fields other supports and fill their tables again from all runs."""
        for number, support in changes.items():
            self.supports[number] = tuple(sorted(support))
        self._lay_out(sorted(changes))

    def differ(self, first: int, second: int) -> Positions:
        """Fields that both runs show with unlike values although their table entry is the same."""
        values = self.evidence.values[[first, second]]
        unlike = np.flatnonzero((values[0] != values[1]) & (values >= 0).all(0))
        variables = self.evidence.variables[[first, second]].astype(float)
        strides = self._strides[: variables.shape[1], unlike]
        entry = variables @ strides
        return np.asarray(unlike[entry[0] == entry[1]], np.int64)

    def _lay_out(self, fields: Sequence[int]) -> None:
        if not fields:
            return
        for number in fields:
            support = self.supports[number]
            dims = self.dims(support)
            self._strides[:, number] = 0
            stride = 1
            for variable, size in zip(reversed(support), reversed(dims), strict=True):
                self._strides[variable, number] = stride
                stride *= size
            self._offsets[number], self._lengths[number] = self._used, stride
            self._used += stride
            self.pending.pop(number, None)
        if self._used > len(self._known):
            room = np.full(max(self._used, 2 * len(self._known)) - len(self._known), -1, np.int32)
            self._known = np.concatenate([self._known, room])
            self._witness = np.concatenate([self._witness, room])
        self._insert(0, np.array(fields), self._inserted)

    def _insert(self, first: int, fields: Positions | slice, last: int | None = None) -> None:
        variables, values = self.evidence.variables[first:last], self.evidence.values[first:last][:, fields]
        strides = self._strides[: variables.shape[1], fields]
        entry = (variables.astype(float) @ strides).astype(np.int64) + self._offsets[fields]
        seen = values >= 0
        if (variables < 0).any():
            seen &= ((variables < 0).astype(float) @ (strides > 0)) == 0
        entry = np.where(seen, entry, 0)
        new = seen & (self._known[entry] < 0)
        self._known[entry[new]] = values[new]
        self._witness[entry[new]] = np.broadcast_to(np.arange(first, first + len(values))[:, None], new.shape)[new]
        self.filled += int(new.sum())
        for run, place in np.argwhere(seen & (self._known[entry] != values)):
            number = int(place if isinstance(fields, slice) else fields[place])
            self.pending.setdefault(number, []).append(first + int(run))
