"""DeepMAD's programme: the most entropy under limits on MACs, parameters and effectiveness, as arrays.

Notation: E_s is the sum of log(c k^2) over the convolutions up to the end of resolution stage s, D_s their number. The
entropy is the sum over s of a_s / 2 log(C_s positions_s) E_s, and D_s / exp(E_s / D_s) <= limit reads
E_s >= D_s log(D_s / limit).
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from predictors.counts import count_network
from predictors.entropy import network_entropy, stage_weights
from search_spaces.catalog.deepmad import BottleneckStages
from search_spaces.errors import NasError, SpaceError
from search_spaces.space import Architecture

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
WIDTH, BOTTLENECK, KERNEL, DEPTH = range(1, 5)
STEM_KERNEL = 3
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Budgets:
    """The most that MACs, parameters (both with the classifier) and effectiveness may be; infinity is no limit."""

    macs: float = math.inf
    params: float = math.inf
    effectiveness: float = math.inf

    def __post_init__(self) -> None:
        for name, value in self.named.items():
            if not value > 0:
                raise NasError(f"the limit on {name} must be above 0, got {value}")

    @property
    def named(self) -> Mapping[str, float]:
        """Figure name to limit."""
        return {"macs": self.macs, "params": self.params, "effectiveness": self.effectiveness}


@dataclass(frozen=True, slots=True)
class Group:
    """Blocks of one stage of the space: stride, positions before and behind it, its resolution stage."""

    stride: int
    in_positions: int
    out_positions: int
    stage: int


@dataclass(frozen=True, slots=True)
class ResolutionStage:
    """Ends where `variable` is the output width: weight in the entropy, log of its positions."""

    variable: int
    weight: float
    log_positions: float


@dataclass(frozen=True)
class Scores:
    """Figures of points, each [n]: `layer_entropy` is E and `depth` D of the whole network.

    `valid` tells whether the space offers the point.
    """

    entropy: Floats
    macs: Floats
    params: Floats
    effectiveness: Floats
    layer_entropy: Floats
    depth: Floats
    valid: Mask


class Programme:
    """A space and its budgets as arrays; a point is a row of option indices.

    Variables: the stem's width, then width, bottleneck, kernel and depth of every stage of the space.
    """

    def __init__(self, space: BottleneckStages, budgets: Budgets) -> None:
        self.space, self.budgets = space, budgets
        per_stage = (space.widths, space.bottlenecks, space.kernels, space.depths)
        self.options: tuple[Floats, ...] = tuple(
            np.array(values, float) for values in (space.stem_widths, *per_stage * len(space.strides))
        )
        self.logs: tuple[Floats, ...] = tuple(np.log(values) for values in self.options)
        self.sizes: Ints = np.array([len(values) for values in self.options])
        self.groups, self.stages, self.stem_positions = _stages(space)
        self.stem_taps = STEM_KERNEL**2 * space.input_shape[0]
        self.follows: tuple[Mask, ...] = tuple(
            _table(space.follows, space.stem_widths if i == 0 else space.widths, space.widths)
            for i in range(len(space.strides))
        )
        self.squeezes: Mask = _table(space.squeezes, space.bottlenecks, space.widths)

    def width_variable(self, group: int) -> int:
        """Index of the output width of a stage of the space; -1 is the stem."""
        return 4 * group + WIDTH if group >= 0 else 0

    def layer_entropies(self, points: Ints) -> Floats:
        """E_s of points [n, n_variables] for every resolution stage, [n, n_stages]."""
        logs = [options[points[:, v]] for v, options in enumerate(self.logs)]
        sums = np.full((len(points), len(self.stages)), math.log(self.stem_taps))
        for t, group in enumerate(self.groups):
            w = self.width_variable(t)
            blocks = self.options[w + 3][points[:, w + 3]]
            own = logs[self.width_variable(t - 1)] + (blocks - 1) * logs[w] + 2 * blocks * (logs[w + 1] + logs[w + 2])
            sums[:, group.stage :] += own[:, None]
        return sums

    def scores(self, points: Ints) -> Scores:
        """Figures of points [n, n_variables]."""
        values = [options[points[:, v]] for v, options in enumerate(self.options)]
        macs = self.stem_taps * values[0] * self.stem_positions
        params = (self.stem_taps + 2) * values[0]
        valid = np.ones(len(points), bool)
        depths = np.ones((len(points), len(self.stages)))
        for t, group in enumerate(self.groups):
            w = self.width_variable(t)
            before, width, size, kernel, blocks = values[self.width_variable(t - 1)], *values[w : w + 4]
            shortcut = np.where((group.stride != 1) | (before != width), before * width, 0)
            area, outward = size**2 * kernel**2, size * width
            once = before * size
            more = (blocks - 1) * outward + blocks * (area + outward) + shortcut
            macs += once * group.in_positions + more * group.out_positions
            params += once + more + 2 * blocks * (2 * size + width) + np.where(shortcut > 0, 2 * width, 0)
            depths[:, group.stage :] += 3 * blocks[:, None]
            valid &= self.follows[t][points[:, self.width_variable(t - 1)], points[:, w]]
            valid &= self.squeezes[points[:, w + 1], points[:, w]]
        head = values[self.width_variable(len(self.groups) - 1)] * self.space.classes
        sums = self.layer_entropies(points)
        entropy = np.zeros(len(points))
        for s, end in enumerate(self.stages):
            entropy += end.weight / 2 * (np.log(values[end.variable]) + end.log_positions) * sums[:, s]
        effectiveness = (depths / np.exp(sums / depths)).max(1)
        return Scores(
            entropy,
            macs + head,
            params + head + self.space.classes,
            effectiveness,
            layer_entropy=sums[:, -1],
            depth=depths[:, -1],
            valid=valid,
        )

    def feasible(self, scores: Scores) -> Mask:
        """[n] which valid points keep every budget."""
        kept = scores.valid.copy()
        for name, limit in self.budgets.named.items():
            kept &= np.asarray(getattr(scores, name) <= limit * (1 + TOLERANCE * (name == "effectiveness")))
        return kept

    def excess(self, scores: Scores) -> Floats:
        """[n] by how much the budgets are overdrawn, each as a share of itself, summed."""
        total = np.zeros(len(scores.entropy))
        for name, limit in self.budgets.named.items():
            if math.isfinite(limit):
                total += np.maximum(getattr(scores, name) / limit - 1, 0)
        return total

    def architecture(self, point: Ints) -> Architecture:
        """The architecture of one point [n_variables]."""
        values = [int(options[i]) for options, i in zip(self.options, point, strict=True)]
        stages = [(values[w], values[w + 1], values[w + 2], values[w + 3]) for w in range(1, len(values), 4)]
        return self.space.architecture(values[0], stages)

    def recounted(self, architecture: Architecture) -> dict[str, float]:
        """Entropy, effectiveness, MACs and parameters of the built network; `SpaceError` when the arrays differ."""
        network = self.space.space().build(architecture)
        found, total = network_entropy(network), count_network(network).total
        figures = {
            "entropy": found.entropy,
            "macs": float(total["macs"]),
            "params": float(total["params"]),
            "effectiveness": found.effectiveness,
        }
        picks = [value for _, value in architecture.picks]
        point = [int(np.flatnonzero(options == value)[0]) for options, value in zip(self.options, picks, strict=True)]
        scores = self.scores(np.array([point]))
        for name, value in figures.items():
            known = float(getattr(scores, name)[0])
            if not math.isclose(known, value, rel_tol=TOLERANCE):
                raise SpaceError(
                    f"deepmad: {name} is {value} for {architecture.to_json()}, but its arrays give {known}"
                )
        return figures


def _stages(space: BottleneckStages) -> tuple[tuple[Group, ...], tuple[ResolutionStage, ...], int]:
    """The groups of blocks, the resolution stages, and the positions of the stem's output."""
    sides = tuple(-(-side // 2) for side in space.input_shape[1:])
    stem = math.prod(sides)
    groups: list[Group] = []
    ends, positions, stage = [0], [stem], 0
    for t, stride in enumerate(space.strides):
        before = math.prod(sides)
        sides = tuple(-(-side // stride) for side in sides)
        after = math.prod(sides)
        if after != before:
            stage += 1
            ends.append(0)
            positions.append(after)
        ends[stage] = 4 * t + WIDTH
        groups.append(Group(stride, before, after, stage))
    weights = stage_weights(len(ends))
    stages = zip(ends, weights, positions, strict=True)
    return tuple(groups), tuple(ResolutionStage(end, a, math.log(size)) for end, a, size in stages), stem


def _table(rule: Callable[[int, int], bool], rows: tuple[int, ...], columns: tuple[int, ...]) -> Mask:
    return np.array([[rule(row, column) for column in columns] for row in rows])
