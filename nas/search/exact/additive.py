"""The best architecture of a compiled space for any figure that adds up over tables, under limits that do too.

An integer programme: one binary per option of each slot, one continuous variable per entry of a table over several
variables, tied to the options by its marginals (the local polytope of a factor graph). Where the binaries are whole the
entries are theirs, so the optimum is exact; HiGHS solves it and proves its gap.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from search_spaces.compile_lookup import Rows, Table, spread
from search_spaces.compiled import CompiledSpace
from search_spaces.errors import NasError, SpaceError

Floats = NDArray[np.float64]
MOST_ENTRIES = 400_000
SCALE = 1e3
"""Limits and objective are brought to this size, so that the solver's absolute tolerances are small."""
SLACK = 1e-9


@dataclass(frozen=True)
class Limit:
    """The sum of `terms` may be at most `most`; `name` is what errors call it."""

    name: str
    terms: Sequence[Table]
    most: float


@dataclass(frozen=True)
class Optimum:
    """A canonical valid row [n_slots], the value of its terms, and a bound that no row beats."""

    row: Rows
    value: float
    bound: float

    @property
    def gap(self) -> float:
        """How far the value may be from the best, as a share of itself."""
        return abs(self.bound - self.value) / max(abs(self.value), 1e-300)


@dataclass
class _Factor:
    """One table of the programme: its variables, allowed entries, and values per figure (objective, then limits)."""

    scope: tuple[int, ...]
    shape: tuple[int, ...]
    allowed: NDArray[np.bool_]
    values: list[Floats]


@dataclass
class _Columns:
    """The programme's matrix while it is being written: triplets of its equalities."""

    rows: list[NDArray[np.int64]] = field(default_factory=list)
    columns: list[NDArray[np.int64]] = field(default_factory=list)
    values: list[Floats] = field(default_factory=list)
    sides: list[Floats] = field(default_factory=list)
    count: int = 0

    def add(self, rows: NDArray[np.int64], columns: NDArray[np.int64], values: Floats, sides: Floats) -> None:
        self.rows.append(rows + self.count)
        self.columns.append(columns)
        self.values.append(values)
        self.sides.append(sides)
        self.count += len(sides)


def best_row(
    compiled: CompiledSpace,
    objective: Sequence[Table],
    *,
    limits: Sequence[Limit] = (),
    largest: bool = False,
    gap: float = 0.0,
    seconds: float = math.inf,
    taken: Rows | None = None,
    nodes: int | None = None,
) -> Optimum:
    """The valid row with the smallest (`largest`) sum of `objective` within `limits`, to a relative `gap`.

    `taken` rows [n, n_slots] are left out. After `nodes` boxes the best row so far is taken, the same on every machine.

    Tables are over the space's slots and columns, as `CostTables.terms` and `CompiledSpace.columns` number them.
    Entries that are not known (NaN) are left out. Raises NasError when the limits cannot be met, with the nearest
    values that can, and when `seconds` end before any row was found.
    """
    figures = [list(objective), *(list(limit.terms) for limit in limits)]
    programme = _Programme(compiled, figures, [limit.most for limit in limits], -1.0 if largest else 1.0)
    found = programme.solve(gap=gap, seconds=seconds, taken=taken, nodes=nodes)
    if found is None:
        raise _not_met(programme, limits, seconds)
    row, bound = found
    return Optimum(row, programme.value(row, 0), bound)


def nearest_row(compiled: CompiledSpace, limits: Sequence[Limit], *, seconds: float = math.inf) -> Optimum:
    """The valid row that exceeds `limits` least, each excess as a share of its limit, summed; 0 where all are kept.

    A bound above 0 proves that no row keeps them all. Raises NasError when `seconds` end before any row was found.
    """
    programme = _Programme(
        compiled, [[], *(list(limit.terms) for limit in limits)], [limit.most for limit in limits], 1.0
    )
    found = programme.closest(seconds)
    if found is None:
        raise NasError(f"no architecture was found in {seconds:.4g} s; give more time")
    row, bound = found
    over = sum(
        max(0.0, programme.value(row, 1 + i) - limit.most) / max(abs(limit.most), 1e-300)
        for i, limit in enumerate(limits)
    )
    return Optimum(row, over, bound)


def _not_met(programme: "_Programme", limits: Sequence[Limit], seconds: float) -> NasError:
    found = programme.closest(seconds)
    if found is None:
        return NasError(f"no architecture was found in {seconds:.4g} s; give more time")
    closest = found[0]
    values = {limit.name: programme.value(closest, 1 + i) for i, limit in enumerate(limits)}
    over = [limit.name for limit in limits if values[limit.name] > limit.most * (1 + SLACK)]
    reached = ", ".join(f"{limit.name} {values[limit.name]:,.6g} (limit {limit.most:,.6g})" for limit in limits)
    picks = programme.compiled.decode(closest).to_json()
    return NasError(
        f"no architecture keeps the limits; the closest of all has {reached} ({picks}). Raise "
        f"{' or '.join(over)} to at least these values, or offer smaller options"
    )


