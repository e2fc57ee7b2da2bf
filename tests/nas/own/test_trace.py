"""Traced modules count as what they are: the project's exports as their networks, others as PyTorch's counter says."""

import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from nas.export.load import dropped, fill
from nas.export.source import model_source
from nas.modules import NetworkModule
from nas.own.trace import trace
from predictors.counts import count_network
from predictors.kernels import kernels
from search_spaces import NasError
from search_spaces.catalog import CATALOG
from search_spaces.network import Network
from search_spaces.opaque import Opaque
from search_spaces.operators import Conv, Linear


def exported(network: Network) -> nn.Module:
    """The module that the project writes for `network`, filled with fresh weights."""
    source = model_source(network)
    module = types.ModuleType("model")
    exec(compile(source.text, "model.py", "exec"), module.__dict__)
    model: nn.Module = module.Network()
    weights = dropped(network, NetworkModule(network).weights())
    fill(model, source, network, weights)
    return model.eval()


def drawn(name: str, seed: int) -> Network:
    """A random architecture of a catalogue space."""
    shape = (3, 64, 64) if name in ("resnet", "resnext_groups", "deepmad") else (3, 32, 32)
    space = CATALOG[name](shape, 10)
    return space.build(space.sample(np.random.default_rng(seed)))


def total(network: Network) -> dict[str, int]:
    return count_network(network).total


@pytest.mark.parametrize(("name", "seed"), [("mobile", 0), ("mobile", 1), ("resnet", 0), ("mobilenet_v2", 0)])
def test_an_exported_network_counts_as_itself(name: str, seed: int) -> None:
    network = drawn(name, seed)
    found = trace(exported(network), network.input.shape, name=name)
    assert total(found.network) == total(network)
    assert found.uncounted == ()
    dense = [kernel.dense for kernel in kernels(network)]
    assert [kernel.dense for kernel in kernels(found.network)] == dense


def test_a_sparse_network_counts_as_itself() -> None:
    network = next(
        built
        for seed in range(50)
        for built in [drawn("mobile", seed)]
        if any(getattr(node.op, "sparsity", 0.0) == 0.5 for node in built.nodes)
    )
    found = trace(exported(network), network.input.shape, name="sparse")
    assert total(found.network) == total(network)
    assert total(found.network)["nonzero_params"] < total(found.network)["params"]


class Attention(nn.Module):
    """Patches, attention over them, a head; the table of positions is a bare parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 16, 4, stride=4)
        self.places = nn.Parameter(torch.zeros(1, 64, 16))
        self.attention = nn.MultiheadAttention(16, 4, batch_first=True)
        self.norm = nn.LayerNorm(16)
        self.head = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        normed = self.norm(tokens)
        tokens = tokens + self.attention(normed, normed, normed, need_weights=False)[0]
        return self.head(tokens.mean(1))


class Upwards(nn.Module):
    """Transposed convolutions, an einsum and a branch that is split and joined."""

    def __init__(self) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(3, 8, 2, stride=2)
        self.weight = nn.Parameter(torch.randn(8, 5))

    def forward(self, x: Tensor) -> Tensor:
        first, second = self.up(x).chunk(2, dim=1)
        joined = torch.cat([functional.elu(first), second * 2], dim=1)
        return torch.einsum("nchw,cd->nd", joined, self.weight)


class Tied(nn.Module):
    """One convolution called twice, and a linear layer whose weight is used again bare."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu_(self.conv(self.conv(x)))
        answer = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return answer @ self.head.weight @ self.head.weight.t()


def test_attention_counts_its_two_products() -> None:
    module = Attention()
    found = total(trace(module, (3, 32, 32), name="own").network)
    patches, projections, head = 64 * 16 * 48, 64 * 16 * (48 + 16), 160
    assert found["macs"] == patches + projections + 2 * 4 * 64 * 64 * 4 + head
    assert found["params"] == sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("make", [Upwards, Tied])
def test_any_module_counts_as_the_flop_counter_and_the_parameters_say(make: Callable[[], nn.Module]) -> None:
    module = make().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        module(torch.randn(1, 3, 32, 32))
    found = total(trace(module, (3, 32, 32), name="own").network)
    assert 2 * found["macs"] == counter.get_total_flops()
    assert found["params"] == sum(parameter.numel() for parameter in module.parameters())
    assert found["weight_bytes"] == 4 * found["params"]


def test_what_is_in_the_vocabulary_is_not_opaque() -> None:
    network = trace(Tied(), (3, 16, 16), name="own").network
    convs = [node for node in network.nodes if isinstance(node.op, Conv)]
    assert [node.weights_path for node in convs] == [convs[0].name] * 2
    assert sum(isinstance(node.op, Linear) for node in network.nodes) == 1
    assert {node.op.what for node in network.nodes if isinstance(node.op, Opaque) and node.op.macs} == {"matmul"}


def test_nodes_are_called_as_in_the_module() -> None:
    module = nn.Sequential(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), nn.Flatten(), nn.Linear(4 * 36, 2))
    network = trace(module, (3, 8, 8), name="own").network
    assert [node.name for node in network.nodes] == ["input", "0.0", "0.1", "1", "2"]
    assert [(scope.path, scope.block) for scope in network.scopes] == [("0", "Sequential")]


def test_zeros_of_a_masked_weight_are_left_out() -> None:
    module = nn.Sequential(nn.Conv2d(4, 8, 3, bias=False))
    with torch.no_grad():
        weight: Any = module[0].weight
        weight.view(-1)[:100] = 0.0
    found = total(trace(module, (4, 6, 6), name="own").network)
    assert found["params"] == 288
    assert found["nonzero_params"] == 188
    assert found["macs_effective"] == 188 * 16


class Looks(nn.Module):
    """Goes a way that depends on what it sees."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1) if x.sum() > 0 else x.flatten(1) * 2


def test_a_way_that_depends_on_values_is_refused() -> None:
    with pytest.raises(NasError, match=r"net.py:make cannot be traced: .*must not depend on the values"):
        trace(Looks(), (1, 4, 4), name="net.py:make")


def test_an_input_that_does_not_fit_is_told_with_its_shape() -> None:
    with pytest.raises(NasError, match=r"fails on an input of shape 1,8,8: RuntimeError: .*--own-input"):
        trace(nn.Conv2d(3, 4, 3), (1, 8, 8), name="net.py:make")


def test_an_output_without_the_input_is_refused() -> None:
    class Constant(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(1, 10)

    with pytest.raises(NasError, match="does not depend on its input"):
        trace(Constant(), (1, 4, 4), name="constant")
