"""Attention to the front (AttentiveNAS, Wang et al. 2021): of several candidates of one cost, the best or the worst."""

from collections import deque
from typing import Any

import numpy as np

from nas.supernet.sampling.cost import aimed
from nas.supernet.subnets import Coded, Floats, Subnet
from search_spaces.compile_lookup import Rows

CANDIDATES = 8
CHANGED = 0.2
SAME_COST = 0.05
REMEMBERED = 256
ENOUGH = 32
RIDGE = 10.0


class Attention:
    """Draws MACs uniformly, and of some candidates with about these MACs the one expected to lose least or most.

    Expected losses are a ridge regression over one-hot choices, fitted to the last `REMEMBERED` losses heard. With
    `best` training attends to the front that is looked for, else to what lags furthest behind it.
    """

    def __init__(self, coded: Coded, *, best: bool) -> None:
        self.coded = coded
        self.best = best
        self._seen: deque[tuple[list[int], float]] = deque(maxlen=REMEMBERED)
        self._fitted: Floats | None = None
        sizes = [len(slot.options) for slot in coded.compiled.slots]
        self._offsets = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
        self._width = sum(sizes)

    @property
    def listens(self) -> bool:
        """Yes."""
        return True

    def draw(self, rng: np.random.Generator) -> Subnet:
        """A random subnet; one out of a single candidate until enough has been heard."""
        wanted = float(rng.uniform(*self.coded.ends))
        row = aimed(self.coded, rng, wanted)
        if len(self._seen) < ENOUGH:
            return self.coded.subnet(row)
        candidates = self._alike(row, rng)
        expected = self._features(candidates) @ self._coefficients()
        return self.coded.subnet(candidates[int(expected.argmin() if self.best else expected.argmax())])

    def _alike(self, row: Rows, rng: np.random.Generator) -> Rows:
        """`row`, and changed ones whose MACs are within 5 % of its own: at most `CANDIDATES` in all."""
        others = self.coded.compiled.sample(rng, 4 * CANDIDATES)
        changed = np.where(rng.random(others.shape) < CHANGED, others, row)
        changed = self.coded.compiled.repair(changed)
        macs = self.coded.macs(np.concatenate([row[None], changed]))
        same = np.abs(macs[1:] / macs[0] - 1) <= SAME_COST
        return np.asarray(np.concatenate([row[None], changed[same][: CANDIDATES - 1]]))

    def _features(self, rows: Rows) -> Floats:
        found = np.zeros((len(rows), self._width))
        found[np.arange(len(rows))[:, None], rows.astype(np.int64) + self._offsets] = 1.0
        return found

    def _coefficients(self) -> Floats:
        if self._fitted is None:
            rows, gaps = zip(*self._seen, strict=True)
            features = self._features(np.asarray(rows, np.int16))
            centred = np.asarray(gaps) - np.mean(gaps)
            gram = features.T @ features + RIDGE * np.eye(self._width)
            self._fitted = np.linalg.solve(gram, features.T @ centred)
        return self._fitted

    def heard(self, subnet: Subnet, gap: float) -> None:
        """Remember the loss."""
        if subnet.row is not None:
            self._seen.append((subnet.row.tolist(), gap))
            self._fitted = None

    def state(self) -> dict[str, Any]:
        """The losses remembered."""
        return {"seen": [[row, gap] for row, gap in self._seen]}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over the losses remembered."""
        self._seen = deque(((list(row), gap) for row, gap in state["seen"]), maxlen=REMEMBERED)
        self._fitted = None
