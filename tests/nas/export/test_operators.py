"""Every operator has a source rule, and each rule writes what the operator computes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from nas.export.operators import SOURCE, source_of
from nas.modules import execute
from search_spaces.builder import NetworkBuilder
from search_spaces.errors import NasError
from search_spaces.network import Network
from search_spaces.operators import (
    ACTIVATIONS,
    OPERATORS,
    Activation,
    Add,
    BatchNorm,
    Blend,
    ChannelConv,
    ChannelPool,
    ChannelSoftmax,
    Concat,
    Conv,
    Dropout,
    Flatten,
    GlobalPool,
    GroupNorm,
    InstanceNorm,
    LayerNorm,
    Linear,
    Multiply,
    Operator,
    Pool,
    Resize,
    ResponseNorm,
    Scale,
    Shift,
    Slice,
)

LINE, MAP, VOLUME, FLAT = (8, 12), (8, 6, 7), (8, 4, 5, 6), (8,)
CASES: list[tuple[Operator, tuple[tuple[int, ...], ...]]] = [
    (Conv(12, (3,), (2,), (1,), (1,), 4), (LINE,)),
    (Conv(12, (3, 5), (1, 2), (1, 2), (1, 1), 8, bias=True), (MAP,)),
    (Conv(16, (3, 3), (1, 1), (2, 2), (2, 2), 1, sparsity=0.5), (MAP,)),
    (Conv(16, (1, 1), (1, 1), (0, 0), (1, 1), 8, sparsity="2:4"), (MAP,)),
    (Conv(8, (1, 3, 3), (1, 2, 2), (0, 1, 1), (1, 1, 1), 2, bias=True, sparsity=0.25), (VOLUME,)),
    (Linear(5), (FLAT,)),
    (Linear(5, bias=False, sparsity="1:2"), (FLAT,)),
    *((BatchNorm(zero_init=zero), (shape,)) for shape in (FLAT, LINE, MAP, VOLUME) for zero in (False, True)),
    (BatchNorm(eps=1e-3, momentum=0.01), (MAP,)),
    *((ChannelConv(kernel), ((8, 1, 1),)) for kernel in (1, 3, 5)),
    *((InstanceNorm(), (shape,)) for shape in (LINE, MAP, VOLUME)),
    (InstanceNorm(eps=1e-3), (MAP,)),
    *((ResponseNorm(bias), (shape,)) for shape in (LINE, MAP, VOLUME) for bias in (False, True)),
    (ResponseNorm(eps=0.1), (MAP,)),
    *((LayerNorm(), (shape,)) for shape in (FLAT, LINE, MAP, VOLUME)),
    (LayerNorm(eps=1e-3), (MAP,)),
    *((Activation(kind), (MAP,)) for kind in ACTIVATIONS),
    (Add(), (MAP, MAP)),
    (Add(), (MAP, MAP, MAP, MAP)),
    (Multiply(), (MAP, (8, 1, 1))),
    (Multiply(), (FLAT, FLAT)),
    (Concat(), (MAP, (3, 6, 7))),
    (Concat(), (MAP, (3, 6, 7), (1, 6, 7))),
    (Slice(0, 3), (MAP,)),
    (Slice(2, 6), (VOLUME,)),
    (Slice(3, 1), (FLAT,)),
    (Pool("max", (3, 3), (2, 2), (1, 1)), (MAP,)),
    (Pool("max", (2, 3), (2, 1), (0, 1), ceil=True), (MAP,)),
    (Pool("average", (3,), (2,), (1,), count_padding=True), (LINE,)),
    (Pool("average", (2, 2, 2), (2, 2, 2), (0, 0, 0), ceil=True), (VOLUME,)),
    *((GlobalPool(), (shape,)) for shape in (LINE, MAP, VOLUME)),
    *((Flatten(), (shape,)) for shape in (LINE, MAP, VOLUME)),
    *((Scale(init=0.3), (shape,)) for shape in (FLAT, LINE, MAP, VOLUME)),
    (Dropout(0.5), (MAP,)),
    *((GroupNorm(groups, zero_init=groups == 2), (shape,)) for shape in (FLAT, LINE, MAP, VOLUME) for groups in (1, 2)),
    *((ChannelPool(kind), (shape,)) for kind in ("mean", "max") for shape in (LINE, MAP, VOLUME)),  # type: ignore[arg-type]
    *((ChannelSoftmax(), (shape,)) for shape in (FLAT, MAP)),
    (Shift((-2,)), (LINE,)),
    (Shift((1, 0)), (MAP,)),
    (Shift((0, -3, 2)), (VOLUME,)),
    *((Blend(0.3), (shape, shape)) for shape in (FLAT, MAP, VOLUME)),
    (Resize((24,)), (LINE,)),
    (Resize((9, 14)), (MAP,)),
    (Resize((3, 4, 12)), (VOLUME,)),
    (Resize((12, 7), "nearest"), (MAP,)),
    (Resize((2, 10, 3), "nearest"), (VOLUME,)),
]


def around(op: Operator, shapes: tuple[tuple[int, ...], ...]) -> Network:
    """A network of `op` alone, behind as many convolutions or linear layers as it has inputs."""
    net = NetworkBuilder(lambda _name, options: options[0])
    x = net.input(*shapes[0])
    inputs = []
    for shape in shapes:
        if len(shape) == 1:
            inputs.append(net.linear(x, shape[0]))
            continue
        y = net.conv(x, shape[0], kernel=1)
        inputs.append(y if y.shape == shape else net.global_pool(y))
    return net.finish(net.apply(op, *inputs, name="tested"))


def test_every_operator_has_a_rule() -> None:
    assert set(SOURCE) == set(OPERATORS)
    assert {type(op) for op, _ in CASES} == set(OPERATORS) - {OPERATORS[0]}


@pytest.mark.parametrize(("op", "shapes"), CASES, ids=lambda value: str(value) if not isinstance(value, tuple) else "")
def test_rule_computes_the_operator(
    op: Operator, shapes: tuple[tuple[int, ...], ...], random_weights: Callable[..., Any], written: Callable[..., Any]
) -> None:
    network = around(op, shapes)
    weights = random_weights(network)
    _, model = written(network, weights)
    x = torch.randn(3, *shapes[0], dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        wanted = execute(network, weights, x)["output"]
        assert torch.allclose(model(x), wanted, rtol=1e-12, atol=1e-12)


def test_training_agrees_in_outputs_gradients_and_statistics(
    random_network: Callable[[int], Network], random_weights: Callable[..., Any], written: Callable[..., Any]
) -> None:
    from nas.modules import NetworkModule
    from search_spaces.catalog import mobile

    space = mobile((3, 12, 12), 5, sparsities=(0.5,))
    network = space.build(space.repair({}))
    weights = random_weights(network)
    source, model = written(network, weights)
    mine = NetworkModule(network).double()
    mine.load_weights(weights)
    x = torch.randn(4, *network.input.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    outputs = [module.train()(x) for module in (mine, model)]
    assert torch.allclose(*outputs, rtol=1e-10)
    for output in outputs:
        output.square().sum().backward()
    theirs = dict(model.named_parameters()) | dict(model.named_buffers())
    for path, tensors in mine.weights().items():
        for name, tensor in tensors.items():
            other = theirs[f"{source.modules[path]}.{name}"]
            assert torch.allclose(tensor, other, rtol=1e-9, atol=1e-12), (path, name)
            if tensor.grad is not None:
                assert torch.allclose(tensor.grad, other.grad, rtol=1e-8, atol=1e-10), (path, name)


def test_unknown_operator_is_named() -> None:
    class Fourier:
        label = "fourier"

    with pytest.raises(NasError, match=r"operator Fourier cannot be exported: no source rule; known: Input, Conv"):
        source_of(Fourier(), ((1, 2),))  # type: ignore[arg-type]
