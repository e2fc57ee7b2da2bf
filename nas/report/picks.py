"""What the picks of many architectures have in common: dimensions, their spread, their words.

A choice such as "stage1.block0.kernel" belongs to the dimension "kernel". Where a dimension has many choices
they are averaged over those that an architecture makes.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from nas.report.data import Value
from nas.report.words import value_text
from search_spaces.errors import NasError
from search_spaces.sparsity import pattern

Picks = Mapping[str, Value]
ORDER = ("resolution", "width", "depth", "kernel", "expand", "group_size", "dilation", "sparsity")
FEW_SLOTS = 4
DOMINANT_SHARE = 0.9


def dimension(choice: str) -> str:
    """The dimension of a choice: the last part of its dotted name."""
    return choice.rpartition(".")[2]


def stage_of(choice: str) -> str:
    """The stage of a choice: the first part of its dotted name, "" for a choice of the whole network."""
    return choice.partition(".")[0] if "." in choice else ""


def number(value: Value) -> float | None:
    """The value as a number (an N:M pattern as its share of zeros); `None` for text and booleans."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        try:
            groups = pattern(value)
        except NasError:
            return None
        return None if groups is None else 1 - groups[0] / groups[1]
    return float(value)


def _natural(name: str) -> tuple[bool, list[tuple[bool, int, str]]]:
    parts = re.split(r"(\d+)", name)
    return "." in name, [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in parts]


def value_order(value: Value) -> tuple[bool, float, str]:
    """Key that sorts numbers by size, then everything else by its text."""
    known = number(value)
    return known is None, known or 0.0, str(value)


def choices(population: Iterable[Picks]) -> dict[str, tuple[Value, ...]]:
    """Every choice that occurs, in natural order of names, with the values seen, in rising order.

    `True` and `1` are told apart, as are `0.5` and "2:4".
    """
    seen: dict[str, dict[tuple[str, Value], Value]] = {}
    for picks in population:
        for name, value in picks.items():
            seen.setdefault(name, {})[(type(value).__name__, value)] = value
    return {name: tuple(sorted(seen[name].values(), key=value_order)) for name in sorted(seen, key=_natural)}


def dimensions(names: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Choice names by dimension: the searched ones in `ORDER` first, then the others as they come."""
    grouped: dict[str, list[str]] = {}
    for name in names:
        grouped.setdefault(dimension(name), []).append(name)
    order = [name for name in ORDER if name in grouped]
    order += [name for name in grouped if name not in ORDER]
    return {name: tuple(grouped[name]) for name in order}


@dataclass(frozen=True)
class Spread:
    """How often each value of a dimension occurs among architectures.

    places: (architecture, choice) pairs with that value. architectures: how many use it at least once.
    """

    dimension: str
    values: tuple[Value, ...]
    places: tuple[int, ...]
    architectures: tuple[int, ...]

    @property
    def shares(self) -> tuple[float, ...]:
        """Share of the places per value; all 0 when there are no places."""
        total = sum(self.places)
        return tuple(count / total if total else 0.0 for count in self.places)

    @property
    def verdict(self) -> str:
        """In words: how many values are in use, or that one of them dominates."""
        used = [value for value, count in zip(self.values, self.places, strict=True) if count]
        if not used:
            return "not on the front"
        share, value = max(zip(self.shares, self.values, strict=True), key=lambda pair: pair[0])
        if len(used) == 1:
            offered = f" of {len(self.values)} seen" if len(self.values) > 1 else ""
            return f"only {value_text(self.dimension, value)}{offered}"
        if share >= DOMINANT_SHARE:
            return f"{value_text(self.dimension, value)} dominates: {100 * share:.0f} % of places"
        return f"{len(used)} of {len(self.values)} values in use"


def spreads(front: Sequence[Picks], everything: Sequence[Picks]) -> tuple[Spread, ...]:
    """Per dimension, how its values are spread over `front`; values come from `everything` too."""
    offered = choices([*everything, *front])
    found = []
    for name, slots in dimensions(offered).items():
        values: dict[tuple[str, Value], Value] = {}
        for slot in slots:
            values |= {(type(value).__name__, value): value for value in offered[slot]}
        keys = sorted(values, key=lambda key: value_order(values[key]))
        places = dict.fromkeys(keys, 0)
        users = dict.fromkeys(keys, 0)
        for picks in front:
            here = [(type(picks[slot]).__name__, picks[slot]) for slot in slots if slot in picks]
            for key in here:
                places[key] += 1
            for key in set(here):
                users[key] += 1
        found.append(
            Spread(
                name,
                tuple(values[key] for key in keys),
                tuple(places.values()),
                tuple(users.values()),
            )
        )
    return tuple(found)


def picks_words(picks: Picks) -> tuple[str, ...]:
    """The main picks, one line per dimension: all values where they are few, else range and mean."""
    lines = []
    for name, slots in dimensions(sorted(picks, key=_natural)).items():
        values = [picks[slot] for slot in slots]
        known = [value for value in map(number, values) if value is not None]
        label = name.replace("_", " ")
        if len(values) <= FEW_SLOTS or len(known) < len(values):
            shown = [value_text(name, value) for value in values[:8]]
            lines.append(f"{label} {', '.join(shown)}{' …' if len(values) > 8 else ''}")
        elif min(known) == max(known):
            lines.append(f"{label} {value_text(name, values[0])} everywhere")
        else:
            low, high = min(values, key=value_order), max(values, key=value_order)
            mean = value_text("", round(fmean(known), 2))
            if name == "sparsity":
                mean = f"{100 * fmean(known):.0f} %"
            lines.append(f"{label} {value_text(name, low)} to {value_text(name, high)} (mean {mean})")
    return tuple(lines)
