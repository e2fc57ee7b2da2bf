"""Which random subnets training sees: one small file per sampling rule."""

from collections.abc import Callable, Mapping

from nas.supernet.sampling.attention import Attention
from nas.supernet.sampling.base import Sampler
from nas.supernet.sampling.choices import UniformChoices
from nas.supernet.sampling.cost import UniformCost
from nas.supernet.sampling.shift import ShiftToUntrained
from nas.supernet.subnets import Coded, Subnets
from search_spaces.errors import NasError, unknown_name

__all__ = ["SAMPLERS", "Sampler", "coded_of", "make_sampler"]

SAMPLERS: Mapping[str, Callable[[Subnets, int], Sampler]] = {
    "choices": lambda subnets, bins: UniformChoices(subnets),
    "cost": lambda subnets, bins: UniformCost(coded_of(subnets)),
    "shift": lambda subnets, bins: ShiftToUntrained(coded_of(subnets), bins=bins),
    "best_up": lambda subnets, bins: Attention(coded_of(subnets), best=True),
    "worst_up": lambda subnets, bins: Attention(coded_of(subnets), best=False),
}
"""By the name in a recipe."""


def make_sampler(name: str, subnets: Subnets, *, bins: int = 5) -> Sampler:
    """The sampling rule `name`; `NasError` for one that is not known, or needs a compiled space that is not there."""
    if name not in SAMPLERS:
        raise unknown_name("sampling rule", name, SAMPLERS)
    return SAMPLERS[name](subnets, bins)


def coded_of(subnets: Subnets) -> Coded:
    """The compiled space behind `subnets`; `NasError` where there is none."""
    if subnets.coded is None:
        raise NasError("this way of training needs the compiled space: give Subnets its `coded`")
    return subnets.coded
