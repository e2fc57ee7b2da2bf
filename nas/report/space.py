"""A whole space without evaluating it: sampled and scored by tables, what decides each figure, what limits rule out."""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np

from nas.report.explored import Coded, Explored, Floats, Guess, Importance, PageTables
from nas.report.guess import fit_guess, guessed_values
from nas.report.picks import dimensions, stage_of
from predictors.sensitivity import Sensitivity
from predictors.table_nodes import PEAK
from predictors.table_terms import merged
from predictors.tables import CostTables
from search_spaces.builder import Value
from search_spaces.compile_lookup import Rows
from search_spaces.compiled import CompiledSpace
from search_spaces.errors import InvalidArchitecture, SpaceError
from search_spaces.space import Architecture

SCORED = 100_000
HALF = 2048
MOST_ENTRIES = 450_000
SHOWN = ("latency_ms", "energy_mj", "macs", "weight_bytes", PEAK)
MOST_FIGURES = 7
FEWEST = 30


class Tables(Protocol):
    """What scores populations: `CostTables`, or those of several targets."""

    @property
    def names(self) -> tuple[str, ...]:
        """The figures it knows."""

    @property
    def sources(self) -> Mapping[str, tuple[CostTables, str]]:
        """By figure name, the tables that know it and what they call it."""

    def score(self, rows: Rows, figures: Sequence[str]) -> Mapping[str, Floats]:
        """Figures [n] of valid rows [n, n_slots]."""


def explore(
    compiled: CompiledSpace,
    tables: Tables,
    evaluated: Sequence[tuple[Mapping[str, Value], Mapping[str, float]]],
    *,
    objectives: Sequence[str],
    limits: Mapping[str, float],
    scored: int = SCORED,
    half: int = HALF,
    seed: int = 0,
) -> Explored:
    """Sample `scored` architectures of the space and score them; objectives that no table knows are guessed.

    `evaluated` are (picks, figures) of evaluations, from which guesses are fitted. `half` is the sample of the
    sensitivity analysis. Figures shown are the objectives, the limited ones and the usual costs.
    """
    wanted = dict.fromkeys([*objectives, *limits, *SHOWN])
    figures = tuple(name for name in wanted if name in tables.names)[:MOST_FIGURES]
    sizes = tuple(len(slot.options) for slot in compiled.slots)
    guesses = _guesses(
        compiled, evaluated, [name for name in (*objectives, *limits) if name not in tables.names], sizes
    )

    def score(rows: Rows) -> dict[str, Floats]:
        found = {name: np.asarray(values) for name, values in tables.score(rows, figures).items()}
        return {**found, **{guess.figure: guessed_values(guess, rows) for guess in guesses}}

    rng = np.random.default_rng(seed)
    rows = compiled.sample(rng, scored)
    values = score(rows)
    active = compiled.active(rows)
    names = [slot.name for slot in compiled.slots]
    stages = tuple(dict.fromkeys(map(stage_of, names)))
    by_dimension = dimensions(names)
    return Explored(
        size=_size(compiled),
        slots={slot.name: slot.options for slot in compiled.slots},
        sample=np.where(active, rows, -1).astype(np.int16),
        values=values,
        guesses=guesses,
        stages=stages,
        dimensions=tuple(by_dimension),
        importance=_importance(lambda r: score(compiled.repair(r)), names, sizes, stages, by_dimension, half, rng),
        kept=_kept(values, limits),
        allowed=_allowed(rows, active, sizes, names, values, limits),
        tables=page_tables(tables, figures, guesses),
    )


def _size(compiled: CompiledSpace) -> str:
    try:
        return str(compiled.size())
    except SpaceError:
        return "not counted: its choices depend on each other in too many ways"


def _guesses(
    compiled: CompiledSpace,
    evaluated: Sequence[tuple[Mapping[str, Value], Mapping[str, float]]],
    figures: Sequence[str],
    sizes: tuple[int, ...],
) -> tuple[Guess, ...]:
    found = []
    for figure in dict.fromkeys(figures):
        rows, values = [], []
        for picks, known in evaluated:
            if figure not in known:
                continue
            try:
                rows.append(compiled.encode(Architecture.of(picks)))
            except InvalidArchitecture:
                continue
            values.append(known[figure])
        if rows:
            found.append(fit_guess(figure, np.stack(rows), np.array(values), sizes))
    return tuple(guess for guess in found if guess is not None)


