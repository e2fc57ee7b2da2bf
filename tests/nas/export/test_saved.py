"""What is counted as kept for the backward pass is what autograd keeps of the exported module."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from predictors.counts import count_network
from search_spaces.blocks import classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder
from search_spaces.catalog import mobile, resnet
from search_spaces.network import Network


def saved_bytes(model: torch.nn.Module, shape: tuple[int, ...], batch: int) -> int:
    """Bytes of storages, weights left out, that autograd keeps for the backward pass of a batch."""
    known = {tensor.untyped_storage().data_ptr() for tensor in [*model.parameters(), *model.buffers()]}
    kept: dict[int, int] = {}
    alive = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            kept[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        outputs = model(torch.randn(batch, *shape))
    del outputs
    return sum(kept.values())


def check(network: Network, written: Callable[..., Any]) -> None:
    """Kept bytes are a + b x batch (statistics, activations), so one sample is 2 (a + 2 b) - (a + 3 b)."""
    model = written(network)[1].train()
    two, three = (saved_bytes(model, network.input.shape, batch) for batch in (2, 3))
    assert count_network(network).total["training_memory_bytes"] == 2 * two - three


@pytest.mark.parametrize("act", ["relu", "hard_swish", "silu", "gelu"])
def test_random_mobile_networks(act: str, written: Callable[..., Any], rng: np.random.Generator) -> None:
    space = mobile((3, 16, 16), 10, act=act, sparsities=(0.0,), se_ratio=0.25 if act == "silu" else 0.0)
    for _ in range(4):
        check(space.build(space.sample(rng)), written)


def test_a_residual_network_with_pooling(written: Callable[..., Any], rng: np.random.Generator) -> None:
    space = resnet((3, 64, 64), 10, layers=18, width_multipliers=(0.25,))
    check(space.build(space.sample(rng)), written)


def test_joined_branches(written: Callable[..., Any]) -> None:
    net = NetworkBuilder(lambda _name, options: options[0])
    x = conv_norm_act(net, net.input(3, 8, 8), 8, name="stem")
    y = net.concat(net.layer_norm(x), net.scale(x), net.pool(x, "average", kernel=3, stride=1, padding=1))
    check(net.finish(classifier(net, net.conv(y, 16, kernel=3), 5)), written)
