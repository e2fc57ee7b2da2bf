"""How a latency model's error falls with the number of networks it is fitted on, and what more of them would bring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from predictors.holdout import accuracy, predictions
from predictors.latency import LearnedLatency, MeasuredLatency, fit_latency

PARTS = ((4, 2), (2, 1))
FEWEST_FITTED = 16
FEWEST_HELD_OUT = 5
FURTHEST = 50
NEAR_SCATTER = 1.5


@dataclass(frozen=True, slots=True)
class LearningCurve:
    """Mean relative error on held-out networks, about floor + slope / sqrt(networks fitted on).

    `points` are (networks fitted on, error) pairs in rising order. `scatter` is the share by which repetitions of one
    network spread, about the best that a model can be seen to do; `None` where it is not known.
    """

    points: tuple[tuple[int, float], ...]
    floor: float
    slope: float
    scatter: float | None

    @property
    def further_to_halve(self) -> int | None:
        """How many more networks would halve the error; `None` where no affordable number would."""
        fitted, error = self.points[-1]
        left = error / 2 - self.floor
        if left <= 0:
            return None
        further = int(np.ceil((self.slope / left) ** 2)) - fitted
        return further if further <= FURTHEST * fitted else None

    @property
    def at_scatter(self) -> bool:
        """Whether the error is hardly larger than the scatter of the measurements."""
        return self.scatter is not None and self.points[-1][1] <= NEAR_SCATTER * self.scatter

    @classmethod
    def from_json(cls, data: Mapping[str, Any] | None) -> "LearningCurve | None":
        """The curve of `dataclasses.asdict`; `None` stays `None`."""
        if data is None:
            return None
        points = tuple((int(networks), float(error)) for networks, error in data["points"])
        scatter = None if data["scatter"] is None else float(data["scatter"])
        return cls(points, float(data["floor"]), float(data["slope"]), scatter)


def learning_curve(
    model: LearnedLatency,
    fitted: Sequence[MeasuredLatency],
    held_out: Sequence[MeasuredLatency],
    *,
    scatter: float | None = None,
) -> LearningCurve | None:
    """The curve of `model`, fitted on `fitted`, from further fits on a half and two quarters of them.

    These are drawn from a fixed seed. `scatter` is the share by which repetitions of one network spread. `None` where
    there are too few networks to tell.
    """
    if len(fitted) < FEWEST_FITTED or len(held_out) < FEWEST_HELD_OUT:
        return None
    rng = np.random.default_rng(0)
    truth = [network.latency_ms for network in held_out]

    def error(of: LearnedLatency) -> float:
        return accuracy(predictions(of, held_out), truth).mape

    points = []
    for part, draws in PARTS:
        chosen = [sorted(rng.choice(len(fitted), len(fitted) // part, replace=False)) for _ in range(draws)]
        models = [fit_latency([fitted[i] for i in drawn], fusion=model.fusion) for drawn in chosen]
        points.append((len(fitted) // part, float(np.mean([error(of) for of in models]))))
    points.append((len(fitted), error(model)))
    floor, slope = _line(points)
    return LearningCurve(tuple(points), floor, slope, scatter)


def _line(points: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Non-negative floor and slope of the error over one over the square root of the count."""
    from scipy.optimize import nnls

    counts, errors = np.array(points, dtype=np.float64).T
    (floor, slope), _ = nnls(np.column_stack([np.ones(len(counts)), 1 / np.sqrt(counts)]), errors)
    return float(floor), float(slope)