def _importance(
    score: Callable[[Rows], Mapping[str, Floats]],
    names: Sequence[str],
    sizes: tuple[int, ...],
    stages: Sequence[str],
    by_dimension: Mapping[str, Sequence[str]],
    half: int,
    rng: np.random.Generator,
) -> dict[str, Importance]:
    sampled = Sensitivity(score, sizes, n=half, rng=rng)
    place = {name: i for i, name in enumerate(names)}
    single = sampled.shares([[i] for i in range(len(names))])
    groups = [[place[name] for name in slots] for slots in by_dimension.values()]
    cells = {
        (s, d): [place[name] for name in slots if stage_of(name) == stage]
        for s, stage in enumerate(stages)
        for d, slots in enumerate(by_dimension.values())
    }
    cells = {cell: group for cell, group in cells.items() if group}
    together = sampled.shares(list(cells.values()))
    pairs = sampled.pairs(groups)
    found = {}
    for figure, shares in single.items():
        grid = np.full((len(stages), len(groups)), np.nan)
        for cell, share in zip(cells, together[figure].total, strict=True):
            grid[cell] = share
        choices = {name: (float(shares.first[i]), float(shares.total[i])) for i, name in enumerate(names)}
        found[figure] = Importance(choices, grid, pairs[figure])
    return found


def _kept(values: Mapping[str, Floats], limits: Mapping[str, float]) -> dict[str, float]:
    """Share of the sample that keeps each limit, and under "" all of them; limits on unknown figures are left out."""
    within = {name: values[name] <= limit for name, limit in limits.items() if name in values}
    if not within:
        return {}
    kept = {name: float(found.mean()) for name, found in within.items()}
    return {**kept, "": float(np.logical_and.reduce(list(within.values())).mean())}


def _allowed(
    rows: Coded,
    active: np.ndarray[tuple[int, int], np.dtype[np.bool_]],
    sizes: tuple[int, ...],
    names: Sequence[str],
    values: Mapping[str, Floats],
    limits: Mapping[str, float],
) -> dict[str, Floats]:
    """Per choice, the share of sampled architectures with each option that keep all limits."""
    bounded = [values[name] <= limit for name, limit in limits.items() if name in values]
    if not bounded:
        return {}
    kept = np.logical_and.reduce(bounded)
    found = {}
    for slot, (name, size) in enumerate(zip(names, sizes, strict=True)):
        here = active[:, slot]
        seen = np.bincount(rows[here, slot], minlength=size)
        good = np.bincount(rows[here & kept, slot], minlength=size)
        found[name] = np.where(seen >= FEWEST, good / np.maximum(seen, 1), np.nan)
    return found


def page_tables(tables: Tables, figures: Sequence[str], guesses: Sequence[Guess]) -> PageTables | None:
    """The tables of `figures` and `guesses`, those over fewer choices added into those over more.

    Figures are left out from the last on while all together are too large; `None` where a single one is.
    """
    left = [name for name in figures if name in tables.sources]
    while left:
        found = _page_tables(tables, left, guesses)
        if found.entries <= MOST_ENTRIES:
            return found
        left.pop()
    return None


def _page_tables(tables: Tables, figures: Sequence[str], guesses: Sequence[Guess]) -> PageTables:
    source = tables.sources[figures[0]][0]
    sizes = [*(len(slot.options) for slot in source.compiled.slots), *(c.size for c in source.compiled.columns)]
    names = source.compiled.learned.names.__getitem__
    sums, maxima = {}, {}
    for figure in figures:
        known, own = tables.sources[figure]
        if own == PEAK:
            maxima[figure] = tuple(merged(known.live_terms(), sizes, np.maximum, names, most=0))
        else:
            sums[figure] = tuple(merged(known.terms(own), sizes, np.add, names, most=0))
    for guess in guesses:
        sums[guess.figure] = guess.tables
    compiled = source.compiled
    columns = tuple(column.table for column in compiled.columns)
    return PageTables(columns, compiled.offers, compiled.refusals, sums, maxima)
