"""Every figure of a built network that needs no training: counted, and predicted where there are models."""

from predictors.counts import count_network
from predictors.energy import energy_relative
from predictors.latency import LatencyModel, network_latency_ms
from predictors.learned_energy import EnergyModel, network_energy_mj
from search_spaces.merging import merged
from search_spaces.network import Network


def models_by_figure(latency: LatencyModel | None, energy: EnergyModel | None) -> dict[str, LatencyModel | EnergyModel]:
    """The models that are there, by the name of the figure that each predicts."""
    found: dict[str, LatencyModel | EnergyModel] = {}
    if latency is not None:
        found["latency_ms"] = latency
    if energy is not None:
        found["energy_mj"] = energy
    return found


def network_costs(
    network: Network, *, latency: LatencyModel | None = None, energy: EnergyModel | None = None
) -> dict[str, float]:
    """Figure name to value, in the figure's unit; what no model is given for is absent.

    Of a network whose convolutions merge (`search_spaces.merging`), the figures are those of the merged one.
    """
    return costs_as_run(merged(network).network, latency=latency, energy=energy)


def costs_as_run(
    network: Network, *, latency: LatencyModel | None = None, energy: EnergyModel | None = None
) -> dict[str, float]:
    """The same of a network in the form it has."""
    total = count_network(network).total
    values = {name: float(value) for name, value in total.items()}
    values["energy_relative"] = energy_relative(total["macs"], total["moved_elements"])
    if latency is not None:
        values["latency_ms"] = network_latency_ms(latency, network)
    if energy is not None:
        values["energy_mj"] = network_energy_mj(energy, network)
    return values
