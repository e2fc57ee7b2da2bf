"""The exported module computes what the network computes, and its peak memory is the one that was counted."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nas.modules import execute
from nas.supernet.calibrate import calibrate, with_statistics
from nas.supernet.weights import Supernet
from predictors.counts import count_network
from search_spaces.blocks import classifier, conv_norm_act
from search_spaces.builder import NetworkBuilder
from search_spaces.catalog import CATALOG, mobile
from search_spaces.network import Network

STATISTICS = ("native_layer_norm", "max_pool2d_with_indices", "max_pool3d_with_indices")
"""Operations whose further outputs serve the backward pass alone and are gone when the operation returns."""


class Tracker(TorchDispatchMode):
    """Sums the storages alive while a model runs, weights left out."""

    def __init__(self, model: torch.nn.Module) -> None:
        super().__init__()
        owned = [*model.parameters(), *model.buffers()]
        self.ignored = {tensor.untyped_storage()._cdata for tensor in owned}
        self.live: dict[int, int] = {}
        self.peak = 0

    def add(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key not in self.ignored and key not in self.live:
            self.live[key] = storage.nbytes()
            weakref.finalize(storage, self.live.pop, key)
        self.peak = max(self.peak, sum(self.live.values()))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, torch.Tensor)]
        for tensor in made[:1] if func._schema.name.removeprefix("aten::") in STATISTICS else made:
            self.add(tensor)
        return result


def peak_bytes(model: torch.nn.Module, shape: tuple[int, ...]) -> int:
    """Most bytes alive while `model` runs one float32 sample of `shape`."""
    x = torch.zeros(1, *shape)
    tracker = Tracker(model)
    with torch.no_grad(), tracker:
        tracker.add(x)
        outputs = model(x)
    del outputs
    return tracker.peak


def gap(model: Any, network: Network, weights: Any, dtype: torch.dtype) -> float:
    """Largest difference of the module's outputs from the network's, relative to the largest output."""
    x = torch.randn(2, *network.input.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64).to(dtype)
    cast = {path: {name: tensor.to(dtype) for name, tensor in of.items()} for path, of in weights.items()}
    with torch.no_grad():
        wanted = execute(network, cast, x)
        got = model.to(dtype)(x)
    got = got if isinstance(got, dict) else {"output": got}
    wanted = wanted if "output" not in got else {"output": next(iter(wanted.values()))}
    assert got.keys() == wanted.keys()
    return max(float((got[name] - value).abs().max() / value.abs().max()) for name, value in wanted.items())


def check(network: Network, random_weights: Callable[..., Any], written: Callable[..., Any]) -> None:
    weights = random_weights(network)
    _, model = written(network, weights)
    assert gap(model, network, weights, torch.float64) <= 1e-10
    assert gap(model, network, weights, torch.float32) <= 1e-5
    counted = count_network(network).total
    assert peak_bytes(model, network.input.shape) == counted["peak_memory_bytes"]
    assert sum(parameter.numel() for parameter in model.parameters()) == counted["params"]


def test_random_mobile_networks(random_weights: Callable[..., Any], written: Callable[..., Any]) -> None:
    spaces = [
        mobile((3, 16, 16), 10, sparsities=(0.0, 0.5, "2:4")),
        mobile((1, 8, 8), 10, se_ratio=0.25, act="hard_swish", head_width=32, dropout=0.2),
        mobile(
            (3, 20, 20),
            4,
            expands=(1, 3, 6),
            depths=((0, 1, 2), (0, 1), (0, 2)),
            widths=((16,), (16, 24), (24,)),
            strides=(1, 2, 2),
        ),
    ]
    rng = np.random.default_rng(0)
    for i in range(60):
        space = spaces[i % len(spaces)]
        check(space.build(space.sample(rng)), random_weights, written)


def test_a_hundred_subnets_of_one_supernet(written: Callable[..., Any]) -> None:
    space = mobile((3, 16, 16), 10, sparsities=(0.0, 0.5, "2:4"), depths=((1, 2),) * 3)
    rng = np.random.default_rng(0)
    networks = [space.build(space.sample(rng)) for _ in range(100)]
    supernet = Supernet.of_networks(networks).to(torch.float64)
    generator = torch.Generator().manual_seed(0)
    for network in networks:
        x = torch.randn(2, *network.input.shape, generator=generator, dtype=torch.float64)
        statistics = calibrate(network, supernet.weights_for(network), [(x, x)])
        with torch.no_grad():
            subnet = with_statistics(supernet.weights_for(network), statistics)
            wanted = execute(network, subnet, x)["output"]
        _, model = written(network, supernet.extract(network, statistics))
        with torch.no_grad():
            assert float((model(x) - wanted).abs().max()) <= 1e-10 * float(wanted.abs().max())
            single = model.float()(x.float())
            assert float((single - wanted.float()).abs().max()) <= 1e-5 * float(wanted.abs().max())


@pytest.mark.parametrize("name", ["resnet", "nas_bench_macro", "mobilenet_v2"])
def test_the_catalogue(name: str, random_weights: Callable[..., Any], written: Callable[..., Any]) -> None:
    space = CATALOG[name]((3, 32, 32), 10, **({"layers": 18} if name == "resnet" else {}))
    check(space.build(space.sample(np.random.default_rng(1))), random_weights, written)


@pytest.mark.parametrize("kernels", [(3, 5, 7), (2, 4, 6), (1, 2, 3), (4,), (3,)])
@pytest.mark.parametrize("dilations", [(1,), (1, 2, 3), (2,)])
def test_kernels_odd_and_even(
    kernels: tuple[int, ...],
    dilations: tuple[int, ...],
    random_weights: Callable[..., Any],
    written: Callable[..., Any],
) -> None:
    net = NetworkBuilder(lambda _name, options: options[0])
    x = net.input(3, 40, 40)
    for kernel in kernels:
        for dilation in dilations:
            x = conv_norm_act(net, x, 4, kernel=kernel, dilation=dilation)
    check(net.finish(classifier(net, x, 3)), random_weights, written)


@pytest.mark.parametrize("seed", range(40))
def test_random_graphs(
    seed: int,
    random_network: Callable[[int], Network],
    random_weights: Callable[..., Any],
    written: Callable[..., Any],
) -> None:
    check(random_network(seed), random_weights, written)


def test_the_tracker_sees_what_is_kept_too_long() -> None:
    class Keeping(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = x.relu()
            z = y.relu()
            return z.relu()

    class Releasing(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.relu().relu().relu()

    assert peak_bytes(Keeping(), (100,)) == 4 * 400
    assert peak_bytes(Releasing(), (100,)) == 3 * 400
