"""The choices of a compiled space as tables: what is offered when, repair, sampling, and how many there are."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from search_spaces.builder import Value
from search_spaces.compile_eliminate import count
from search_spaces.compile_finish import Learned, pruned
from search_spaces.compile_lookup import Lookup, Numbers, Rows, Table, extended, joined_variables, spread
from search_spaces.compile_observe import NOTHING, FieldKey
from search_spaces.space import _key, nearest_option

Mask = npt.NDArray[np.bool_]
REFUSED_CANDIDATES = 20_000


@dataclass(frozen=True)
class Offer:
    """When a choice offers which options: `number` is 0 where it is not asked for, else a row of `allowed` plus 1.

    `allowed[k, option]` tells whether the k-th set of options has the option.
    """

    number: Table
    allowed: Mask


def offers(learned: Learned) -> Iterator[Offer]:
    """What each choice offers, in the order of the choices."""
    yes = next(i for i, value in enumerate(learned.values) if value is True)
    for name, options in learned.slots:
        active = learned.fields[FieldKey(name, "active")]
        offered = learned.fields[FieldKey(name, "offered")]
        union = joined_variables([active, offered])
        numbers = np.where(spread(active, union) == yes, np.maximum(spread(offered, union), NOTHING), NOTHING)
        found, local = np.unique(numbers, return_inverse=True)
        sets = [learned.values[n] for n in found if n != NOTHING]
        allowed = np.zeros((len(sets), len(options)), bool)
        keys = [_key(option) for option in options]
        for k, values in enumerate(sets):
            assert isinstance(values, tuple)
            allowed[k, [keys.index(_key(value)) for value in values]] = True
        shift = 0 if len(sets) < len(found) else 1
        yield Offer(pruned(Table(union, (local.reshape(numbers.shape) + shift).astype(np.int32))), allowed)


def _nearest(options: Sequence[Value], allowed: Mask) -> Numbers:
    """For each option, the position of the nearest allowed one."""
    legal = [option for option, ok in zip(options, allowed, strict=True) if ok]
    keys = [_key(option) for option in options]
    return np.array([keys.index(_key(nearest_option(option, legal))) for option in options], np.int32)


class Choices:
    """Repair, sampling and counting over the slots of a compiled space."""

    def __init__(self, learned: Learned) -> None:
        self.learned = learned
        self.n_slots = len(learned.slots)
        self.sizes = [len(options) for _, options in learned.slots]
        self.offers = list(offers(learned))
        self._repaired: list[tuple[int, npt.NDArray[np.int16]]] = []
        tables = []
        for slot, offer in enumerate(self.offers):
            table = pruned(self._repair_table(slot, offer))
            if table.variables == (slot,) and (table.values == np.arange(self.sizes[slot])).all():
                continue
            self._repaired.append((slot, table.flat.astype(np.int16)))
            tables.append(table)
        self._repair = Lookup(self.n_slots, learned.columns, tables)
        verdicts = [
            Table(table.variables, learned_false(learned, table.values))
            for key, table in learned.fields.items()
            if key.part == "verdict" and not key.operator
        ]
        self.requirements = [table for table in verdicts if table.values.any()]
        self._refusals = Lookup(self.n_slots, learned.columns, self.requirements)

    def canonical(self, rows: Rows) -> Rows:
        """Rows with inactive slots at 0 and unavailable options at the nearest offered one."""
        fixed = rows.astype(np.int16)
        for part, entries in self._repair.entries(rows):
            for (slot, table), entry in zip(self._repaired, entries, strict=True):
                fixed[part, slot] = table[entry]
        return fixed

    def active(self, rows: Rows) -> Mask:
        """[n, n_slots] which choices are asked for."""
        variables = extended(rows, self.learned.columns)
        asked = np.zeros((len(rows), self.n_slots), bool)
        for slot, offer in enumerate(self.offers):
            number = offer.number
            asked[:, slot] = number.values[tuple(variables[:, v] for v in number.variables)] > 0
        return asked

    def refused(self, rows: Rows) -> Mask:
        """Which rows a requirement refuses."""
        refused = np.zeros(len(rows), bool)
        for part, entries in self._refusals.entries(rows) if self.requirements else ():
            for table, entry in zip(self.requirements, entries, strict=True):
                refused[part] |= table.flat[entry]
        return refused

    def accepted(self, row: Rows, others: Rows) -> Rows:
        """The first valid row among those that change one, then two of the picks that requirements depend on.

        Options next to the present ones come first. Where none is valid, the one of `others` with the fewest changes.
        """
        slots = sorted(self._raw({v for table in self.requirements for v in table.variables}))
        changes = [
            (slot, option)
            for slot in slots
            for option in sorted(range(self.sizes[slot]), key=lambda o, slot=slot: abs(o - int(row[slot])))  # type: ignore[misc]
            if option != row[slot]
        ]
        singles = np.repeat(row[None], len(changes), axis=0)
        for i, (slot, option) in enumerate(changes):
            singles[i, slot] = option
        pairs = [(a, b) for a in range(len(changes)) for b in range(a) if changes[a][0] != changes[b][0]]
        for number in (1, 2):
            if number == 2:
                chosen = np.array(pairs[:REFUSED_CANDIDATES], np.int64).reshape(-1, 2)
                singles = np.where(singles[chosen[:, 1]] != row, singles[chosen[:, 1]], singles[chosen[:, 0]])
            candidates = self.canonical(singles)
            valid = np.flatnonzero(~self.refused(candidates))
            if len(valid):
                return np.asarray(candidates[valid[0]])
        return np.asarray(others[np.argmin((others != row).sum(1))])

    def draw(self, rng: np.random.Generator, n: int) -> Rows:
        """Rows in which every active choice is uniform over what it offers; requirements are not looked at."""
        rows = np.zeros((n, self.n_slots), np.int16)
        values: dict[int, npt.NDArray[np.int64]] = {}
        random = rng.random((n, self.n_slots))
        for slot in self._draw_order():
            offer = self.offers[slot]
            number = self._entry_values(offer.number, rows, values)
            counts = np.concatenate([[0], offer.allowed.sum(1)])
            order = np.argsort(~offer.allowed, axis=1, kind="stable")
            order = np.concatenate([np.zeros((1, self.sizes[slot]), np.int64), order])
            rows[:, slot] = order[number, (random[:, slot] * counts[number]).astype(np.int64)]
        return rows

    def indicators(self) -> list[Table]:
        """Tables over slots and columns whose product is 1 for canonical valid rows and 0 for all others."""
        tables = [Table(t.variables, np.logical_not(t.values).astype(np.int64)) for t in self.requirements]
        tables += [self._indicator(slot, offer) for slot, offer in enumerate(self.offers)]
        for c, column in enumerate(self.learned.columns):
            codes = column.table.values[..., None] == np.arange(column.size)
            tables.append(Table((*column.table.variables, self.n_slots + c), codes.astype(np.int64)))
        return tables

    def size(self) -> int:
        """Number of valid combinations of picks."""
        return count(self.indicators(), [*self.sizes, *(column.size for column in self.learned.columns)])

    def _indicator(self, slot: int, offer: Offer) -> Table:
        """1 where the slot's option is canonical: offered, or the first one of a choice not asked for."""
        inactive = np.arange(self.sizes[slot]) == 0
        legal = np.concatenate([inactive[None], offer.allowed])
        return _with_own_axis(offer.number, slot, legal.astype(np.int64))

    def _repair_table(self, slot: int, offer: Offer) -> Table:
        options = self.learned.slots[slot][1]
        nearest = [np.zeros(len(options), np.int32)] + [_nearest(options, allowed) for allowed in offer.allowed]
        return _with_own_axis(offer.number, slot, np.stack(nearest))

    def _raw(self, variables: set[int]) -> set[int]:
        """Slots that the variables are, or are computed from."""
        slots: set[int] = set()
        pending = list(variables)
        while pending:
            variable = pending.pop()
            if variable < self.n_slots:
                slots.add(variable)
            else:
                pending += self.learned.columns[variable - self.n_slots].table.variables
        return slots

    def _draw_order(self) -> list[int]:
        """Slots so that what a choice offers depends on earlier ones only (as far as possible)."""
        needs = [self._raw(set(offer.number.variables)) for offer in self.offers]
        order: list[int] = []
        waiting = list(range(self.n_slots))
        while waiting:
            ready = next((slot for slot in waiting if needs[slot] <= set(order)), waiting[0])
            order.append(ready)
            waiting.remove(ready)
        return order

    def _entry_values(self, table: Table, rows: Rows, known: dict[int, npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        """Values of a table for rows whose needed slots are drawn; columns are kept in `known`."""
        entry = np.zeros(len(rows), np.int64)
        for variable, size in zip(table.variables, table.dims, strict=True):
            if variable < self.n_slots:
                code = rows[:, variable].astype(np.int64)
            else:
                if variable not in known:
                    column = self.learned.columns[variable - self.n_slots]
                    known[variable] = self._entry_values(column.table, rows, known)
                code = known[variable]
            entry = entry * size + code
        return np.asarray(table.flat[entry].astype(np.int64))


def learned_false(learned: Learned, numbers: Numbers) -> Mask:
    """Where value numbers stand for `False`."""
    no = next((i for i, value in enumerate(learned.values) if value is False), -2)
    return np.asarray(numbers == no)


def _with_own_axis(table: Table, slot: int, by_number: npt.NDArray[np.int64 | np.int32]) -> Table:
    """`by_number[number, option]` over the variables of `table` and the slot itself."""
    values = by_number[table.values]
    if slot in table.variables:
        axis = table.variables.index(slot)
        index = np.arange(values.shape[-1]).reshape([-1 if i == axis else 1 for i in range(values.ndim - 1)])
        return Table(table.variables, np.take_along_axis(values, index[..., None], axis=-1)[..., 0])
    position = sum(v < slot for v in table.variables)
    variables = (*table.variables[:position], slot, *table.variables[position:])
    return Table(variables, np.moveaxis(values, -1, position))
