"""Which choices each field depends on: learned by flipping single picks, checked on fresh architectures, mended.

Where stages may be empty, what a block sees depends on all choices before it. Such a run is cut at choices that are
always asked for: fields behind a cut depend on the last tensor built before it (its columns) and on later choices.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np

from search_spaces.builder import Value
from search_spaces.compile_fields import Evidence, FieldTables, Ints, Positions
from search_spaces.compile_observe import COLUMNS, Observer, Run, RunObserver
from search_spaces.errors import SpaceError
from search_spaces.space import Choose, SearchSpace

FIELD_ENTRIES = 1 << 15
DISCOVERY_RUNS = 40
ENUMERATED_RUNS = 1000
FLIP_BASES = 3
LARGE_TABLE = 100

Pair = tuple[int, int, int]


class Learner:
    """Runs a space until every field is a table over the few variables it depends on."""

    def __init__(self, space: SearchSpace, observers: Sequence[Observer], rng: np.random.Generator) -> None:
        self.space = space
        self.rng = rng
        self.observer = RunObserver(space, observers)
        self.evidence = Evidence(self.observer)
        self.tables = FieldTables(self.evidence)
        self.cuts: list[str] = []
        self.before: list[set[int]] = []
        self.enumerated: int | None = None
        self._cut_of_place: dict[str, int] = {}
        self._cut_of_field: list[int] = []
        self._left_out: set[tuple[int, int]] = set()
        self._mended = 0

    def observe(self, rows: Sequence[Sequence[int]]) -> list[int]:
        """Run the architectures `rows` (option positions per choice); return the numbers of the runs."""
        numbers = []
        for row in rows:
            run = self.observer.run(self.observer.row_choose(row))
            numbers.append(self.evidence.add(run, row))
            self._place(run)
        self.tables.sync()
        self._field_cuts()
        return numbers

    def discover(self) -> None:
        """Meet choices and options on extreme and random picks; all architectures where they are few."""
        policies: list[Choose] = [lambda _n, options: options[-1], lambda _n, options: options[0]]
        policies += [self._random] * DISCOVERY_RUNS
        runs = [self.observer.run(choose) for choose in policies]
        if all(run.refused is not None for run in runs):
            values = self.space.sample(self.rng).values
            runs.append(self.observer.run(lambda name, _options: values[name]))
        most = max(math.prod(len(self._offered(run, i)) for i in range(len(run.asked))) for run in runs)
        if most <= ENUMERATED_RUNS:
            every = list(self._every(ENUMERATED_RUNS))
            if len(every) <= ENUMERATED_RUNS:
                runs += every
                self.enumerated = sum(run.refused is None for run in every)
        for run in runs:
            self.evidence.add(run, None)
        self._find_cuts()
        for run in runs:
            self._place(run)
        self.tables.sync()
        self._field_cuts()

    def flip(self) -> None:
        """Flip single picks over several base architectures and note which fields changed."""
        complete = [i for i, run in enumerate(self.evidence.runs) if run.refused is None]
        asked = [len(self.evidence.runs[i].asked) for i in complete]
        longest = [complete[i] for i in np.argsort(asked, kind="stable")[::-1]]
        bases = list(dict.fromkeys([*longest[:1], *complete[:2], *longest[1:]]))[:FLIP_BASES]
        pairs: list[Pair] = []
        for base in bases:
            row = self.evidence.row(base)
            flipped: list[list[int]] = []
            slots: list[int] = []
            for name in self.evidence.runs[base].asked:
                slot = self.observer.slot(name)
                others = [i for i in range(len(self.observer.options[slot])) if i != row[slot]]
                if others:
                    flipped.append([*row[:slot], int(self.rng.choice(others)), *row[slot + 1 :]])
                    slots.append(slot)
            pairs += [(base, new, slot) for new, slot in zip(self.observe(flipped), slots, strict=True)]
        self.attribute(pairs)

    def attribute(self, pairs: Sequence[Pair]) -> None:
        """Extend the supports of fields that tell apart two runs which differ in one choice (or in columns only)."""
        unclear = []
        found: dict[int, set[int]] = {}
        for first, second, slot in pairs:
            for number, variables in self._suspects(first, second, slot):
                if len(variables) == 1:
                    found.setdefault(number, set()).update(variables)
                else:
                    unclear.append((first, second, slot))
        self._extend(found)
        for first, second, slot in unclear:
            self._extend({f: {variables[0]} for f, variables in self._suspects(first, second, slot)})

    def mend(self) -> None:
        """Find the variable behind each value that a table cannot explain, until none is left."""
        while self.tables.pending:
            self._mended += 1
            if self._mended > 200 + 20 * len(self.observer.slots):
                raise self.unsettled(next(iter(self.tables.pending)))
            number = min(self.tables.pending)
            conflicts = self.tables.pending[number]
            run = conflicts[int(self.rng.integers(len(conflicts)))]
            self._bisect(number, self.tables.witness(number, run), run)

    def simplify(self) -> None:
        """Leave variables out of large tables where most of what is known shows no dependence on them.

        What was left out wrongly comes back by `mend`, and is then kept.
        """
        changes: dict[int, tuple[int, ...]] = {}
        for number, support in enumerate(self.tables.supports):
            if self.tables.length(number) < LARGE_TABLE:
                continue
            values = self.tables.table(number).reshape(self.tables.dims(support))
            variables = list(support)
            for variable in sorted(support, key=lambda v: (v not in self.evidence.columns, v)):
                axis = variables.index(variable)
                top = values.max(axis=axis, keepdims=True)
                known = (values >= 0).sum(axis=axis)
                agrees = ((values < 0) | (values == top)).all()
                if (number, variable) not in self._left_out and agrees and 2 * (known > 1).sum() > (known > 0).sum():
                    self._left_out.add((number, variable))
                    variables.pop(axis)
                    values = top.squeeze(axis)
            if len(variables) < len(support):
                changes[number] = tuple(variables)
        self.tables.set_supports(changes)

    def unsettled(self, number: int) -> SpaceError:
        """The error for a field that no choice explains."""
        return SpaceError(
            f"space {self.space.name!r}: {self.observer.keys[number]} takes different values for the same picks, or "
            "depends on them in too many ways; the space function may depend on nothing but its picks"
        )

    def _bisect(self, number: int, known: int, run: int) -> None:
        """Narrow the picks in which two runs differ to the one that changes the field."""
        rows = [self.evidence.row(known), self.evidence.row(run)]
        support = self.tables.supports[number]
        variable = self.evidence.variable_of_slot
        unlike = [s for s in range(len(variable)) if rows[0][s] != rows[1][s] and variable[s] not in support]
        if not unlike:
            raise self.unsettled(number)
        first = [slot for slot in unlike if slot in self._shielded(number)]
        last = [slot for slot in unlike if slot not in first]
        middle = self._hybrid(rows[0], rows[1], first) if first and last else (run if first else known)
        value = self.evidence.values[middle, number]
        if value < 0 or self._moved(number, known, middle):
            self._search(number, known, run, unlike)
        elif value == self.evidence.values[known, number]:
            self._search(number, middle, run, last)
        else:
            self._search(number, known, middle, first)

    def _moved(self, number: int, first: int, second: int) -> bool:
        """Whether columns in the field's support differ between two runs."""
        columns = [v for v in self.tables.supports[number] if v in self.evidence.columns]
        variables = self.evidence.variables
        return bool((variables[first, columns] != variables[second, columns]).any())

    def _search(self, number: int, low: int, high: int, slots: list[int]) -> None:
        """Leave as few of `slots` as possible in which the runs `low` and `high` differ, then note what is left.

        The field differs between them, the columns in its support do not. Runs in between that break this tell
        nothing; smaller and smaller parts of `slots` are then tried.
        """
        parts = 2
        while len(slots) > 1:
            for chunk in _chunks(slots, parts):
                new = self._hybrid(self.evidence.row(low), self.evidence.row(high), chunk)
                value = self.evidence.values[new, number]
                if value < 0 or self._moved(number, low, new):
                    continue
                if value == self.evidence.values[low, number]:
                    low, slots = new, [slot for slot in slots if slot not in chunk]
                else:
                    high, slots = new, chunk
                parts = 2
                break
            else:
                if parts >= len(slots):
                    self._take(number, low, high, slots)
                    return
                parts = min(2 * parts, len(slots))
        self.attribute([(low, high, slots[0])])

    def _take(self, number: int, low: int, high: int, slots: list[int]) -> None:
        """Take a column that tells the runs apart, else all choices in which they differ."""
        variables = self.evidence.variables
        support = set(self.tables.supports[number])
        columns = [
            column
            for column in self.evidence.column_at(self._cut_of_field[number])
            if variables[low, column] != variables[high, column] and column not in support
        ]
        extra = columns[:1] or [self.evidence.variable_of_slot[slot] for slot in slots]
        self._extend({number: set(extra)})

    def _hybrid(self, low: Sequence[int], high: Sequence[int], slots: Sequence[int]) -> int:
        row = list(low)
        for slot in slots:
            row[slot] = high[slot]
        return self.observe([row])[0]

    def _shielded(self, number: int) -> set[int]:
        """Choices to move first so that the field stays there: before its cut, and those its presence depends on."""
        cut = self._cut_of_field[number]
        slots = set(self.before[cut]) if cut >= 0 else set()
        condition = self.observer.conditions[number]
        while condition is not None:
            slots |= {self.evidence.slot_of_variable[v] for v in self.tables.supports[condition[0]]}
            condition = self.observer.conditions[condition[0]]
        return slots

    def _suspects(self, first: int, second: int, slot: int) -> Iterator[tuple[int, list[int]]]:
        """Fields whose change between two runs is unexplained, each with the variables that may explain it."""
        variables = self.evidence.variables
        moved: dict[int, list[int]] = {}
        for variable, column in self.evidence.columns.items():
            if variables[first, variable] != variables[second, variable]:
                moved.setdefault(column.cut, []).append(variable)
        for number in self.tables.differ(first, second):
            support = self.tables.supports[number]
            columns = [v for v in moved.get(self._cut_of_field[number], []) if v not in support]
            yield int(number), columns or [self.evidence.variable_of_slot[slot]]

    def _extend(self, found: Mapping[int, set[int]]) -> None:
        changes = {f: set(self.tables.supports[f]) | extra for f, extra in found.items()}
        for number, support in changes.items():
            entries = math.prod(self.tables.dims(tuple(support)))
            if entries > FIELD_ENTRIES:
                names = [self.variable_name(v) for v in sorted(support)]
                raise SpaceError(
                    f"space {self.space.name!r}: {self.observer.keys[number]} depends on {len(names)} choices in "
                    f"{entries} ways (at most {FIELD_ENTRIES} can be tabulated): {', '.join(names)}. Offer fewer "
                    "options, or let it depend on fewer of them"
                )
        self.tables.set_supports(changes)

    def variable_name(self, variable: int) -> str:
        """Name of a choice, or what a column stands for."""
        slot = self.evidence.slot_of_variable[variable]
        if slot >= 0:
            return self.observer.slots[slot]
        column = self.evidence.columns[variable]
        return f"{column.part} before {column.slot}"

    def _random(self, _name: str, options: tuple[Value, ...]) -> Value:
        return options[int(self.rng.integers(len(options)))]

    def _offered(self, run: Run, position: int) -> tuple[Value, ...]:
        options = self.observer.values.values[run.offered[position]]
        assert isinstance(options, tuple)
        return options

    def _every(self, limit: int) -> Iterator[Run]:
        """All combinations of picks in order, at most `limit` + 1."""
        prefix: list[int] = []
        for _ in range(limit + 1):
            taken: list[tuple[int, int]] = []

            def choose(
                _name: str,
                options: tuple[Value, ...],
                taken: list[tuple[int, int]] = taken,
                prefix: list[int] = prefix,
            ) -> Value:
                position = prefix[len(taken)] if len(taken) < len(prefix) else 0
                taken.append((position, len(options)))
                return options[position]

            yield self.observer.run(choose)
            while taken and taken[-1][0] + 1 == taken[-1][1]:
                taken.pop()
            if not taken:
                return
            prefix = [position for position, _ in taken]
            prefix[-1] += 1

    def _find_cuts(self) -> None:
        """Cut where a choice is always asked for and something was built since the cut before."""
        complete = [run for run in self.evidence.runs if run.refused is None]
        always = [name for name in complete[0].asked if all(name in run.asked for run in complete)]
        built = {name: [run.built[run.asked.index(name)] for run in complete] for name in always}
        previous = [0] * len(complete)
        for name in always:
            now = built[name]
            if all(a <= b for a, b in zip(previous, now, strict=True)) and now != previous:
                self.evidence.add_cut(len(self.cuts), name)
                self.cuts.append(name)
                self.before.append(set())
                previous = now

    def _place(self, run: Run) -> None:
        """Note which choices come before each cut, and the last cut before each place."""
        for cut, name in enumerate(self.cuts):
            if name in run.asked:
                self.before[cut].update(map(self.observer.slot, run.asked[: run.asked.index(name)]))
        if len(self._cut_of_field) and all(place in self._cut_of_place for place in run.places):
            return
        marks = [run.built[run.asked.index(name)] if name in run.asked else None for name in self.cuts]
        reached = marks[: marks.index(None)] if None in marks else marks
        asked = dict(zip(run.asked, run.built, strict=True))
        for place, after in [*asked.items(), *run.places.items()]:
            cut = sum(mark <= after for mark in reached if mark is not None) - 1
            self._cut_of_place[place] = min(cut, self._cut_of_place.get(place, cut))

    def _field_cuts(self) -> None:
        for number in range(len(self._cut_of_field), len(self.observer.keys)):
            key = self.observer.keys[number]
            own = self.cuts.index(key.place) if key.part in COLUMNS and not key.operator else None
            self._cut_of_field.append(self._cut_of_place[key.place] if own is None else own - 1)


def _chunks(slots: list[int], parts: int) -> Iterator[list[int]]:
    """`slots` in `parts` pieces, and, of more than two, what each leaves."""
    edges = [round(i * len(slots) / parts) for i in range(parts + 1)]
    pieces = [slots[start:stop] for start, stop in pairwise(edges)]
    yield from pieces
    if parts > 2:
        yield from ([slot for slot in slots if slot not in piece] for piece in pieces)


def entry_options(entries: Positions, dims: tuple[int, ...]) -> Ints:
    """Options per variable `[entries, variables]` of flat table entries."""
    if not dims:
        return np.zeros((len(entries), 0), np.int32)
    return np.stack(np.unravel_index(entries, dims), axis=1).astype(np.int32)
