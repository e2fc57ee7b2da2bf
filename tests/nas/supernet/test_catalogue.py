"""Catalogue spaces of published networks: elastic in the supernet, and exported as they are there."""

import types
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
import torch

from nas.export.load import fill
from nas.export.source import model_source
from nas.modules import execute
from nas.supernet.calibrate import calibrate, with_statistics
from nas.supernet.shapes import shared_shapes
from nas.supernet.weights import Supernet
from predictors.tables import CostTables, compile_for_costs
from search_spaces.blocks.omni_scale import INSTANCE_NORMS
from search_spaces.catalog import convnext, efficientnet, inceptionnext, osnet, resnet, unireplknet, vovnet
from search_spaces.compiled import CompiledSpace
from search_spaces.space import SearchSpace

IMAGE = (3, 16, 16)
FEW = {"width_multipliers": (0.125, 0.25), "fewer_blocks": (2,)}
SPACES: dict[str, Callable[[], SearchSpace]] = {
    "osnet": lambda: osnet(
        IMAGE, 5, width_multipliers=(0.125, 0.25), streams=(1, 3), instance_norms=INSTANCE_NORMS, features=16
    ),
    "vovnet": lambda: vovnet(IMAGE, 4, layers=27, width_multipliers=(0.125, 0.25), block_layers=(2, 3), kernels=(1, 3)),
    "convnext": lambda: convnext(IMAGE, 4, kernels=(3, 7), group_sizes=(1, 4), expands=(2,), **FEW),
    "inceptionnext": lambda: inceptionnext(
        IMAGE,
        4,
        variant="atto",
        width_multipliers=(0.2, 0.4),
        fewer_blocks=(1,),
        bands=(5, 9),
        branch_ratios=(0.125, 0.25),
    ),
    "unireplknet": lambda: unireplknet(IMAGE, 4, width_multipliers=(0.2, 0.4), fewer_blocks=(1,), kernels=(7, 13)),
    "efficientnet": lambda: efficientnet(
        IMAGE, 4, width_multipliers=(0.5, 1.0), fewer_blocks=(1, 0), kernels=(3, 5), expands=(2,)
    ),
    "gated resnet": lambda: resnet(
        IMAGE, 4, width_multipliers=(0.125, 0.25), depth_reductions=(2, 1), attentions=(False, True)
    ),
}


@cache
def compiled_once(name: str) -> CompiledSpace:
    return compile_for_costs(SPACES[name]())


@pytest.mark.parametrize("name", SPACES)
def test_exported_networks_equal_the_supernet(name: str, rng: np.random.Generator) -> None:
    compiled = compiled_once(name)
    space = compiled.space
    supernet = Supernet(shared_shapes(compiled.weight_uses)).to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    for row in compiled.sample(rng, 3):
        network = space.build(compiled.decode(row))
        x = torch.randn(3, *network.input.shape, generator=generator, dtype=torch.float64)
        statistics = calibrate(network, supernet.weights_for(network), [(x, x)])
        source = model_source(network)
        module = types.ModuleType("model")
        exec(compile(source.text, "model.py", "exec"), module.__dict__)
        model = module.Network().double().eval()
        fill(model, source, network, supernet.extract(network, statistics))
        with torch.no_grad():
            ready = with_statistics(supernet.weights_for(network), statistics)
            (wanted,) = execute(network, ready, x).values()
            assert float((model(x) - wanted).abs().max()) <= 1e-10 * float(wanted.abs().max())


@pytest.mark.parametrize("name", SPACES)
def test_cost_tables_equal_the_plain_path(name: str, rng: np.random.Generator) -> None:
    tables = CostTables(compiled_once(name), check=0)
    rows = tables.compiled.sample(rng, 10)
    found = tables.score(rows)
    for i, row in enumerate(rows):
        plain = tables.plain(tables.compiled.space.build(tables.compiled.decode(row)))
        assert {figure: values[i] for figure, values in found.items()} == plain
