"""Networks of many kinds, random weights for them, and their exported modules."""

import random
import types
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import search_spaces as ss
from nas.export.load import dropped, fill
from nas.export.source import ModelSource, model_source
from search_spaces.builder import NetworkBuilder, block
from search_spaces.builder import Tensor as Handle
from search_spaces.network import Network

Weights = dict[str, dict[str, Tensor]]


@block
def free_block(
    net: NetworkBuilder,
    x: Handle,
    *,
    kernel: int,
    expand: int,
    residual: bool,
    act: str | None,
    inner: tuple[int, int] | None = None,
    hidden: int | None = None,
    name: str | None = None,
) -> Handle:
    """A block whose every part may be missing."""
    y = x
    if expand != 1:
        y = ss.conv_norm_act(net, y, x.channels * expand, kernel=1, act=act, name="up")
    y = ss.conv_norm_act(net, y, x.channels, kernel=kernel, act=None, name="down")
    if inner is not None:
        y = ss.blocks.bottleneck(net, y, x.channels, width=inner[0], kernel=inner[1], name="inner")
    if hidden is not None:
        y = ss.blocks.squeeze_excite(net, y, hidden=hidden)
    if residual:
        y = net.add(y, x)
    return y if act is None else net.activation(y, act)


@block
def skipping_block(net: NetworkBuilder, x: Handle, *, kernel: int, skip: bool, name: str | None = None) -> Handle:
    """A block that, where it skips, needs an inner tensor for longer."""
    first = ss.conv_norm_act(net, x, x.channels, kernel=kernel, name="first")
    second = net.conv(ss.conv_norm_act(net, first, x.channels, kernel=kernel, name="second"), x.channels, kernel=1)
    return net.add(second, first) if skip else second


def _layer(net: NetworkBuilder, x: Handle, rng: random.Random) -> Handle:
    kinds = ("relu", "gelu", "hard_swish", "silu", "relu6", "sigmoid", "hard_sigmoid")
    group_size = rng.choice([size for size in (1, 2, 4, 8) if x.channels % size == 0])
    sparsity = rng.choice([0.0, 0.5, "2:4"])
    return rng.choice(
        [
            lambda: net.activation(x, rng.choice(kinds)),
            lambda: net.batch_norm(x),
            lambda: net.layer_norm(x),
            lambda: net.scale(x, init=0.5),
            lambda: net.dropout(x, 0.1),
            lambda: net.pool(x, rng.choice(["max", "average"]), kernel=3, stride=1, padding=1),
            lambda: net.conv(x, x.channels, kernel=rng.choice([1, 3, 5]), group_size=group_size, sparsity=sparsity),
            lambda: net.conv(x, x.channels, kernel=3, bias=True, dilation=2),
        ]
    )()


def _part(net: NetworkBuilder, seen: list[Handle], rng: random.Random, depth: int) -> list[Handle]:
    """A few nodes, in scopes of their own at times, that read anything seen so far."""
    made: list[Handle] = []
    for number in range(rng.randrange(1, 7)):
        pool = [*seen, *made]
        x, other = rng.choice(pool[-4:]), rng.choice(pool)
        kind = rng.random()
        if kind < 0.2 and depth < 3:
            with net.scope(f"part{number}_{rng.randrange(10**6)}"):
                made += _part(net, rng.sample(pool, min(len(pool), 3)), rng, depth + 1)
        elif kind < 0.35:
            made.append(net.add(*(rng.choice(pool) for _ in range(rng.choice([2, 2, 3, 4])))))
        elif kind < 0.45:
            made.append(net.multiply(x, other if rng.random() < 0.5 else net.global_pool(other)))
        elif kind < 0.55:
            made.append(net.conv(net.concat(x, other), x.channels, kernel=1))
        elif kind < 0.7:
            made.append(
                free_block(
                    net,
                    x,
                    kernel=rng.choice([1, 3]),
                    expand=rng.choice([1, 2]),
                    residual=rng.random() < 0.5,
                    act=rng.choice([None, "relu", "gelu"]),
                    inner=rng.choice([None, (4, 3), (6, 1), (6, 5)]),
                    hidden=rng.choice([None, None, 2, 3]),
                )
            )
        elif kind < 0.8:
            made.append(skipping_block(net, x, kernel=rng.choice([1, 3]), skip=rng.random() < 0.5))
        else:
            made.append(_layer(net, x, rng))
    return made


def build_random(seed: int) -> Network:
    """A network of random operators in random scopes; what nothing reads is summed up or becomes an output."""
    rng = random.Random(seed)
    net = NetworkBuilder(lambda _name, options: options[0])
    x = net.conv(net.input(8, 8, 8), 8)
    made = [x, *_part(net, [x], rng, 0)]
    probe = net.finish({str(i): tensor for i, tensor in enumerate(made)} | {"last": made[-1]})
    read = {i for node in probe.nodes for i in node.inputs}
    free = [tensor for tensor in {t.index: t for t in made}.values() if tensor.index not in read]
    if len(free) > 1 and rng.random() < 0.5:
        training_only = frozenset({"out0"} if rng.random() < 0.3 else ())
        return net.finish({f"out{i}": tensor for i, tensor in enumerate(free)}, training_only)
    total = free[0]
    for tensor in free[1:]:
        total = net.add(total, tensor)
    return net.finish(net.linear(net.flatten(net.global_pool(total)), 3, sparsity=rng.choice([0.0, 0.5])))


@pytest.fixture(scope="session")
def random_network() -> Callable[[int], Network]:
    """A function from a seed to a network of arbitrary structure."""
    return build_random


@pytest.fixture(scope="session")
def random_weights() -> Callable[..., Weights]:
    """A function from a network to random weights in its shapes, zero where its sparsity says so."""

    def draw(network: Network, *, seed: int = 0, dtype: torch.dtype = torch.float64) -> Weights:
        generator = torch.Generator().manual_seed(seed)
        found: Weights = {}
        for path, tensors in network.weights.items():
            found[path] = {}
            for name, weight in tensors.items():
                tensor = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
                if len(weight.shape) > 1:
                    tensor *= (2 / tensor[0].numel()) ** 0.5
                elif name in ("weight", "running_var"):
                    tensor = 0.5 + tensor.abs()
                found[path][name] = tensor.to(dtype)
        return dropped(network, found)

    return draw


@pytest.fixture(scope="session")
def written() -> Callable[..., tuple[ModelSource, Any]]:
    """A function from a network, and weights if any, to its source and its module, evaluating."""

    def write(network: Network, weights: Weights | None = None) -> tuple[ModelSource, Any]:
        source = model_source(network)
        module = types.ModuleType("model")
        exec(compile(source.text, "model.py", "exec"), module.__dict__)
        model = module.Network()
        if weights is not None:
            dtype = next(iter(next(iter(weights.values())).values())).dtype
            model = model.to(dtype)
            fill(model, source, network, weights)
        return source, model.eval()

    return write
