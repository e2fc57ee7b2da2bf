"""Slots of a coded space as parameters of Optuna."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from search_spaces.builder import Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution


def distributions(slots: Iterable[tuple[str, tuple[Value, ...]]]) -> dict[str, "BaseDistribution"]:
    """Per slot, given by name and options, the indices of its options: ordered where all are numbers."""
    from optuna.distributions import CategoricalDistribution, IntDistribution

    def of(options: tuple[Value, ...]) -> "BaseDistribution":
        if all(isinstance(option, (int, float)) and not isinstance(option, bool) for option in options):
            return IntDistribution(0, len(options) - 1)
        return CategoricalDistribution(tuple(range(len(options))))

    return {name: of(options) for name, options in slots}


def parameters_of(slots: Iterable[tuple[str, tuple[Value, ...]]]) -> Mapping[str, str]:
    """The same as Optuna writes them."""
    from optuna.distributions import distribution_to_json

    return {name: distribution_to_json(distribution) for name, distribution in distributions(slots).items()}
