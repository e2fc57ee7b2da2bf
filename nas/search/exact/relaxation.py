"""Upper bounds on the entropy inside a box of options: budgets are priced, what remains is solved exactly.

With prices on the budgets (Lagrangian multipliers) and the output widths' logarithms bounded, the programme falls apart
into a chain over stages, which dynamic programming over output widths solves for every width, bottleneck, kernel
and depth at once. Any prices give a valid bound; cutting planes look for the lowest (Kelley 1960). The product
log(C_s) E_s is bounded from above by the plane through its corners (McCormick 1976). The limit on effectiveness,
E >= D log(D / limit), is convex in D and replaced by its tangent at one depth.
"""

import math
from dataclasses import dataclass

import numpy as np

from nas.search.exact.programme import Floats, Ints, Mask, Programme, Scores

REACH = 2.0
"""How far, as a factor, prices may move from where they start in one box."""
CONVERGED, ROUGHLY = 2e-4, 1e-3
"""Shares of the bound that may be left to gain: where that may decide over the box, and where it cannot."""


@dataclass(frozen=True, slots=True)
class Box:
    """The first and last option index of every variable, each [n_variables]."""

    low: Ints
    high: Ints

    @property
    def single(self) -> bool:
        """Whether one point is left."""
        return bool((self.low == self.high).all())


@dataclass(frozen=True, slots=True)
class Relaxed:
    """A bound on the entropy, the prices that give it, and the points whose average proves it (weights sum to 1)."""

    bound: float
    prices: Floats
    points: Ints
    weights: Floats


@dataclass(frozen=True)
class Terms:
    """The entropy's upper plane in one box.

    factors: [n_stages] what E of the layers up to a stage's end is multiplied with, summed over later stages.
    slopes: [n_stages] what a smaller log(C_s) costs: its weight times the least E_s.
    tops: [n_stages] the largest log(C_s).
    """

    factors: Floats
    slopes: Floats
    tops: Floats


@dataclass(frozen=True)
class _Choices:
    """What one stage chose per output width: the way back through the chain.

    linked: [n_inputs, n_widths] value of what lies before. opening: [n_inputs, n_bottlenecks] price of the first
    convolution. inner: [n_widths] bottleneck and kernel in one number. depth: [n_widths].
    """

    linked: Floats
    opening: Floats
    inner: Ints
    depth: Ints


