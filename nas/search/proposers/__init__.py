"""Proposers: small objects that say what to evaluate next."""

from collections.abc import Callable

from nas.search.domain import Domain
from nas.search.proposers.base import Proposer
from nas.search.proposers.evolution import Evolution
from nas.search.proposers.exact import Exact
from nas.search.proposers.exhaustive import Exhaustive
from nas.search.proposers.local import LocalSearch
from nas.search.proposers.nsga2 import Nsga2
from nas.search.proposers.nsga3 import Nsga3
from nas.search.proposers.sampler import gp, tpe
from nas.search.proposers.surrogate import Surrogate
from nas.search.proposers.uniform import Uniform
from search_spaces.errors import unknown_name

PROPOSERS: dict[str, Callable[[Domain], Proposer]] = {
    "surrogate": Surrogate,
    "nsga2": Nsga2,
    "nsga3": Nsga3,
    "evolution": Evolution,
    "local": LocalSearch,
    "tpe": tpe,
    "gp": gp,
    "exact": Exact,
    "exhaustive": Exhaustive,
    "random": Uniform,
}
DEFAULT = "surrogate"

__all__ = ["DEFAULT", "PROPOSERS", "Proposer", "proposer"]


def proposer(name: str, domain: Domain) -> Proposer:
    """The proposer called `name` for `domain`; NasError with the near matches when there is none."""
    if name not in PROPOSERS:
        raise unknown_name("proposer", name, PROPOSERS)
    return PROPOSERS[name](domain)
