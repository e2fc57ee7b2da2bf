"""Several fronts side by side, in the objectives that all of them have; no run is needed here."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nas.report.data import FrontEntry, Mark
from nas.report.units import Display, display
from nas.search.gain import hypervolume, non_dominated
from search_spaces.errors import NasError

MARGIN = 0.1
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Side:
    """One front of a comparison: what it is called, what made it in words, its objectives and its architectures."""

    name: str
    objectives: tuple[str, ...]
    front: tuple[FrontEntry, ...]
    words: str = ""
    limits: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Difference:
    """A setting that is not the same on all sides: its name, what it means, and its value on each side as text."""

    key: str
    meaning: str
    values: tuple[str, ...]


@dataclass(frozen=True)
class Comparison:
    """Fronts in their shared objectives.

    best, reference: of each objective the least there is, and where the common box ends, a tenth of its span beyond
    the worst, so that the ends of every front count. hypervolumes: per side, as a share of that box. dominated: per
    side, the ids of each other side's architectures that one of its own dominates, by the other's name.
    """

    objectives: tuple[str, ...]
    sides: tuple[Side, ...]
    best: Mapping[str, float]
    reference: Mapping[str, float]
    hypervolumes: tuple[float, ...]
    dominated: tuple[Mapping[str, tuple[str, ...]], ...]
    differences: tuple[Difference, ...] = ()
    notes: tuple[str, ...] = ()
    marks: tuple[Mark, ...] = ()

    @property
    def displays(self) -> dict[str, Display]:
        """How each shared objective is shown, in one unit for all sides."""
        every = [entry.values for side in self.sides for entry in side.front] + [mark.values for mark in self.marks]
        return {name: display(name, [values.get(name) for values in every], {}) for name in self.objectives}

    def beaten_by(self, side: Side, identity: str) -> tuple[str, ...]:
        """The names of the sides with an architecture that dominates the one called `identity` on `side`."""
        return tuple(
            other.name
            for other, found in zip(self.sides, self.dominated, strict=True)
            if identity in found.get(side.name, ())
        )

    def beating(self, values: Mapping[str, float | None]) -> tuple[str, ...]:
        """The names of the sides with an architecture that dominates these values; none where one is unknown."""
        point = [values.get(name) for name in self.objectives]
        if any(value is None for value in point):
            return ()
        one = np.array([point], dtype=np.float64)
        return tuple(side.name for side in self.sides if _beats(_values(side, self.objectives), one).any())


def compare(
    sides: Sequence[Side],
    *,
    differences: Sequence[Difference] = (),
    notes: Sequence[str] = (),
    marks: Sequence[Mark] = (),
) -> Comparison:
    """Compare fronts; smaller is better in every objective.

    Raises NasError with fewer than two sides and marks together, when no objective is shared, and for a front
    without an architecture whose shared objectives are known.
    """
    if len(sides) + len(marks) < 2 or not sides:
        raise NasError("a comparison needs two fronts: name another run, or a network of your own with --own")
    shared = tuple(name for name in sides[0].objectives if all(name in side.objectives for side in sides))
    if not shared:
        told = "; ".join(f"{side.name}: {', '.join(side.objectives)}" for side in sides)
        raise NasError(f"these runs share no objective ({told}): search one of them again with an objective of another")
    kept = [_known(side, shared) for side in sides]
    values = [_values(side, shared) for side in kept]
    everything = np.concatenate(values)
    best, worst = everything.min(0), everything.max(0)
    width = np.where(worst > best, worst - best, 1.0)
    corner = np.full(len(shared), 1 + MARGIN)
    volumes = [_volume((points - best) / width, corner) for points in values]
    dominated = tuple(
        {
            other.name: _dominated(points, theirs, other)
            for other, theirs in zip(kept, values, strict=True)
            if other.name != side.name
        }
        for side, points in zip(kept, values, strict=True)
    )
    return Comparison(
        shared,
        tuple(kept),
        dict(zip(shared, map(float, best), strict=True)),
        dict(zip(shared, map(float, best + corner * width), strict=True)),
        tuple(volumes),
        dominated,
        tuple(differences),
        tuple(notes),
        tuple(marks),
    )


def _known(side: Side, objectives: Sequence[str]) -> Side:
    """The side with those architectures whose objectives are all known."""
    front = tuple(entry for entry in side.front if all(entry.values.get(name) is not None for name in objectives))
    if not front:
        raise NasError(f"{side.name} has no architecture on its front whose {' and '.join(objectives)} are known")
    return Side(side.name, side.objectives, front, side.words, side.limits)


def _values(side: Side, objectives: Sequence[str]) -> Floats:
    return np.array([[entry.values[name] for name in objectives] for entry in side.front], dtype=np.float64)


def _volume(scaled: Floats, corner: Floats) -> float:
    """Share of the box between the origin and `corner` that `scaled` dominates."""
    return hypervolume(scaled[non_dominated(scaled)], corner) / float(np.prod(corner))


def _dominated(points: Floats, others: Floats, side: Side) -> tuple[str, ...]:
    """Ids of `side` whose values [n, d] one of `points` [m, d] dominates."""
    beaten = np.asarray(_beats(points, others).any(0))
    return tuple(entry.id for entry, is_beaten in zip(side.front, beaten.tolist(), strict=True) if is_beaten)


def _beats(points: Floats, others: Floats) -> npt.NDArray[np.bool_]:
    """[m, n] whether each of `points` [m, d] dominates each of `others` [n, d]."""
    no_worse = (points[:, None] <= others[None]).all(2)
    better = (points[:, None] < others[None]).any(2)
    return np.asarray(no_worse & better)
