"""Architectures to run next: each row fills unknown entries in as many field tables at once as it can."""

import math
from dataclasses import dataclass, field

import numpy as np

from search_spaces.compile_fields import Ints, Mask, Positions
from search_spaces.compile_learn import Learner, entry_options

ENTRY_TRIES = 4
STATE_LIMIT = 1 << 15
REACHED_LIMIT = 1 << 13
AIMED_LIMIT = 1 << 14
REDRAWS = 10
Group = tuple[tuple[int, ...], tuple[int, int] | None]


@dataclass(slots=True)
class _Batch:
    """Rows under construction: `slots` [rows, choices], -1 free; `columns` [rows, variables], -1 unknown or open."""

    slots: Ints
    columns: Ints
    open: Mask
    dead: Mask
    aimed: list[tuple[Group, int, int]] = field(default_factory=list)


class Cover:
    """Proposes rows for a learner; what was aimed at in vain several times counts as out of reach."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.evidence, self.tables, self.rng = learner.evidence, learner.tables, learner.rng
        self._tries: dict[Group, Ints] = {}
        self._states: list[Ints] = []
        self._reached: dict[tuple[int, tuple[int, ...]], tuple[Positions, Ints]] = {}

    def extend(self, rows: Ints) -> Ints:
        """Variables [rows, variables] of complete rows [rows, choices]; columns come from their tables, -1 unknown."""
        extended = np.zeros((len(rows), len(self.evidence.slot_of_variable)), np.int32)
        extended[:, self.evidence.variable_of_slot] = rows
        for variable, column in self.evidence.columns.items():
            numbers = self.tables.look_up(extended, column.field)
            codes = np.full(len(self.learner.observer.values.values), -1, np.int32)
            codes[column.numbers] = np.arange(len(column.numbers))
            extended[:, variable] = np.where(numbers < 0, -1, codes[numbers])
        return extended

    def refused(self, extended: Ints) -> Mask:
        """Rows that a requirement is known to refuse."""
        refused = np.zeros(len(extended), bool)
        no = self.learner.observer.values.number(False)
        for number, key in enumerate(self.learner.observer.keys):
            if key.part == "verdict" and not key.operator:
                refused |= self.tables.look_up(extended, number) == no
        return refused

    def random_rows(self, count: int) -> Ints:
        """Fresh rows: uniform ones, mixtures of first and last options, and rows through rare states of each cut."""
        sizes = np.array([len(options) for options in self.learner.observer.options])

        def draw(n: int) -> Ints:
            rows = (self.rng.random((n, len(sizes))) * sizes).astype(np.int32)
            kind = self.rng.integers(0, 4, n)
            ends = np.where(self.rng.random(rows.shape) < self.rng.random((n, 1)), 0, sizes - 1)
            rows = np.where((kind == 0)[:, None], ends, rows)
            for cut, states in enumerate(self._states):
                through = np.flatnonzero((kind == 1) & (self.rng.integers(0, len(self._states), n) == cut))
                if len(states) and len(through):
                    before = self._before(cut)
                    chosen = states[self.rng.integers(0, len(states), len(through))]
                    rows[np.ix_(through, before)] = chosen[:, before]
            return rows.astype(np.int32)

        rows = draw(count)
        for _ in range(REDRAWS):
            refused = np.flatnonzero(self.refused(self.extend(rows)))
            if not len(refused):
                break
            rows[refused] = draw(len(refused))
        return rows

    def find_states(self) -> None:
        """Per cut, rows that reach every combination of its columns that the tables know."""
        if not self.learner.cuts:
            return
        self._states = []
        self._reached.clear()
        sizes = np.array([len(options) for options in self.learner.observer.options])
        rows = self._random_slots(1)
        for cut in range(len(self.learner.cuts)):
            columns = self.evidence.column_at(cut)
            needed = {v for c in columns for v in self.tables.supports[self.evidence.columns[c].field]}
            slots = sorted(s for v in needed if (s := self.evidence.slot_of_variable[v]) >= 0)
            combinations = math.prod(int(sizes[s]) for s in slots)
            total = len(rows) * combinations
            picked = np.arange(total) if total <= STATE_LIMIT else self.rng.integers(0, total, STATE_LIMIT)
            grown = rows[picked // combinations]
            if slots:
                grown[:, slots] = np.stack(
                    np.unravel_index(picked % combinations, tuple(int(sizes[s]) for s in slots)), axis=1
                )
            reached = self.extend(grown)[:, columns]
            _, first = np.unique(reached, axis=0, return_index=True)
            first = first[(reached[first] >= 0).all(1)]
            rows = grown[first] if len(first) else rows
            late = sorted(set(range(len(sizes))) - self.learner.before[cut])
            rows[:, late] = self._random_slots(len(rows))[:, late]
            self._states.append(rows)

    def propose(self, count: int) -> tuple[Ints, list[tuple[Group, int, int]]]:
        """Up to `count` rows and what they aim at (group, entry, row); no rows when nothing in reach is unknown."""
        self.find_states()
        groups = self._groups()
        slots = np.full((count, len(self.learner.observer.slots)), -1, np.int32)
        columns = np.full((count, len(self.evidence.slot_of_variable)), -1, np.int32)
        batch = _Batch(slots, columns, np.ones(count, bool), np.zeros(count, bool))
        by_cut: dict[int, list[tuple[Group, tuple[int, ...], Positions]]] = {}
        for group, fields in groups.items():
            variables, entries = self._needed(group, fields)
            if len(entries):
                cuts = [self.evidence.columns[v].cut for v in variables if v in self.evidence.columns]
                by_cut.setdefault(max(cuts, default=-1), []).append((group, variables, entries))
        for cut in range(-1, len(self.learner.cuts)):
            if cut >= 0 and cut in by_cut:
                self._close(batch, cut)
            for group, variables, entries in sorted(by_cut.get(cut, []), key=lambda item: -len(item[2])):
                self._aim(batch, cut, group, variables, entries)
        if not batch.aimed:
            return slots[:0], []
        used = np.zeros(count, bool)
        used[[row for _, _, row in batch.aimed]] = True
        rows = self._fill(batch.slots[used])
        renumbered = np.cumsum(used) - 1
        return rows, [(group, entry, int(renumbered[row])) for group, entry, row in batch.aimed]

    def report(self, aimed: list[tuple[Group, int, int]]) -> None:
        """Count the attempts at entries that were aimed at and are still unknown."""
        groups = self._groups()
        for group, entry, _ in aimed:
            fields = groups.get(group, [])
            if any(self.tables.table(f)[entry] < 0 for f in fields if entry < self.tables.length(f)):
                length = self.tables.length(fields[0])
                tries = self._tries.get(group)
                if tries is None or len(tries) != length:
                    tries = self._tries[group] = np.zeros(length, np.int32)
                tries[entry] += 1

    def _before(self, cut: int) -> Positions:
        """The choices asked for before a cut."""
        return np.array(sorted(self.learner.before[cut]), np.int64)

    def _random_slots(self, count: int) -> Ints:
        sizes = np.array([len(options) for options in self.learner.observer.options])
        return np.asarray(self.rng.random((count, len(sizes))) * sizes, np.int32)

    def _groups(self) -> dict[Group, list[int]]:
        """Fields with the same support and the same condition."""
        groups: dict[Group, list[int]] = {}
        for number, support in enumerate(self.tables.supports):
            groups.setdefault((support, self.learner.observer.conditions[number]), []).append(number)
        return groups

    def _needed(self, group: Group, fields: list[int]) -> tuple[tuple[int, ...], Positions]:
        """Variables of the group and its condition, and the flat entries over them that are worth a run."""
        support, condition = group
        length = self.tables.length(fields[0])
        unknown = np.zeros(length, bool)
        for number in fields:
            unknown |= self.tables.table(number) < 0
        tries = self._tries.get(group)
        if tries is not None and len(tries) == length:
            unknown &= tries < ENTRY_TRIES
        if not unknown.any():
            return support, np.zeros(0, np.int64)
        variables, wanted = support, unknown.reshape(self.tables.dims(support))
        while condition is not None:
            number, value = condition
            present = self.tables.table(number).reshape(self.tables.dims(self.tables.supports[number])) == value
            union = tuple(sorted({*variables, *self.tables.supports[number]}))
            wanted = aligned(wanted, variables, union) & aligned(present, self.tables.supports[number], union)
            variables = union
            condition = self.learner.observer.conditions[number]
        full = np.broadcast_to(wanted, self.tables.dims(variables))
        return variables, np.flatnonzero(full)

    def _aim(self, batch: _Batch, cut: int, group: Group, variables: tuple[int, ...], entries: Positions) -> None:
        """Give rows that are free for it an unknown entry of the group each."""
        slots = np.array([self.evidence.slot_of_variable[v] for v in variables], np.int64)
        raw, derived = np.flatnonzero(slots >= 0), np.flatnonzero(slots < 0)
        entries = entries[self.rng.permutation(len(entries))[:AIMED_LIMIT]]
        options = entry_options(entries, self.tables.dims(variables))
        inner = self._inner_entries(options, variables, group[0])
        states = np.zeros((len(options), 0), np.int32)
        if len(derived):
            early = [i for i in range(len(slots)) if slots[i] < 0 or slots[i] in self.learner.before[cut]]
            within, states = self._reach(cut, tuple(variables[i] for i in early), options[:, early])
            options, inner = options[within], inner[within]
        fixed = np.empty((len(batch.slots), len(variables)), np.int32)
        fixed[:, raw] = batch.slots[:, slots[raw]]
        fixed[:, derived] = batch.columns[:, [variables[i] for i in derived]]
        free = ~batch.dead if len(derived) else np.ones(len(batch.slots), bool)
        before = self._before(cut) if len(derived) else slots[:0]
        aimed: set[int] = set()
        for i, entry in enumerate(inner[: 4 * len(free)].tolist()):
            if entry in aimed:
                continue
            fits = free & ((fixed < 0) | (fixed == options[i])).all(1)
            row = int(np.argmax(fits))
            if not fits[row]:
                continue
            if len(derived) and batch.open[row]:
                batch.slots[row, before] = states[i][before]
                batch.open[row] = False
            batch.slots[row, slots[raw]] = options[i][raw]
            free[row] = False
            aimed.add(entry)
            batch.aimed.append((group, entry, row))

    def _inner_entries(self, options: Ints, variables: tuple[int, ...], support: tuple[int, ...]) -> Positions:
        """Flat entries over `support` of option rows over `variables`."""
        entry = np.zeros(len(options), np.int64)
        for variable, size in zip(support, self.tables.dims(support), strict=True):
            entry = entry * size + options[:, variables.index(variable)]
        return entry

    def _reach(self, cut: int, variables: tuple[int, ...], options: Ints) -> tuple[Positions, Ints]:
        """Which combinations of columns of the cut and earlier choices can be reached, and a row for each of those."""
        sizes = self.tables.dims(variables)
        known = self._reached.get((cut, variables))
        if known is None:
            rows = self._varied(cut, [s for v in variables if (s := self.evidence.slot_of_variable[v]) >= 0])
            found = self.extend(rows)[:, variables]
            reached = np.flatnonzero((found >= 0).all(1))
            codes, first = np.unique(np.ravel_multi_index(tuple(found[reached].T), sizes), return_index=True)
            known = self._reached[cut, variables] = codes, rows[reached[first]]
        codes, rows = known
        if not len(codes):
            return np.zeros(0, np.int64), rows
        wanted = np.ravel_multi_index(tuple(options.T), sizes)
        place = np.searchsorted(codes, wanted).clip(max=len(codes) - 1)
        within = np.flatnonzero(codes[place] == wanted)
        return within, rows[place[within]]

    def _varied(self, cut: int, early: list[int]) -> Ints:
        """Rows through the states of a cut with all options of the `early` choices (some, where they are many)."""
        sizes = tuple(len(self.learner.observer.options[slot]) for slot in early)
        states, combinations = self._states[cut], math.prod(sizes)
        total = len(states) * combinations
        picked = np.arange(total) if total <= REACHED_LIMIT else self.rng.integers(0, total, REACHED_LIMIT)
        rows = states[picked // combinations]
        if early:
            rows[:, early] = np.stack(np.unravel_index(picked % combinations, sizes), axis=1)
        return rows

    def _close(self, batch: _Batch, cut: int) -> None:
        """Complete what lies before the cut in rows that have begun it, and look up their columns."""
        before = self._before(cut)
        begun = (batch.slots[:, before] >= 0).any(1)
        batch.open = np.logical_not(begun)
        chosen = np.flatnonzero(begun)
        if not len(chosen):
            return
        part = batch.slots[np.ix_(chosen, before)]
        random = self._random_slots(len(chosen))[:, before]
        batch.slots[np.ix_(chosen, before)] = np.where(part < 0, random, part)
        extended = self.extend(np.maximum(batch.slots[chosen], 0))
        columns = np.array(self.evidence.column_at(cut), np.int64)
        batch.columns[np.ix_(chosen, columns)] = extended[:, columns]
        batch.dead[chosen] = (extended[:, columns] < 0).any(1)

    def _fill(self, slots: Ints) -> Ints:
        """Draw what is still free, avoiding refusals where possible."""
        rows = np.where(slots < 0, self._random_slots(len(slots)), slots)
        for _ in range(REDRAWS):
            refused = np.flatnonzero(self.refused(self.extend(rows)))
            if not len(refused):
                break
            part = slots[refused]
            rows[refused] = np.where(part < 0, self._random_slots(len(part)), part)
        return rows


def aligned(array: Mask, variables: tuple[int, ...], union: tuple[int, ...]) -> Mask:
    """`array` over `variables` with axes of size one for the other variables of `union`."""
    sizes = dict(zip(variables, array.shape, strict=True))
    return array.reshape(tuple(sizes.get(variable, 1) for variable in union))
