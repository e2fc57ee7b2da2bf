"""Branch and bound: the most entropy that a space reaches within its budgets, and how far that may be from the best."""

import heapq
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from nas.search.exact.ascent import Ascent
from nas.search.exact.programme import DEPTH, WIDTH, Budgets, Floats, Ints, Programme
from nas.search.exact.relaxation import Box, Relaxation, Relaxed
from search_spaces.catalog.deepmad import BottleneckStages
from search_spaces.errors import NasError
from search_spaces.space import Architecture

ROOT_ROUNDS, ROUNDS = 60, 12
TANGENTS = 3
CLIMBS_AT_ROOT, CLIMB_EVERY = 6, 16
LEAST_GAP = 1e-9
NONE_VALID = "no architecture of this space is valid: its widths neither follow nor fit each other; offer more of them"
INWARD = 0.3
"""By how much a split moves from the average point towards the middle of the box."""
LITTLE = 0.05


@dataclass(frozen=True)
class Solution:
    """The best architecture found, its figures recounted on the built network, and what was proved.

    `bound` is an upper bound on the entropy of every architecture within the budgets; `gap` is bound / entropy - 1.
    `seconds` is processor time of one core; `boxes` were bounded.
    """

    architecture: Architecture
    figures: Mapping[str, float]
    bound: float
    seconds: float
    boxes: int

    @property
    def entropy(self) -> float:
        """The entropy reached (log-square-root form)."""
        return self.figures["entropy"]

    @property
    def gap(self) -> float:
        """By what share the best architecture may be better at most."""
        return self.bound / self.entropy - 1


@dataclass(frozen=True, slots=True)
class _Node:
    box: Box
    relaxed: Relaxed
    tangent: float


def most_entropy(space: BottleneckStages, budgets: Budgets, *, gap: float = 0.0, seconds: float = math.inf) -> Solution:
    """Maximise DeepMAD's entropy within `budgets` until `gap` is proved or `seconds` of processor time are spent.

    Raises NasError when no architecture keeps the budgets, with the nearest values there are; the message says whether
    that is proved.
    """
    if not gap >= 0:
        raise NasError(f"gap must be at least 0, got {gap}")
    return _Search(Programme(space, budgets), gap, seconds).run()


