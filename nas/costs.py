"""Every figure of a network that is known without training it, recounted on the built network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from predictors.counts import count_network
from predictors.energy import energy_relative
from predictors.figures import FIGURES
from predictors.kernels import kernels
from predictors.latency import LatencyModel, network_latency_ms
from predictors.roofline import AnalyticEnergy
from search_spaces.network import Network

if TYPE_CHECKING:
    from predictors.tables import CostTables
    from search_spaces.compiled import CompiledSpace

Interval = tuple[float, float]


@dataclass(frozen=True)
class Costs:
    """Counted and predicted figures; `latency` and `energy` are `None` where they are not known or not wanted."""

    latency: LatencyModel | None = None
    energy: AnalyticEnergy | None = None

    def values(self, network: Network) -> dict[str, float]:
        """Figure name to value, in the figure's unit; what is not known is absent."""
        total = count_network(network).total
        values: dict[str, float] = {name: float(value) for name, value in total.items()}
        values["energy_relative"] = energy_relative(total["macs"], total["moved_elements"])
        if self.latency is not None:
            values["latency_ms"] = network_latency_ms(self.latency, network)
        if self.energy is not None:
            values["energy_mj"] = float(self.energy.predict_mj(kernels(network, fusion=self.energy.fusion)).sum())
        return values

    def tables(self, compiled: "CompiledSpace") -> "CostTables":
        """The same figures for whole populations of a compiled space."""
        from predictors.tables import CostTables

        return CostTables(compiled, latency=self.latency)

    @staticmethod
    def provenance() -> dict[str, str]:
        """How each figure of the project's table is known; figures of the user's own are not in it."""
        return {name: figure.kind for name, figure in FIGURES.items()}

    def intervals(self, values: Mapping[str, float], *, confidence: float = 0.9) -> dict[str, Interval]:
        """Intervals of the predicted figures, where they are known."""
        if self.latency is None or "latency_ms" not in values:
            return {}
        found = self.latency.interval(values["latency_ms"], confidence=confidence)
        return {} if found is None else {"latency_ms": found}
