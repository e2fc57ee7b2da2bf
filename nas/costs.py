"""Every figure of a network that needs no training, recounted on the built network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predictors.costs import models_by_figure, network_costs
from predictors.figures import FIGURES
from predictors.latency import LatencyModel
from predictors.learned_energy import EnergyModel
from predictors.roofline import AnalyticEnergy, Roofline
from search_spaces.network import Network

if TYPE_CHECKING:
    from predictors.tables import CostTables
    from search_spaces.compiled import CompiledSpace

Interval = tuple[float, float]


@dataclass(frozen=True)
class Costs:
    """Counted and predicted figures; `latency` and `energy` are `None` where they are not known or not wanted."""

    latency: LatencyModel | None = None
    energy: EnergyModel | None = None

    def values(self, network: Network) -> dict[str, float]:
        """Figure name to value, in the figure's unit; what is not known is absent."""
        return network_costs(network, latency=self.latency, energy=self.energy)

    def tables(self, compiled: "CompiledSpace") -> "CostTables":
        """The same figures for whole populations of a compiled space."""
        from predictors.tables import CostTables

        return CostTables(compiled, latency=self.latency, energy=self.energy)

    @property
    def provenance(self) -> dict[str, str]:
        """How each figure of the project's table is known; figures of the user's own are not in it."""
        kinds: dict[str, str] = {name: figure.kind for name, figure in FIGURES.items()}
        if isinstance(self.latency, Roofline):
            kinds["latency_ms"] = "analytic"
        if isinstance(self.energy, AnalyticEnergy):
            kinds["energy_mj"] = "analytic"
        return kinds

    def intervals(self, values: Mapping[str, float], *, confidence: float = 0.9) -> dict[str, Interval]:
        """Intervals of the predicted figures, where they are known."""
        found = {
            figure: model.interval(values[figure], confidence=confidence)
            for figure, model in models_by_figure(self.latency, self.energy).items()
            if figure in values
        }
        return {figure: interval for figure, interval in found.items() if interval is not None}
