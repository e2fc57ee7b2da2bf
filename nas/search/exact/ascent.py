"""Local search over points of a programme: from what a bound suggests to a good point that keeps the budgets."""

import numpy as np

from nas.search.exact.programme import BOTTLENECK, DEPTH, KERNEL, WIDTH, Floats, Ints, Programme

STEPS = {
    0: (-1, 1),
    WIDTH: (-8, -4, -2, -1, 1, 2, 4, 8),
    BOTTLENECK: (-4, -2, -1, 1, 2, 4),
    KERNEL: (-1, 1),
    DEPTH: (-2, -1, 1, 2),
}
MOST_STEPS = 200
FIRST_PRICE, RAISES = 2.0, 3
"""What a whole budget costs in multiples of the entropy at hand, and how often that is raised tenfold."""


class Ascent:
    """Climbs by changing one or two variables at a time."""

    def __init__(self, programme: Programme) -> None:
        self.programme = programme
        kinds = [0 if v == 0 else (v - 1) % 4 + 1 for v in range(len(programme.sizes))]
        singles = [(v, step) for v, kind in enumerate(kinds) for step in STEPS[kind] if abs(step) < programme.sizes[v]]
        moves = np.zeros((len(singles), len(kinds)), dtype=np.int64)
        for row, (v, step) in zip(moves, singles, strict=True):
            row[v] = step
        first, second = np.triu_indices(len(singles), 1)
        apart = np.array([v for v, _ in singles], dtype=np.int64)
        different = apart[first] != apart[second]
        self._moves: Ints = np.concatenate([moves, moves[first[different]] + moves[second[different]]])

    def climb(self, point: Ints) -> tuple[Ints, float]:
        """The point [n_variables] reached, and its entropy; minus infinity where it does not keep the budgets."""
        price = FIRST_PRICE * float(self.programme.scores(point[None]).entropy[0])
        for _ in range(RAISES):
            point = self._climb(point, price)
            scores = self.programme.scores(point[None])
            if self.programme.feasible(scores)[0]:
                return point, float(scores.entropy[0])
            price *= 10
        return point, -np.inf

    def _climb(self, point: Ints, price: float) -> Ints:
        worth = float(self._worth(point[None], price)[0])
        for _ in range(MOST_STEPS):
            near = point + self._moves
            near = near[((near >= 0) & (near < self.programme.sizes)).all(1)]
            if len(near) == 0:
                break
            values = self._worth(near, price)
            best = int(values.argmax())
            if not values[best] > worth:
                break
            point, worth = near[best], float(values[best])
        return point

    def _worth(self, points: Ints, price: float) -> Floats:
        """[n] entropy less what the budgets are overdrawn, as shares of them, at `price`."""
        scores = self.programme.scores(points)
        return np.where(scores.valid, scores.entropy - price * self.programme.excess(scores), -np.inf)