class _Search:
    def __init__(self, programme: Programme, gap: float, seconds: float) -> None:
        self.programme = programme
        self.relaxation, self.ascent = Relaxation(programme), Ascent(programme)
        self._gap, self._end = gap, time.process_time() + seconds
        self._started = time.process_time()
        self._best = -math.inf
        self._point: Ints | None = None
        self._closest: Ints | None = None
        self._boxes = 0
        self._heap: list[tuple[float, int, _Node]] = []
        self._scale = 1.0

    def run(self) -> Solution:
        self._check()
        self._root()
        while self._heap and -self._heap[0][0] > self._enough() and time.process_time() < self._end:
            _, _, node = heapq.heappop(self._heap)
            self._expand(node)
        bound = max([self._best, *(-item[0] for item in self._heap[:1])])
        if self._point is None:
            raise self._impossible(proved=not self._heap)
        architecture = self.programme.architecture(self._point)
        figures = self.programme.recounted(architecture)
        seconds = time.process_time() - self._started
        return Solution(architecture, figures, max(bound, figures["entropy"]), seconds, self._boxes)

    def _enough(self) -> float:
        """Boxes with a bound of at most this need no more work."""
        return max(self._best * (1 + max(self._gap, LEAST_GAP)), 0.0)

    def _check(self) -> None:
        """Refuse budgets that are too small on their own."""
        for budget, name in enumerate(("macs", "params")):
            limit = self.programme.budgets.named[name]
            if not math.isfinite(limit):
                continue
            share, point = self.relaxation.least(budget)
            if math.isinf(share):
                raise NasError(NONE_VALID)
            if share > 1 + LEAST_GAP:
                raise NasError(
                    f"{name} may be at most {_short(limit)}, but the smallest that any architecture of the space "
                    f"reaches is {_short(share * limit)} ({self.programme.architecture(point).to_json()}). Raise the "
                    "limit to at least that value, or offer smaller options"
                )

    def _root(self) -> None:
        sizes = self.programme.sizes
        box = Box(np.zeros_like(sizes), sizes - 1)
        terms = self.relaxation.terms(box, 0.0)
        most, point = self.relaxation.maximise(box, terms, np.zeros(3), 1.0)
        if not math.isfinite(most):
            raise NasError(NONE_VALID)
        self._scale = most
        tangent = 0.5 * float(self.programme.scores(point[None]).depth[0])
        prices = np.array([0.2 * most, 0.2 * most, 0.0])
        widest = np.array([100 * most, 100 * most, 100 * float(terms.factors[0])])
        for _ in range(TANGENTS):
            relaxed = self._bounded(box, prices, tangent, widest, ROOT_ROUNDS)
            prices = relaxed.prices
            tangent = self._mean_depth(relaxed)
            widest = np.array([most, most, float(terms.factors[0])])
            for point in self._starts(box, relaxed)[:CLIMBS_AT_ROOT]:
                self._climb(point)
        self._push(_Node(box, relaxed, tangent), math.inf)

    def _bounded(self, box: Box, prices: Floats, tangent: float, widest: Floats, rounds: int) -> Relaxed:
        self._boxes += 1
        return self.relaxation.bound(
            box,
            prices,
            least=max(self._best, 0.0),
            enough=self._enough(),
            tangent=tangent,
            rounds=rounds,
            widest=widest,
        )

    def _expand(self, node: _Node) -> None:
        """Split a box in two, bound both, and keep those that may hold something better."""
        parts = self._split(node)
        widest = 0.02 * self._scale * np.array([1.0, 1.0, 1 / 500])
        for box in parts:
            if box.single:
                self._try(box.low)
                continue
            relaxed = self._bounded(box, node.relaxed.prices, node.tangent, widest, ROUNDS)
            if relaxed.bound <= max(self._best * (1 + LEAST_GAP), 0.0):
                continue
            if self._boxes % CLIMB_EVERY == 0 or self._point is None:
                self._climb(self._starts(box, relaxed)[0])
            self._push(_Node(box, relaxed, self._mean_depth(relaxed)), node.relaxed.bound)

    def _push(self, node: _Node, above: float) -> None:
        bound = min(node.relaxed.bound, above)
        if bound > max(self._best * (1 + LEAST_GAP), 0.0):
            heapq.heappush(self._heap, (-bound, self._boxes, node))

    def _mean_depth(self, relaxed: Relaxed) -> float:
        depths = self.programme.scores(relaxed.points).depth
        return float(relaxed.weights @ depths) if relaxed.weights.sum() > 0 else float(depths.mean())

    def _starts(self, box: Box, relaxed: Relaxed) -> list[Ints]:
        """The rounded average of what proves the bound, then its points by weight."""
        order = np.argsort(-relaxed.weights, kind="stable")
        average = np.clip(np.rint(relaxed.weights @ relaxed.points).astype(np.int64), box.low, box.high)
        return [average, *(relaxed.points[i] for i in order if relaxed.weights[i] > 0)]

    def _climb(self, point: Ints) -> None:
        reached, _ = self.ascent.climb(point)
        self._try(reached)

    def _try(self, point: Ints) -> None:
        scores = self.programme.scores(point[None])
        if self.programme.feasible(scores)[0]:
            if scores.entropy[0] > self._best:
                self._best, self._point = float(scores.entropy[0]), point
        elif scores.valid[0]:
            rivals = point[None] if self._closest is None else np.stack([point, self._closest])
            self._closest = rivals[int(self.programme.excess(self.programme.scores(rivals)).argmin())]

    def _split(self, node: _Node) -> tuple[Box, Box]:
        """Two halves along the variable that loosens the bound most."""
        box, relaxed, programme = node.box, node.relaxed, self.programme
        points = relaxed.points
        weights = relaxed.weights if relaxed.weights.sum() > 0 else np.full(len(points), 1 / len(points))
        logs = np.stack([values[points[:, v]] for v, values in enumerate(programme.logs)], axis=1)
        means = weights @ logs
        losses = self._mixing(box, points, weights, logs - means)
        terms = self.relaxation.terms(box, max(self._best, 0.0))
        layer_entropy = programme.layer_entropies(points)
        for s, stage in enumerate(programme.stages):
            shares = stage.weight / 2 * layer_entropy[:, s] - terms.slopes[s]
            narrower = terms.tops[s] - logs[:, stage.variable]
            losses[stage.variable] += float(weights @ (narrower * np.maximum(shares, 0)))
        losses = np.where(box.high > box.low, losses, -1)
        chosen = int(losses.argmax())
        if losses[chosen] <= 0:
            chosen = int((box.high - box.low).argmax())
        values = programme.logs[chosen]
        middle = (values[box.low[chosen]] + values[box.high[chosen]]) / 2
        cut = (1 - INWARD) * means[chosen] + INWARD * middle
        last = int(np.clip(np.searchsorted(values, cut, side="right") - 1, box.low[chosen], box.high[chosen] - 1))
        left, right = box.high.copy(), box.low.copy()
        left[chosen], right[chosen] = last, last + 1
        return Box(box.low, left), Box(right, box.high)

    def _mixing(self, box: Box, points: Ints, weights: Floats, deviations: Floats) -> Floats:
        """[n_variables] about how much the bound gains from averaging points that differ in a variable.

        Entropy is concave in the widths' logarithms, so averaging gains half their variance times the blocks that have
        them; depth adds the product of its own deviation and theirs, and a little so that it is split in the end.
        """
        programme = self.programme
        factors = self.relaxation.terms(box, 0.0).factors
        variances = weights @ deviations**2
        found = np.zeros(len(programme.sizes))
        for t, group in enumerate(programme.groups):
            w = programme.width_variable(t)
            depths = programme.options[w + DEPTH - WIDTH][points[:, w + DEPTH - WIDTH]]
            blocks, factor = float(weights @ depths), factors[group.stage]
            counts = np.array([1, 2, 2]) * factor
            inner = slice(w, w + DEPTH - WIDTH)
            found[inner] = counts * blocks / 2 * variances[inner]
            spread = float(weights @ np.abs(depths - blocks))
            found[w + DEPTH - WIDTH] = spread * float(counts @ np.sqrt(variances[inner]) / 2 + LITTLE * factor)
        found[0] = factors[0] * variances[0] / 2
        return found

    def _impossible(self, *, proved: bool) -> NasError:
        limits = ", ".join(f"{n} {_short(v)}" for n, v in self.programme.budgets.named.items() if math.isfinite(v))
        closest = self._closest if self._closest is not None else np.zeros_like(self.programme.sizes)
        scores = self.programme.scores(closest[None])
        reached = ", ".join(
            f"{name} {_short(float(getattr(scores, name)[0]))}" for name in self.programme.budgets.named
        )
        said = "no architecture of the space keeps" if proved else "no architecture was found that keeps"
        architecture = self.programme.architecture(closest).to_json()
        return NasError(
            f"{said} the limits {limits}; the closest one found has {reached} ({architecture}). Raise the limits to "
            "these values, offer smaller options, or fewer blocks"
        )


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