class Relaxation:
    """Bounds for one programme. Prices: [3] of a whole MAC budget, a whole parameter budget, and one unit of E."""

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        self._first_entropy = math.log(programme.stem_taps)
        limits = programme.budgets
        self._limited: Mask = np.isfinite([limits.macs, limits.params, limits.effectiveness])

    def terms(self, box: Box, least: float) -> Terms:
        """The upper plane for points of `box` whose entropy is at least `least`."""
        programme = self.programme
        tops = np.array([programme.logs[s.variable][box.high[s.variable]] for s in programme.stages])
        each = np.array([s.weight * (top + s.log_positions) for s, top in zip(programme.stages, tops, strict=True)]) / 2
        floors = programme.layer_entropies(box.low[None])[0]
        floors[-1] = max(floors[-1], least / each.sum())
        weights = np.array([s.weight for s in programme.stages]) / 2
        return Terms(each[::-1].cumsum()[::-1], weights * floors, tops)

    def maximise(self, box: Box, terms: Terms, prices: Floats, tangent: float) -> tuple[float, Ints]:
        """The largest priced entropy in `box` and its point; minus infinity where no point is valid."""
        programme, budgets = self.programme, self.programme.budgets
        macs, params = (
            price / limit if math.isfinite(limit) else 0.0
            for price, limit in zip(prices, (budgets.macs, budgets.params), strict=False)
        )
        log_slope = math.log(tangent / budgets.effectiveness) + 1 if self._limited[2] else 0.0
        unit = float(prices[2]) if self._limited[2] else 0.0
        taps = programme.stem_taps
        stem = programme.options[0][box.low[0] : box.high[0] + 1]
        value = -(macs * taps * programme.stem_positions + params * (taps + 2)) * stem
        value = value + self._slope(box, terms, 0)
        trail = []
        for t in range(len(programme.groups)):
            value, chosen = self._group(box, terms, value, t, (macs, params, unit, 3 * unit * log_slope))
            trail.append(chosen)
        last = programme.width_variable(len(programme.groups) - 1)
        widths = programme.options[last][box.low[last] : box.high[last] + 1]
        value = value - (macs + params) * programme.space.classes * widths
        best = int(value.argmax())
        constant = (terms.factors[0] + unit) * self._first_entropy + unit * (tangent - log_slope)
        constant += float(prices[:2].sum()) - params * programme.space.classes
        return float(value[best]) + constant, self._backtracked(box, trail, best)

    def least(self, budget: int) -> tuple[float, Ints]:
        """The smallest MACs (0) or parameters (1) of any valid point, as a share of the limited budget, and the point.

        Infinity where no point is valid.
        """
        sizes, stages = self.programme.sizes, len(self.programme.stages)
        nothing = Terms(np.zeros(stages), np.zeros(stages), np.zeros(stages))
        left, point = self.maximise(Box(np.zeros_like(sizes), sizes - 1), nothing, np.eye(3)[budget], 1.0)
        return 1 - left, point

    def _slope(self, box: Box, terms: Terms, variable: int) -> Floats:
        """What each width of `variable` costs for being narrower than the box allows."""
        logs = self.programme.logs[variable][box.low[variable] : box.high[variable] + 1]
        cost = np.zeros(len(logs))
        for stage, slope, top in zip(self.programme.stages, terms.slopes, terms.tops, strict=True):
            if stage.variable == variable:
                cost += slope * (logs - top)
        return cost

    def _group(
        self, box: Box, terms: Terms, value: Floats, t: int, prices: tuple[float, float, float, float]
    ) -> tuple[Floats, "_Choices"]:
        """Values by output width from values by input width; what was chosen, for the way back."""
        programme, group = self.programme, self.programme.groups[t]
        macs, params, unit, per_block = prices
        w, before = programme.width_variable(t), programme.width_variable(t - 1)
        spans = [slice(box.low[v], box.high[v] + 1) for v in range(len(box.low))]
        inputs, width, size, kernel = (programme.options[v][spans[v]] for v in (before, w, w + 1, w + 2))
        log_inputs, log_width, log_size, log_kernel = (programme.logs[v][spans[v]] for v in (before, w, w + 1, w + 2))
        gain = terms.factors[group.stage] + unit
        inward, outward = macs * group.in_positions + params, macs * group.out_positions + params

        joined = inputs[:, None] * width * outward + 2 * params * width
        if group.stride == 1:
            joined = np.where(inputs[:, None] == width, 0.0, joined)
        follows = programme.follows[t][spans[before], spans[w]]
        linked = np.where(follows, (value + gain * log_inputs)[:, None] - joined, -np.inf)
        opening = inward * inputs[:, None] * size
        best = (linked[:, None, :] - opening[:, :, None]).max(0)

        pairs, areas = outward * size[:, None] * width, outward * (size[:, None] * kernel) ** 2
        inside = 2 * gain * (log_size[:, None] + log_kernel)
        own = (inside - areas)[:, :, None] - (pairs + 2 * params * (2 * size[:, None] + width))[:, None, :] - per_block
        again = own + (gain * log_width - pairs)[:, None, :]
        fewest, most = programme.options[w + 3][[box.low[w + 3], box.high[w + 3]]]
        total = best[:, None, :] + own + (fewest - 1) * again + (most - fewest) * np.maximum(again, 0)
        total = np.where(programme.squeezes[spans[w + 1], spans[w]][:, None, :], total, -np.inf)
        flat = total.reshape(-1, len(width))
        inner = flat.argmax(0)
        columns = np.arange(len(width))
        deep = again.reshape(-1, len(width))[inner, columns] > 0
        depth = np.where(deep, box.high[w + 3], box.low[w + 3])
        return flat[inner, columns] + self._slope(box, terms, w), _Choices(linked, opening, inner, depth)

    def _backtracked(self, box: Box, trail: list[_Choices], column: int) -> Ints:
        point = box.low.copy()
        for t in reversed(range(len(trail))):
            chosen, w = trail[t], self.programme.width_variable(t)
            size, kernel = divmod(int(chosen.inner[column]), int(box.high[w + 2] - box.low[w + 2]) + 1)
            point[w : w + 4] = box.low[w] + column, box.low[w + 1] + size, box.low[w + 2] + kernel, chosen.depth[column]
            column = int((chosen.linked[:, column] - chosen.opening[:, size]).argmax())
        point[0] = box.low[0] + column
        return point

    def slack(self, scores: Scores, tangent: float) -> Floats:
        """[n, 3] what points leave of each budget, as the prices count it; negative where it is overdrawn."""
        budgets = self.programme.budgets
        left = np.zeros((len(scores.macs), 3))
        if self._limited[0]:
            left[:, 0] = 1 - scores.macs / budgets.macs
        if self._limited[1]:
            left[:, 1] = 1 - scores.params / budgets.params
        if self._limited[2]:
            log_slope = math.log(tangent / budgets.effectiveness) + 1
            left[:, 2] = scores.layer_entropy - log_slope * scores.depth + tangent
        return left

    def bound(
        self, box: Box, prices: Floats, *, least: float, enough: float, tangent: float, rounds: int, widest: Floats
    ) -> Relaxed:
        """A low upper bound on the entropy of points in `box` that keep the budgets and reach `least`.

        Starts at `prices`, which may move by a factor `REACH` and a share of `widest` [3]; ends when the bound is at
        most `enough`, has converged, or after `rounds` maximisations.
        """
        terms = self.terms(box, least)
        below = np.where(self._limited, np.maximum(0, prices / REACH - widest), 0)
        above = np.where(self._limited, prices * REACH + widest, 0)
        heights: list[float] = []
        slopes: list[Floats] = []
        points: list[Ints] = []
        best, best_prices = math.inf, prices
        weights = np.ones(1)
        tried = np.clip(prices, below, above)
        for step in range(rounds):
            value, point = self.maximise(box, terms, tried, tangent)
            if value < best:
                best, best_prices = value, tried
            if not math.isfinite(value):
                return Relaxed(-math.inf, tried, point[None], np.ones(1))
            slope = self.slack(self.programme.scores(point[None]), tangent)[0]
            heights.append(value - float(tried @ slope))
            slopes.append(slope)
            points.append(point)
            lowest, proposed, weights = _lowest(np.array(heights), np.array(slopes), below, above)
            close = CONVERGED if lowest <= enough else ROUGHLY
            if best <= enough or best - lowest <= close * abs(best):
                break
            mixing = 1.0 if step < 3 else 0.6
            tried = mixing * proposed + (1 - mixing) * best_prices
        return Relaxed(best, best_prices, np.array(points), weights)


def _lowest(heights: Floats, slopes: Floats, below: Floats, above: Floats) -> tuple[float, Floats, Floats]:
    """Minimum over prices of the largest cut, its prices, and the cuts' weights there."""
    from scipy.optimize import linprog

    count = len(heights)
    matrix = np.column_stack([-np.ones(count), slopes])
    spans = [(None, None), *zip(below, above, strict=True)]
    found = linprog([1.0, 0.0, 0.0, 0.0], A_ub=matrix, b_ub=-heights, bounds=spans, method="highs")
    if found.status != 0:
        return -math.inf, (below + above) / 2, np.full(count, 1 / count)
    weights = np.maximum(-found.ineqlin.marginals, 0)
    return float(found.x[0]), np.asarray(found.x[1:]), weights / max(weights.sum(), 1e-12)
