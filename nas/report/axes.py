"""Axes along which architectures are compared: one per choice, or one per dimension where there are many."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nas.report.data import Value
from nas.report.explored import Coded, Floats
from nas.report.picks import FEW_SLOTS, Picks, dimension, dimensions, number, value_order

MANY_CHOICES = 20
MOST_CATEGORIES = 6
Offered = Mapping[str, tuple[Value, ...]]
_UNITS = {
    "resolution": "pixels",
    "width": "channels",
    "depth": "blocks",
    "kernel": "pixels",
    "group_size": "channels",
    "dilation": "pixels",
    "sparsity": "share of zeros",
    "expand": "times",
}


@dataclass(frozen=True)
class Axis:
    """One axis; `values` [n] are NaN where it does not apply.

    `ticks` are (position, text) pairs for axes of categories, empty for numbers.
    """

    label: str
    unit: str
    values: Floats
    ticks: tuple[tuple[float, str], ...] = ()


def coded(population: Sequence[Picks], offered: Offered) -> Coded:
    """[n, n_choices] the position of each pick among the options in `offered`, -1 where a choice was not made.

    `True` and `1` are told apart, as are `0.5` and "2:4".
    """
    rows = np.full((len(population), len(offered)), -1, np.int16)
    places = [{(type(v).__name__, v): i for i, v in enumerate(options)} for options in offered.values()]
    for column, (name, place) in enumerate(zip(offered, places, strict=True)):
        rows[:, column] = [
            place.get((type(picks[name]).__name__, picks[name]), -1) if name in picks else -1 for picks in population
        ]
    return rows


def axes(offered: Offered, rows: Coded) -> tuple[Axis, ...]:
    """Axes of the architectures `rows` [n, n_choices], coded over `offered`.

    With at most `MANY_CHOICES` choices each has its axis; with more, dimensions of more than `FEW_SLOTS`
    choices are averaged (numbers), or counted per value as a share of the places (text).
    """
    columns = {name: rows[:, i] for i, name in enumerate(offered)}
    found: list[Axis] = []
    for name, slots in dimensions(offered).items():
        if len(offered) <= MANY_CHOICES or len(slots) <= FEW_SLOTS:
            found += [_slot_axis(slot, offered[slot], columns[slot]) for slot in slots]
            continue
        places = np.stack([columns[slot] for slot in slots], axis=1)
        options = [offered[slot] for slot in slots]
        values = {value for several in options for value in several}
        if all(number(value) is not None for value in values):
            known = [[number(value) for value in several] for several in options]
            found.append(Axis(f"{name} (mean)", _UNITS.get(name, ""), _mean(places, known)))
        else:
            for value in sorted(values, key=value_order)[:MOST_CATEGORIES]:
                share = _mean(places, [[float(other == value) for other in several] for several in options])
                found.append(Axis(str(value), "share of places", share))
    return tuple(found)


def _looked_up(column: Coded, values: Sequence[float | None]) -> Floats:
    """`values` by position, NaN for -1."""
    return np.array([*values, np.nan], np.float64)[column]


def _slot_axis(slot: str, options: Sequence[Value], column: Coded) -> Axis:
    unit = _UNITS.get(dimension(slot), "")
    numbers = [number(value) for value in options]
    if None not in numbers:
        return Axis(slot, unit, _looked_up(column, numbers))
    ticks = tuple((float(i), str(value)) for i, value in enumerate(options))
    return Axis(slot, unit, _looked_up(column, [position for position, _ in ticks]), ticks)


def _mean(places: Coded, values: Sequence[Sequence[float | None]]) -> Floats:
    """[n] the mean over the choices made, NaN where none was."""
    chosen = np.stack([_looked_up(places[:, i], several) for i, several in enumerate(values)], axis=1)
    made = ~np.isnan(chosen)
    count = made.sum(axis=1)
    total = np.where(made, chosen, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