class _Programme:
    def __init__(
        self, compiled: CompiledSpace, figures: Sequence[Sequence[Table]], most: Sequence[float], sign: float
    ) -> None:
        self.compiled, self._figures, self._most, self._sign = compiled, figures, most, sign
        self._sizes = [*(len(slot.options) for slot in compiled.slots), *(column.size for column in compiled.columns)]
        self._factors = _factors(compiled, figures, self._sizes)
        entries = sum(int(factor.allowed.sum()) for factor in self._factors)
        if entries > MOST_ENTRIES:
            raise SpaceError(
                f"space {compiled.space.name!r}: its figures need {entries:,} table entries, at most {MOST_ENTRIES:,} "
                "can be solved exactly; offer fewer options or let them depend on fewer others"
            )
        self._starts = np.concatenate([[0], np.cumsum(self._sizes)]).astype(np.int64)

    def value(self, row: Rows, figure: int) -> float:
        """The figure of one row from its tables."""
        variables = [int(i) for i in row]
        for column in self.compiled.columns:
            variables.append(int(column.table.values[tuple(variables[v] for v in column.table.variables)]))
        return float(sum(t.values[tuple(variables[v] for v in t.variables)] for t in self._figures[figure]))

    def solve(
        self, *, gap: float, seconds: float, taken: Rows | None = None, nodes: int | None = None
    ) -> tuple[Rows, float] | None:
        """The best row and the bound on the objective."""
        costs, constants, equalities = self._written()
        scale = SCALE / max(float(np.abs(costs[0]).max(initial=0)), 1e-300)
        constraints = [equalities, *self._limit_rows(costs, constants, 0)]
        constraints += [self._other_than(row, costs.shape[1]) for row in (() if taken is None else taken)]
        while True:
            found = self._milp(self._sign * costs[0] * scale, constraints, gap, seconds, 0, nodes)
            if found is None:
                return None
            row, bound = self._row(found[0]), self._sign * found[1] / scale + constants[0]
            if all(self.value(row, 1 + i) <= most * (1 + SLACK) for i, most in enumerate(self._most)):
                return row, bound
            constraints.append(self._other_than(row, costs.shape[1]))

    def _other_than(self, row: Rows, count: int) -> Any:
        """Excludes one row: within the solver's tolerances it kept the limits, counted it does not."""
        from scipy.optimize import LinearConstraint

        chosen = np.zeros((1, count))
        chosen[0, self._starts[: len(row)] + row] = 1
        return LinearConstraint(chosen, -np.inf, len(row) - 1)

    def closest(self, seconds: float) -> tuple[Rows, float] | None:
        """The row whose limits are exceeded least, each as a share of itself, summed, and a bound on that sum."""
        costs, constants, equalities = self._written()
        extra = len(self._most)
        constraints = [_widened(equalities, extra), *self._limit_rows(costs, constants, extra)]
        objective = np.concatenate([np.zeros(costs.shape[1]), np.full(extra, SCALE)])
        found = self._milp(objective, constraints, 1e-6, seconds, extra)
        return None if found is None else (self._row(found[0]), found[1] / SCALE)

    def _row(self, chosen: Floats) -> Rows:
        slots = len(self.compiled.slots)
        picks = [int(chosen[self._starts[v] : self._starts[v + 1]].argmax()) for v in range(slots)]
        return np.array(picks, dtype=np.int16)

    def _written(self) -> tuple[Floats, Floats, Any]:
        """Costs [n_figures, n_variables], constants [n_figures], and the equalities."""
        from scipy.optimize import LinearConstraint
        from scipy.sparse import coo_array

        constants = np.zeros(len(self._figures))
        options = int(self._starts[-1])
        costs = [np.zeros((len(self._figures), options))]
        written = _Columns()
        for v, size in enumerate(self._sizes):
            places = self._starts[v] + np.arange(size)
            written.add(np.zeros(size, np.int64), places, np.ones(size), np.ones(1))
        count = options
        for factor in self._factors:
            if not factor.scope:
                constants += [float(values.reshape(-1)[0]) for values in factor.values]
                continue
            entries = np.flatnonzero(factor.allowed.reshape(-1))
            costs.append(np.stack([values.reshape(-1)[entries] for values in factor.values]))
            self._tie(written, factor, entries, count)
            count += len(entries)
        matrix = coo_array(
            (np.concatenate(written.values), (np.concatenate(written.rows), np.concatenate(written.columns))),
            shape=(written.count, count),
        )
        sides = np.concatenate(written.sides)
        return np.concatenate(costs, axis=1), constants, LinearConstraint(matrix.tocsr(), sides, sides)

    def _tie(self, written: _Columns, factor: _Factor, entries: NDArray[np.int64], start: int) -> None:
        """The entries that hold one option of one variable sum to that option."""
        for v, codes in zip(factor.scope, np.unravel_index(entries, factor.shape), strict=True):
            size = self._sizes[v]
            rows = np.concatenate([codes, np.arange(size)])
            columns = np.concatenate([start + np.arange(len(entries)), self._starts[v] + np.arange(size)])
            written.add(rows, columns, np.concatenate([np.ones(len(entries)), -np.ones(size)]), np.zeros(size))

    def _limit_rows(self, costs: Floats, constants: Floats, extra: int) -> list[Any]:
        """One row per limit; with `extra` variables each may be exceeded by a share of itself."""
        from scipy.optimize import LinearConstraint

        rows = []
        for i, most in enumerate(self._most):
            unit = SCALE / max(abs(most), 1e-300)
            excess = np.zeros(extra)
            excess[i : i + 1] = -SCALE
            row = np.concatenate([costs[1 + i] * unit, excess])[None]
            rows.append(LinearConstraint(row, -np.inf, (most - constants[1 + i]) * unit + SCALE * SLACK))
        return rows

    def _milp(
        self,
        objective: Floats,
        constraints: list[Any],
        gap: float,
        seconds: float,
        extra: int,
        nodes: int | None = None,
    ) -> tuple[Floats, float] | None:
        from scipy.optimize import Bounds, milp

        slots = int(self._starts[len(self.compiled.slots)])
        integral = np.zeros(len(objective))
        integral[:slots] = 1
        upper = np.ones(len(objective))
        upper[len(objective) - extra :] = np.inf
        options: dict[str, float] = {"mip_rel_gap": gap}
        if math.isfinite(seconds):
            options["time_limit"] = seconds
        if nodes is not None:
            options["node_limit"] = nodes
        found = milp(objective, integrality=integral, bounds=Bounds(0, upper), constraints=constraints, options=options)
        return None if found.x is None else (np.asarray(found.x), float(found.mip_dual_bound))


