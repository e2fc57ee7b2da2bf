"""Recomputed activations: the same gradients as plain autograd, the memory that is predicted."""

from typing import Any

import pytest
import torch

from benchmarks.reversible_memory import kept_bytes
from nas.modules import NetworkModule
from nas.supernet.weights import Supernet
from predictors.counts import count_network
from predictors.tables import CostTables, compile_for_costs
from search_spaces import NetworkBuilder
from search_spaces.blocks.reversible import coupled, mbconv_branch
from search_spaces.builder import Tensor as Handle
from search_spaces.catalog import reversible_unet
from search_spaces.network import Network

SPATIAL = (8, 6, 8)


def stack(depth: int, *, recompute: bool, spatial: tuple[int, ...] = SPATIAL) -> Network:
    """`depth` couplings of expansion 4 on 16 channels, fed by two convolutions."""

    def branch(net: NetworkBuilder, x: Handle, name: str) -> Handle:
        return mbconv_branch(net, x, norm_groups=4, name=name)

    net = NetworkBuilder(lambda name, options: options[0])
    x = net.input(16, *spatial)
    halves = net.conv(x, 8, kernel=1, name="left"), net.conv(x, 8, kernel=1, name="right")
    return net.finish(net.concat(*coupled(net, *halves, branch, depth=depth, recompute=recompute, name="stack")))


def modules(depth: int, **options: Any) -> tuple[NetworkModule, NetworkModule]:
    """The same weights without and with recomputation, no scale at zero."""
    plain, anew = (NetworkModule(stack(depth, recompute=r, **options), seed=1) for r in (False, True))
    with torch.no_grad():
        generator = torch.Generator().manual_seed(2)
        for parameter in plain.parameters():
            if parameter.ndim == 1:
                parameter.uniform_(0.5, 1.5, generator=generator)
    anew.load_weights(plain.weights())
    return plain, anew


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_gradients_equal_plain_autograd(depth: int) -> None:
    plain, anew = (module.double() for module in modules(depth))
    x = torch.randn(2, 16, *SPATIAL, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = []
    for module in (plain, anew):
        given = x.clone().requires_grad_()
        output = module(given)
        output.pow(3).sum().backward()
        found.append([output.detach(), given.grad, *(p.grad for p in module.parameters())])
    for mine, theirs in zip(*found, strict=True):
        assert float((mine - theirs).abs().max() / theirs.abs().max()) < 1e-9


def test_saved_bytes_are_eighteen_times_less_per_block_and_predicted() -> None:
    given = 16 * 8 * 6 * 8 * 4
    x = torch.randn(1, 16, *SPATIAL)
    for depth in (1, 2, 4):
        measured, predicted = [], []
        for module in modules(depth):
            measured.append(kept_bytes(module, x) - given)
            predicted.append(count_network(module.network).total["training_memory_bytes"] - given)
        for found, foretold in zip(measured, predicted, strict=True):
            assert foretold == pytest.approx(found, rel=0.02)
        assert measured[0] / measured[1] == pytest.approx(18 * depth, rel=0.02)


def test_reversible_networks_train_in_bfloat16_and_with_frozen_weights() -> None:
    plain, anew = modules(3)
    for module in (plain, anew):
        module.get_parameter("stack.block1.f.expand.conv.weight").requires_grad_(False)
    x = torch.randn(2, 16, *SPATIAL, generator=torch.Generator().manual_seed(0))
    grads = []
    for module in (plain, anew):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            output = module(x)
        output.float().pow(2).mean().backward()
        assert module.get_parameter("stack.block1.f.expand.conv.weight").grad is None
        grads.append(module.get_parameter("left.weight").grad)
    assert float((grads[0] - grads[1]).norm() / grads[0].norm()) < 0.05


def test_tables_know_the_memory_of_both() -> None:
    space = reversible_unet((1, 8, 8, 8), 3, widths=((8, 16), (16, 24)), depths=(1, 3), decoder_depths=(1,))
    tables = CostTables(compile_for_costs(space))
    picks = {"level0.width": 16, "down0.depth": 3}
    found = [tables.plain(space.build(space.repair({**picks, "reversible": r}))) for r in (False, True)]
    assert found[1]["training_memory_bytes"] < 0.35 * found[0]["training_memory_bytes"]
    assert {name for name in found[0] if found[0][name] != found[1][name]} == {"training_memory_bytes"}


def test_both_share_the_weights_of_a_supernet() -> None:
    space = reversible_unet((1, 8, 8), 2, widths=((8, 16), (16,)), depths=(1, 2), decoder_depths=(1,))
    small, large = ({"level0.width": 8}, {"level0.width": 16, "down0.depth": 2, "down0.kernel": 5})
    networks = [space.build(space.repair({**p, "reversible": r})) for p in (small, large) for r in (False, True)]
    supernet = Supernet.of_networks(networks).to(torch.float64)
    x = torch.randn(2, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    grads = []
    for network in networks:
        for tensor in supernet.tensors.values():
            tensor.grad = None
        supernet.forward(x, network)["output"].pow(2).sum().backward()
        grads.append({name: tensor.grad for name, tensor in supernet.tensors.items()})
    for kept, anew in (grads[:2], grads[2:]):
        for name, grad in kept.items():
            assert (grad is None) == (anew[name] is None)
            if grad is not None:
                torch.testing.assert_close(anew[name], grad, rtol=1e-9, atol=1e-12)
