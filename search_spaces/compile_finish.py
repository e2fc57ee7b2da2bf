"""From what was learned to the tables of a compiled space: needless variables out, small columns resolved."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from search_spaces.builder import Value
from search_spaces.compile_fields import Ints
from search_spaces.compile_learn import Learner
from search_spaces.compile_lookup import DerivedColumn, Table, spread
from search_spaces.compile_observe import FieldKey
from search_spaces.operators import Layout, Operator

SMALL_COLUMN = 8


@dataclass(frozen=True)
class Learned:
    """All that was learned of a space, in final order of choices, options and columns.

    `fields` hold value numbers (positions in `values`), -1 where a combination was never reached; `conditions` give
    the field and value that decide whether a field exists. `layouts` are those met of what each (node, class) reads
    first.
    """

    slots: tuple[tuple[str, tuple[Value, ...]], ...]
    columns: tuple[DerivedColumn, ...]
    fields: Mapping[FieldKey, Table]
    conditions: Mapping[FieldKey, tuple[FieldKey, int]]
    values: tuple[object, ...]
    operators: Mapping[str, type[Operator]]
    layouts: Mapping[tuple[str, str], tuple[Layout, ...]]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables: choices, then columns."""
        return (*(name for name, _ in self.slots), *(column.name for column in self.columns))


def pruned(table: Table, first: Sequence[int] = ()) -> Table:
    """The table without variables on which no known entry depends; those of `first` are tried first."""
    variables, codes = list(table.variables), table.values
    for variable in sorted(table.variables, key=lambda v: (v not in first, v)):
        axis = variables.index(variable)
        top = codes.max(axis=axis, keepdims=True)
        if ((codes < 0) | (codes == top)).all():
            codes = top.squeeze(axis)
            variables.pop(axis)
    return Table(tuple(variables), codes)


def resolved(table: Table, column: int, codes: Table) -> Table:
    """The table with the variable `column` replaced by the variables of its own table of codes."""
    rest = tuple(v for v in table.variables if v != column)
    union = tuple(sorted({*rest, *codes.variables}))
    moved = np.moveaxis(table.values, table.variables.index(column), -1)
    # An unknown code reads the last place, which is set to unknown.
    padded = np.concatenate([moved, np.full((*moved.shape[:-1], 1), -1, moved.dtype)], axis=-1)
    wide = spread(Table(rest, padded), union)
    chosen = spread(codes, union)
    shape = np.broadcast_shapes(wide.shape[:-1], chosen.shape)
    taken = np.take_along_axis(
        np.broadcast_to(wide, (*shape, wide.shape[-1])), np.broadcast_to(chosen, shape)[..., None], axis=-1
    )
    return Table(union, taken[..., 0])


def finish(learner: Learner) -> Learned:
    """The tables of `learner` in their final form."""
    learner.tables.sync()
    order = _slot_order(learner)
    options = [_option_order(learner.observer.options[slot]) for slot in order]
    final = {learner.evidence.variable_of_slot[slot]: i for i, slot in enumerate(order)}
    columns = sorted(learner.evidence.columns, key=lambda v: (learner.evidence.columns[v].cut, v))
    final |= {variable: len(order) + i for i, variable in enumerate(columns)}
    tables = {
        number: _renamed(learner, number, final, dict(enumerate(options)))
        for number in range(len(learner.observer.keys))
    }
    derived = range(len(order), len(order) + len(columns))
    kept: dict[int, DerivedColumn] = {}
    replaced: dict[int, Table] = {}
    for variable in columns:
        column = learner.evidence.columns[variable]
        numbers = _settled(tables[column.field], derived, replaced)
        codes = Table(numbers.variables, _codes_of(numbers.values, column.numbers))
        if math.prod(codes.dims) <= max(SMALL_COLUMN, 2 * len(column.numbers)):
            replaced[final[variable]] = codes
        else:
            unknown = bool((codes.values < 0).any())
            coded = np.where(codes.values < 0, len(column.numbers), codes.values).astype(np.int32)
            size = len(column.numbers) + unknown
            kept[final[variable]] = DerivedColumn(learner.variable_name(variable), Table(codes.variables, coded), size)
    place = {variable: len(order) + i for i, variable in enumerate(kept)}
    sizes = [*(len(o) for o in options), *(column.size for column in kept.values())]
    keys = learner.observer.keys
    fields = {
        keys[number]: _placed(_settled(table, derived, replaced), place, sizes, -1)
        for number, table in tables.items()
        if not any(column.field == number for column in learner.evidence.columns.values())
    }
    conditions = {
        keys[number]: (keys[condition[0]], condition[1])
        for number, condition in enumerate(learner.observer.conditions)
        if condition is not None
    }
    slots = tuple(
        (learner.observer.slots[slot], tuple(learner.observer.options[slot][i] for i in chosen))
        for slot, chosen in zip(order, options, strict=True)
    )
    values = tuple(learner.observer.values.values)
    final_columns = tuple(
        DerivedColumn(c.name, _placed(c.table, place, sizes, c.size - 1), c.size) for c in kept.values()
    )
    observer = learner.observer
    return Learned(slots, final_columns, fields, conditions, values, dict(observer.operators), observer.layouts)


def _settled(table: Table, derived: Sequence[int], replaced: Mapping[int, Table]) -> Table:
    """Prune the table and resolve its small columns, latest first."""
    table = pruned(table, derived)
    while columns := [v for v in table.variables if v in replaced]:
        table = pruned(resolved(table, columns[-1], replaced[columns[-1]]))
    return table


def _codes_of(numbers: Ints, known: Sequence[int]) -> Ints:
    """Codes of value numbers, -1 where unknown."""
    order = np.argsort(known)
    found = np.asarray(known)[order]
    position = np.searchsorted(found, np.maximum(numbers, 0)).clip(max=len(known) - 1)
    return np.where(numbers < 0, -1, order[position]).astype(np.int32)


def _placed(table: Table, place: Mapping[int, int], sizes: Sequence[int], fill: int) -> Table:
    """The table with its columns in their final places, with room for their "unknown" codes, filled with `fill`."""
    variables = tuple(place.get(v, v) for v in table.variables)
    missing = [(0, sizes[v] - n) for v, n in zip(variables, table.dims, strict=True)]
    values = np.pad(table.values, missing, constant_values=fill) if any(n for _, n in missing) else table.values
    return Table(variables, values)


def _renamed(learner: Learner, number: int, final: Mapping[int, int], options: Mapping[int, list[int]]) -> Table:
    """A field's table over final variables, options in final order."""
    support = learner.tables.supports[number]
    values = learner.tables.table(number).reshape(learner.tables.dims(support)).copy()
    for axis, variable in enumerate(support):
        if final[variable] in options:
            values = values.take(options[final[variable]], axis=axis)
    names = [final[variable] for variable in support]
    order = np.argsort(names)
    return Table(tuple(sorted(names)), values.transpose(order))


def _slot_order(learner: Learner) -> list[int]:
    """Choices in the order in which the space asks for them; each new one after its predecessor."""
    order: list[str] = []
    for run in sorted(learner.evidence.runs, key=lambda run: -len(run.asked)):
        after = -1
        for name in run.asked:
            if name in order:
                after = order.index(name)
            else:
                after += 1
                order.insert(after, name)
    return [learner.observer.slot(name) for name in order]


def _option_order(options: Sequence[Value]) -> list[int]:
    """Positions of the options: numbers rising, anything else as first seen."""
    positions = list(range(len(options)))
    if all(isinstance(option, (int, float)) and not isinstance(option, bool) for option in options):
        positions.sort(key=lambda i: float(options[i]))
    return positions