def _widened(equalities: Any, extra: int) -> Any:
    """The same equalities over `extra` more variables that are in none of them."""
    from scipy.optimize import LinearConstraint
    from scipy.sparse import csr_array, hstack

    matrix = equalities.A
    joined = hstack([matrix, csr_array((matrix.shape[0], extra))]).tocsr()
    return LinearConstraint(joined, equalities.lb, equalities.ub)


def _factors(compiled: CompiledSpace, figures: Sequence[Sequence[Table]], sizes: Sequence[int]) -> list[_Factor]:
    """Tables of one scope in one factor, those of smaller scopes in one that holds them."""
    slots = len(compiled.slots)
    parts: list[tuple[tuple[int, ...], Callable[[_Factor], None]]] = []
    for number, tables in enumerate(figures):
        parts += [(table.variables, _adding(table, number)) for table in tables]
    parts += [(table.variables, _allowing(table)) for table in compiled.canonical_indicators]
    for i, column in enumerate(compiled.columns):
        codes = np.arange(column.size)
        reached = column.table.values[..., None] == codes
        parts.append(
            ((*column.table.variables, slots + i), _allowing(Table((*column.table.variables, slots + i), reached)))
        )
    factors: dict[tuple[int, ...], _Factor] = {}
    for scope, enter in sorted(parts, key=lambda part: -len(part[0])):
        home = _home(factors.keys(), scope)
        if home is None:
            shape = tuple(sizes[v] for v in scope)
            factors[scope] = _Factor(scope, shape, np.ones(shape, bool), [np.zeros(shape) for _ in figures])
            home = scope
        enter(factors[home])
    return list(factors.values())


def _home(scopes: Iterable[tuple[int, ...]], scope: tuple[int, ...]) -> tuple[int, ...] | None:
    wanted = set(scope)
    return next((found for found in scopes if wanted <= set(found)), None)


def _adding(table: Table, figure: int) -> Callable[[_Factor], None]:
    def enter(factor: _Factor) -> None:
        values = spread(table, factor.scope)
        factor.allowed &= np.isfinite(values)
        factor.values[figure] += np.where(np.isfinite(values), values, 0)

    return enter


def _allowing(table: Table) -> Callable[[_Factor], None]:
    def enter(factor: _Factor) -> None:
        factor.allowed &= spread(table, factor.scope) != 0

    return enter


def named_limits(terms: Callable[[str], Sequence[Table]], most: Mapping[str, float]) -> tuple[Limit, ...]:
    """Limits by figure name, with the tables that `terms` (such as `CostTables.terms`) gives for each."""
    return tuple(Limit(name, terms(name), value) for name, value in most.items())
