"""A space of operator kinds of which one is needed: bars cannot be told apart without looking at neighbours."""

from functools import cache

import numpy as np

from nas.supernet.subnets import Coded, Subnets
from predictors.tables import CostTables, compile_for_costs
from search_spaces.blocks import classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder, Pick, Tensor
from search_spaces.network import Network
from search_spaces.space import SearchSpace


def kinds(net: NetworkBuilder, pick: Pick) -> Tensor:
    """Two layers: nothing, a convolution that sees one place, or one that sees its neighbours."""
    x = conv_norm_act(net, net.input(1, 8, 8), 8, kernel=1, name="stem")
    for i in range(2):
        kind = pick(f"layer{i}.kind", ("none", "point", "wide"))
        if kind != "none":
            x = conv_norm_act(net, x, 8, kernel=3 if kind == "wide" else 1, name=f"layer{i}")
    return classifier(net, x, 3)


@cache
def kinds_subnets() -> Subnets:
    """The ends of the space, and how it is coded."""
    tables = CostTables(compile_for_costs(SearchSpace(kinds)), check=0)
    ends = [tables.extreme(largest=largest) for largest in (False, True)]
    coded = Coded.of(tables, largest=ends[1])
    smallest, largest = (coded.subnet(row).network for row in ends)

    def draw(rng: np.random.Generator) -> Network:
        return coded.subnet(coded.compiled.sample(rng, 1)[0]).network

    return Subnets(largest, smallest, draw(np.random.default_rng(0)), draw, coded)
