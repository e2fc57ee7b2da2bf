"""ONNX models written from the operator graph, against PyTorch and ONNX's own checker."""

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from nas.modules import Mode, execute
from nas.runtimes.onnx_graph import RULES, network_to_onnx, random_weights
from search_spaces import NasError, Network, NetworkBuilder, Tensor
from search_spaces.blocks import (
    bottleneck,
    efficient_attention,
    inception_next,
    large_kernel,
    multi_dilated,
    omni_scale,
    squeeze_excite,
    universal_large_kernel,
)
from search_spaces.catalog import CATALOG
from search_spaces.operators import ACTIVATIONS, OPERATORS


def builder() -> NetworkBuilder:
    return NetworkBuilder(lambda name, options: options[0])


def onnx_outputs(model: bytes, x: np.ndarray) -> dict[str, np.ndarray]:  # type: ignore[type-arg]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"input": x}), strict=True))


def assert_equals_torch(network: Network, rng: np.random.Generator, *, batch: int = 2) -> None:
    weights = random_weights(network, rng)
    x = rng.standard_normal((batch, *network.input.shape), dtype=np.float32)
    model = network_to_onnx(network, weights, batch=batch)
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    tensors = {path: {name: torch.from_numpy(v) for name, v in found.items()} for path, found in weights.items()}
    expected = execute(network, tensors, torch.from_numpy(x), mode=Mode(zeros_applied=True))
    found = onnx_outputs(model, x)
    assert found.keys() == {name for name, _ in network.outputs if name not in network.training_only}
    for name, value in found.items():
        truth = expected[name].numpy()
        assert np.abs(value - truth).max() <= 1e-4 * max(1.0, np.abs(truth).max())


@pytest.mark.parametrize("name", sorted(CATALOG))
def test_catalogue_networks_equal_torch(name: str, rng: np.random.Generator) -> None:
    space = CATALOG[name]((3, 32, 32), 10)
    for _ in range(SAMPLES.get(name, 1)):
        assert_equals_torch(space.build(space.sample(rng)), rng, batch=1)


@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_activations_equal_torch(kind: str, rng: np.random.Generator) -> None:
    net = builder()
    x = net.activation(net.conv(net.input(4, 5, 5), 8), kind)
    assert_equals_torch(net.finish(net.activation(net.add(x, x), kind)), rng)


SAMPLES = {"mobile": 4}
BLOCKS: dict[str, Callable[[NetworkBuilder, Tensor], Tensor]] = {
    "squeeze_excite": lambda net, x: squeeze_excite(net, x, hidden=4),
    "multi_dilated": lambda net, x: multi_dilated(net, x, 16),
    "large_kernel": lambda net, x: large_kernel(net, x, scale_init=1.0),
    "efficient_attention": lambda net, x: efficient_attention(net, x),
    "inception_next": lambda net, x: inception_next(net, x, band=5, scale_init=1.0),
    "omni_scale": lambda net, x: omni_scale(net, x, 24, instance_norm="both"),
    "universal_large_kernel": lambda net, x: universal_large_kernel(net, x, kernel=7, scale_init=1.0),
    "response_norm_alone": lambda net, x: net.response_norm(x, bias=False),
    "slice_of_a_line": lambda net, x: net.slice(net.flatten(x), 3, 9),
    "bottleneck": lambda net, x: bottleneck(net, x, 32, width=16, group_size=4, stride=2),
    "max_pool": lambda net, x: net.pool(x, "max", kernel=3, stride=2, padding=1),
    "average_pool": lambda net, x: net.pool(x, "average", kernel=3, stride=2, padding=1),
    "three_addends": lambda net, x: net.add(x, net.activation(x, "relu"), net.conv(x, 16)),
    "norm_alone": lambda net, x: net.batch_norm(net.add(x, x)),
    "norm_with_dropout": lambda net, x: net.dropout(net.batch_norm(net.conv(x, 8, bias=True)), 0.5),
    "channel_pools": lambda net, x: net.concat(net.channel_pool(x, "mean"), net.channel_pool(x, "max")),
    "channel_softmax": lambda net, x: net.softmax(x),
    "shift": lambda net, x: net.shift(net.shift(x, (1, 0)), (-3, -2)),
    "blend": lambda net, x: net.blend(x, net.activation(x, "relu")),
    "group_norm": lambda net, x: net.group_norm(x, 4),
    "resize_linear": lambda net, x: net.resize(net.resize(x, (10, 15)), (4, 3)),
    "resize_nearest": lambda net, x: net.resize(net.resize(x, (14, 9), kind="nearest"), 5, kind="nearest"),
    "linear_norm": lambda net, x: net.batch_norm(net.linear(net.flatten(x), 6)),
}


@pytest.mark.parametrize("name", sorted(BLOCKS))
def test_blocks_equal_torch(name: str, rng: np.random.Generator) -> None:
    net = builder()
    assert_equals_torch(net.finish(BLOCKS[name](net, net.input(16, 7, 7))), rng)


@pytest.mark.parametrize("spatial", [(9,), (5, 6, 7)])
def test_one_and_three_dimensions(spatial: tuple[int, ...], rng: np.random.Generator) -> None:
    net = builder()
    x = net.activation(net.batch_norm(net.conv(net.input(4, *spatial), 8, group_size=2, stride=2)), "relu")
    x = net.group_norm(net.resize(x, 6), 2)
    assert_equals_torch(net.finish(net.linear(net.flatten(net.global_pool(x)), 3)), rng)


def test_a_norm_is_folded_only_where_nothing_else_reads_the_convolution(rng: np.random.Generator) -> None:
    net = builder()
    x = net.conv(net.input(4, 6, 6), 8)
    network = net.finish(net.add(net.batch_norm(x), x))
    assert_equals_torch(network, rng)
    kinds = [node.op_type for node in onnx.load_from_string(network_to_onnx(network)).graph.node]
    assert "BatchNormalization" in kinds


def test_shared_weights_and_named_outputs(rng: np.random.Generator) -> None:
    net = builder()
    x = net.conv(net.input(4, 6, 6), 4, name="first")
    y = net.conv(x, 4, weights="first")
    z = net.conv(y, 2)
    outputs = {"deep": z, "early": x, "early_again": x, "extra": net.conv(x, 1)}
    assert_equals_torch(net.finish(outputs, frozenset({"extra"})), rng)


def test_outputs_may_be_called_like_nodes(rng: np.random.Generator) -> None:
    net = builder()
    x = net.activation(net.conv(net.input(4, 6, 6), 4, name="output"), "relu")
    assert_equals_torch(net.finish({"output": x, "input2": net.conv(x, 2, name="last")}), rng)


def test_torch_tensors_are_taken_as_weights(rng: np.random.Generator) -> None:
    net = builder()
    network = net.finish(net.conv(net.input(2, 3, 3), 2))
    weights = random_weights(network, rng)
    tensors = {path: {k: torch.nn.Parameter(torch.from_numpy(v)) for k, v in t.items()} for path, t in weights.items()}
    assert network_to_onnx(network, tensors) == network_to_onnx(network, weights)


def test_every_operator_has_a_rule() -> None:
    assert set(OPERATORS) <= set(RULES)


def test_an_operator_without_a_rule_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    net = builder()
    network = net.finish(net.activation(net.input(2, 3, 3), "relu", name="strange"))
    monkeypatch.delitem(RULES, type(network.nodes[1].op))
    with pytest.raises(NasError, match="strange: operator Activation has no ONNX rule"):
        network_to_onnx(network)
