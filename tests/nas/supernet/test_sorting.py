"""Sorted channels: the largest network computes the same, and the first channels matter most."""

from collections.abc import Callable

import pytest
import torch

import search_spaces as ss
from nas.supernet.sorting import orders, sort_channels
from nas.supernet.weights import Supernet
from search_spaces.builder import NetworkBuilder, Pick, Tensor, Value
from search_spaces.network import Network
from tests.nas.supernet.spaces import SPACES


def ends(space: ss.SearchSpace) -> list[Network]:
    """The network of all last options, dense, and that of all first ones."""

    def last(name: str, options: tuple[Value, ...]) -> Value:
        return options[0] if 0.0 in options else options[-1]

    found = [space.trace(choose).network for choose in (last, lambda name, options: options[0])]
    return [network for network in found if network is not None]


def randomised(supernet: Supernet) -> Supernet:
    """Weights, norms included, that all differ."""
    generator = torch.Generator().manual_seed(1)
    for tensor in supernet.tensors.values():
        with torch.no_grad():
            tensor.copy_(torch.randn(tensor.shape, generator=generator))
    return supernet.to(torch.float64)


@pytest.mark.parametrize("name", list(SPACES))
def test_the_largest_network_computes_the_same(name: str) -> None:
    largest, *_ = networks = ends(SPACES[name])
    supernet = randomised(Supernet.of_networks(networks))
    images = torch.randn(3, *largest.input.shape, dtype=torch.float64)
    before = supernet.forward(images, largest)["output"]
    kept = {key: tensor.detach().clone() for key, tensor in supernet.tensors.items()}
    sort_channels(supernet, largest)
    torch.testing.assert_close(supernet.forward(images, largest)["output"], before, rtol=1e-9, atol=1e-9)
    if name in ("width", "kernel", "sparsity"):
        assert any(not torch.equal(kept[key], tensor) for key, tensor in supernet.tensors.items())


def residual(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = ss.conv_norm_act(net, net.input(3, 6, 6), pick("width", (4, 8)), name="stem")
    for i in range(2):
        x = ss.mbconv(net, x, x.channels, expand=pick("expand", (1, 3)), name=f"block{i}")
    return ss.classifier(net, x, 3)


def test_importance_falls_along_the_channels_and_followers_follow() -> None:
    networks = ends(ss.SearchSpace(residual))
    supernet = randomised(Supernet.of_networks(networks))
    momentum = {name: tensor.detach().clone() for name, tensor in supernet.tensors.items()}
    sort_channels(supernet, networks[0], (momentum,))
    sorted_axes = list(orders(networks[0], supernet.shapes, supernet.tensors))
    assert len(sorted_axes) == 3
    for order, _ in sorted_axes:
        assert order.tolist() == list(range(len(order)))
    assert all(torch.equal(momentum[name], tensor) for name, tensor in supernet.tensors.items())
    hidden = supernet.tensors["block0.project.conv.weight"].abs().flatten(2).sum((0, 2))
    assert bool((hidden[1:] <= hidden[:-1]).all())


def test_narrow_subnets_keep_what_matters() -> None:
    """A channel that nothing reads is the last one after sorting, so that narrower subnets lose nothing by it."""
    networks = ends(ss.SearchSpace(residual))
    supernet = randomised(Supernet.of_networks(networks))
    with torch.no_grad():
        supernet.tensors["block1.project.conv.weight"][:, 0] = 0
    sort_channels(supernet, networks[0])
    assert bool((supernet.tensors["block1.project.conv.weight"][:, -1] == 0).all())


def _grouped(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = ss.conv_norm_act(net, net.input(3, 6, 6), 8, name="stem")
    x = ss.conv_norm_act(net, x, 8, group_size=pick("size", (2, 4)), name="grouped")
    return ss.classifier(net, x, 3)


def _shared(net: NetworkBuilder, pick: Pick) -> Tensor:
    x = net.conv(net.input(3, 6, 6), 8, name="stem")
    y = net.activation(net.conv(x, 8, name="twice"), "relu")
    y = net.conv(y, 8, name="again", weights="twice")
    return ss.classifier(net, y, 3)


@pytest.mark.parametrize("function", [_grouped, _shared])
def test_what_cannot_be_sorted_stays(function: Callable[[NetworkBuilder, Pick], Tensor]) -> None:
    networks = ends(ss.SearchSpace(function))
    supernet = randomised(Supernet.of_networks(networks))
    before = {name: tensor.detach().clone() for name, tensor in supernet.tensors.items()}
    sort_channels(supernet, networks[0])
    assert all(torch.equal(before[name], tensor) for name, tensor in supernet.tensors.items())
