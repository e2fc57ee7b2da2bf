"""A learnable shift towards under-trained costs (ShiftNAS, Zhang et al. 2023)."""

from typing import Any

import numpy as np

from nas.supernet.sampling.cost import aimed
from nas.supernet.subnets import Coded, Floats, Subnet

MEMORY = 0.9
MOST_RATIO = 3.0


class ShiftToUntrained:
    """Draws a bin of MACs by learnt probabilities, then MACs uniformly inside of it.

    p_b is proportional to exp(beta x_b), x_b a moving average of how much the loss of the bin's subnets still falls
    from visit to visit, in units of its mean size over bins: what improves fast is under-trained. It is bounded so that
    no bin is drawn more than three times as often as another. The paper's formulas are not published; this is a
    reconstruction, with a walk along the compiled space (`aimed`) in place of its learnt generator.
    """

    def __init__(self, coded: Coded, *, bins: int = 5) -> None:
        self.coded = coded
        self.bins = bins
        self._level: list[float | None] = [None] * bins
        self._falling = [0.0] * bins

    @property
    def listens(self) -> bool:
        """Yes."""
        return True

    @property
    def probabilities(self) -> Floats:
        """Of the bins `[bins]`, from the fewest MACs to the most."""
        falling = np.asarray(self._falling)
        size = float(np.abs(falling).mean())
        units = np.zeros(self.bins) if size == 0 else np.clip(falling / size, -1.0, 1.0)
        weights = MOST_RATIO ** (units / 2)
        return np.asarray(weights / weights.sum())

    def draw(self, rng: np.random.Generator) -> Subnet:
        """A random subnet of a random bin."""
        low, high = self.coded.ends
        position = int(rng.choice(self.bins, p=self.probabilities)) + rng.random()
        return self.coded.subnet(aimed(self.coded, rng, low + (high - low) * position / self.bins))

    def bin_of(self, macs: float) -> int:
        """The bin of some MACs."""
        low, high = self.coded.ends
        return min(self.bins - 1, int(self.bins * (macs - low) / max(1.0, high - low)))

    def heard(self, subnet: Subnet, gap: float) -> None:
        """Move the bin's level, and by how much it falls."""
        if subnet.row is None:
            return
        here = self.bin_of(float(self.coded.macs(subnet.row[None])[0]))
        level = self._level[here]
        if level is None:
            self._level[here] = gap
            return
        self._falling[here] = MEMORY * self._falling[here] + (1 - MEMORY) * (level - gap)
        self._level[here] = MEMORY * level + (1 - MEMORY) * gap

    def state(self) -> dict[str, Any]:
        """Level and fall per bin."""
        return {"level": list(self._level), "falling": list(self._falling)}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over levels and falls."""
        self._level, self._falling = list(state["level"]), list(state["falling"])
