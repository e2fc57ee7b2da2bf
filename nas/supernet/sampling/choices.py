"""Uniform over choices: what a space's own sampling gives."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from nas.supernet.subnets import Subnet, Subnets


@dataclass(frozen=True)
class UniformChoices:
    """Every choice uniform over what it offers; networks in the middle of the costs are drawn most."""

    subnets: Subnets

    @property
    def listens(self) -> bool:
        """No."""
        return False

    def draw(self, rng: np.random.Generator) -> Subnet:
        """A random subnet."""
        coded = self.subnets.coded
        if coded is None:
            return Subnet(self.subnets.draw(rng))
        return coded.subnet(coded.compiled.sample(rng, 1)[0])

    def heard(self, subnet: Subnet, gap: float) -> None:
        """Nothing is learnt."""

    def state(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Nothing to take over."""
