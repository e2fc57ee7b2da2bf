"""Exported reversible networks: trained as the project trains them, with as little memory."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nas.modules import NetworkModule
from search_spaces.catalog import reversible_unet


def kept(module: torch.nn.Module, x: Tensor) -> int:
    """Elements that autograd keeps of a forward pass, parameters left out, each storage once."""
    known = {parameter.untyped_storage().data_ptr() for parameter in module.parameters()}
    found: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in known:
            found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module(x)
    del output
    return sum(found.values())


def test_exports_recompute_and_train_alike(random_weights: Callable[..., Any], written: Callable[..., Any]) -> None:
    space = reversible_unet((1, 8, 8, 8), 3, widths=((8, 16), (16, 24)), depths=(1, 2, 3))
    picks = {"reversible": True, "level0.width": 16, "down0.depth": 3, "down1.depth": 2}
    network = space.build(space.repair(picks))
    weights = random_weights(network)
    source, model = written(network, weights)
    assert "class ReversibleStack(Reversible)" in source.text
    mine = NetworkModule(network).double()
    mine.load_weights(weights)
    x = torch.randn(2, 1, 8, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for module in (mine, model):
        module.train()(x).square().sum().backward()
    theirs = dict(model.named_parameters())
    for path, tensors in mine.weights().items():
        for name, tensor in tensors.items():
            assert torch.allclose(tensor.grad, theirs[f"{source.modules[path]}.{name}"].grad, rtol=1e-8, atol=1e-10)
    assert kept(model, x) == pytest.approx(kept(mine, x), rel=0.01)
