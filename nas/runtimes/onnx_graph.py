"""A network as an ONNX model, written directly from the operator graph.

A batch norm behind a convolution or linear layer is folded into its weights and dropout is left out; everything
else is one ONNX operator per node, or the few that make it up (three for a channels-first layer norm). The batch size
is fixed; the model's input and outputs carry the network's names.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from search_spaces.errors import NasError
from search_spaces.network import Network, Node
from search_spaces.operators import (
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
    Input,
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

Array = npt.NDArray[np.float32]
Weights = Mapping[str, Mapping[str, Any]]
Attributes = Mapping[str, Any]
OPSET = 20
IR_VERSION = 10
SEED = 0
TENSOR = ":0"


def random_weights(network: Network, rng: np.random.Generator) -> dict[str, dict[str, Array]]:
    """Weights that keep activations of order one (denormal numbers would distort timings).

    Returns {weight path: {tensor name: float32 array}} in the network's own shapes.
    """
    return {
        path: {name: _random_tensor(name, weight.shape, rng) for name, weight in tensors.items()}
        for path, tensors in network.weights.items()
    }


def _random_tensor(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    if len(shape) == 1:
        base = 1.0 if name in ("weight", "running_var") else 0.0
        return np.asarray(base + 0.1 * rng.random(shape), dtype=np.float32)
    fan_in = int(np.prod(shape[1:]))
    return rng.standard_normal(shape, dtype=np.float32) * np.float32(np.sqrt(2 / fan_in))


def network_to_onnx(
    network: Network, weights: Weights | None = None, *, batch: int = 1, input_name: str = "input"
) -> bytes:
    """Return the serialised ONNX model of what `network` computes at inference.

    `weights` maps {weight path: {tensor name: array or torch tensor}} in the network's own shapes; `None` draws
    random ones from a fixed seed (for timing). Raises `NasError` for an operator without an ONNX rule.
    """
    if weights is None:
        weights = random_weights(network, np.random.default_rng(SEED))
    graph = _Graph(network, weights, batch, input_name)
    for index in network.inference_nodes:
        node = network.nodes[index]
        rule = RULES.get(type(node.op))
        if rule is None:
            raise NasError(
                f"{node.name}: operator {type(node.op).__name__} has no ONNX rule; "
                f"known: {', '.join(kind.__name__ for kind in RULES)}"
            )
        graph.names[index] = rule(graph, index, node)
    return graph.serialise()


@dataclass
class _Graph:
    """The ONNX graph being written; `names` maps a node's index to the name of its output."""

    network: Network
    weights: Weights
    batch: int
    input_name: str
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    tensors: list[onnx.TensorProto] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.folded = _foldable_norms(self.network)

    def emit(self, kind: str, inputs: Sequence[str], name: str, attributes: Attributes | None = None) -> str:
        """Append the operator `name`; return the name of its output, which no input or output can have."""
        output = f"{name}{TENSOR}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], name=name, **(attributes or {})))
        return output

    def constant(self, name: str, values: npt.NDArray[Any]) -> str:
        self.tensors.append(numpy_helper.from_array(values, name))
        return name

    def sources(self, node: Node) -> list[str]:
        return [self.names[i] for i in node.inputs]

    def tensor(self, node: Node, name: str) -> Array:
        value = self.weights[node.weights_path][name]
        if hasattr(value, "detach"):
            value = value.detach().cpu().numpy()
        return np.ascontiguousarray(value, dtype=np.float32)

    def folded_parameters(self, index: int, node: Node) -> tuple[Array, Array | None]:
        """Weight and bias of a convolution or linear layer with the norm behind it folded in."""
        weight = self.tensor(node, "weight")
        bias = self.tensor(node, "bias") if "bias" in node.op.weights(self.network.input_shapes(node)) else None
        follower = self.folded.get(index)
        if follower is None:
            return weight, bias
        factor, shift = _affine(self, self.network.nodes[follower])
        weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
        return weight, shift if bias is None else shift + factor * bias

    def _name_output(self, tensor: str, name: str) -> None:
        """Call `tensor` by the output's name; a copy where it is the input or carries another output's name."""
        writer = next((node for node in self.nodes if tensor in node.output), None)
        if writer is None or not tensor.endswith(TENSOR):
            self.nodes.append(helper.make_node("Identity", [tensor], [name], name=f"{name}{TENSOR}"))
            return
        for node in self.nodes:
            for names in (node.input, node.output):
                names[:] = [name if other == tensor else other for other in names]
        self.names = {i: name if other == tensor else other for i, other in self.names.items()}

    def serialise(self) -> bytes:
        source = self.network.input
        outputs = []
        for name, index in self.network.outputs:
            if name not in self.network.training_only:
                self._name_output(self.names[index], name)
                shape = (self.batch, *self.network.nodes[index].shape)
                outputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
        shape = (self.batch, *source.shape)
        inputs = [helper.make_tensor_value_info(self.input_name, TensorProto.FLOAT, shape)]
        graph = helper.make_graph(self.nodes, "network", inputs, outputs, self.tensors)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        return bytes(model.SerializeToString())


def _foldable_norms(network: Network) -> dict[int, int]:
    """Index of a convolution or linear layer to that of the batch norm that alone reads it."""
    readers: dict[int, list[int]] = {index: [-1] for _, index in network.outputs}
    for i in network.inference_nodes:
        for source in network.nodes[i].inputs:
            readers.setdefault(source, []).append(i)
    return {
        source: found[0]
        for source, found in readers.items()
        if len(found) == 1
        and found[0] >= 0
        and isinstance(network.nodes[found[0]].op, BatchNorm)
        and isinstance(network.nodes[source].op, (Conv, Linear))
    }


def _affine(graph: _Graph, node: Node) -> tuple[Array, Array]:
    """Factor and shift per channel of a batch norm with its recorded statistics."""
    assert isinstance(node.op, BatchNorm)
    deviation = np.sqrt(graph.tensor(node, "running_var").astype(np.float64) + node.op.eps)
    factor = graph.tensor(node, "weight") / deviation
    shift = graph.tensor(node, "bias") - graph.tensor(node, "running_mean") * factor
    return factor.astype(np.float32), shift.astype(np.float32)


def _input(graph: _Graph, index: int, node: Node) -> str:
    return graph.input_name


def _conv(graph: _Graph, index: int, node: Node) -> str:
    op = node.op
    assert isinstance(op, Conv)
    weight, bias = graph.folded_parameters(index, node)
    inputs = [*graph.sources(node), graph.constant(f"{node.name}.weight", weight)]
    if bias is not None:
        inputs.append(graph.constant(f"{node.name}.bias", bias))
    attributes = {
        "kernel_shape": op.kernel,
        "strides": op.stride,
        "pads": (*op.padding, *op.padding),
        "dilations": op.dilation,
        "group": op.groups(graph.network.input_shapes(node)[0][0]),
    }
    return graph.emit("Conv", inputs, node.name, attributes)


def _linear(graph: _Graph, index: int, node: Node) -> str:
    weight, bias = graph.folded_parameters(index, node)
    inputs = [*graph.sources(node), graph.constant(f"{node.name}.weight", weight)]
    if bias is not None:
        inputs.append(graph.constant(f"{node.name}.bias", bias))
    return graph.emit("Gemm", inputs, node.name, {"transB": 1})


def _batch_norm(graph: _Graph, index: int, node: Node) -> str:
    if graph.folded.get(node.inputs[0]) == index:
        return graph.names[node.inputs[0]]
    assert isinstance(node.op, BatchNorm)
    constants = [
        graph.constant(f"{node.name}.{name}", graph.tensor(node, name))
        for name in ("weight", "bias", "running_mean", "running_var")
    ]
    attributes = {"epsilon": node.op.eps}
    return graph.emit("BatchNormalization", [*graph.sources(node), *constants], node.name, attributes)


def _channel_conv(graph: _Graph, index: int, node: Node) -> str:
    assert isinstance(node.op, ChannelConv)
    weight = graph.constant(f"{node.name}.weight", graph.tensor(node, "weight").reshape(1, 1, -1))
    line = graph.constant(f"{node.name}.line", np.array([graph.batch, 1, node.shape[0]], dtype=np.int64))
    shape = graph.constant(f"{node.name}.shape", np.array([graph.batch, *node.shape], dtype=np.int64))
    laid = graph.emit("Reshape", [*graph.sources(node), line], f"{node.name}.laid")
    reach = node.op.kernel // 2
    mixed = graph.emit("Conv", [laid, weight], f"{node.name}.mixed", {"pads": (reach, reach)})
    return graph.emit("Reshape", [mixed, shape], node.name)


def _instance_norm(graph: _Graph, index: int, node: Node) -> str:
    assert isinstance(node.op, InstanceNorm)
    constants = [graph.constant(f"{node.name}.{name}", graph.tensor(node, name)) for name in ("weight", "bias")]
    attributes = {"epsilon": node.op.eps}
    return graph.emit("InstanceNormalization", [*graph.sources(node), *constants], node.name, attributes)


def _response_norm(graph: _Graph, index: int, node: Node) -> str:
    op, (source,) = node.op, graph.sources(node)
    assert isinstance(op, ResponseNorm)

    def step(kind: str, inputs: Sequence[str], name: str) -> str:
        return graph.emit(kind, inputs, f"{node.name}.{name}")

    per_channel = (-1, *(1,) * (len(node.shape) - 1))
    weight = graph.constant(f"{node.name}.weight", graph.tensor(node, "weight").reshape(per_channel))
    eps, one = (graph.constant(f"{node.name}.{k}", np.array(v, np.float32)) for k, v in (("eps", op.eps), ("one", 1)))
    positions = graph.constant(f"{node.name}.positions", np.arange(2, len(node.shape) + 1, dtype=np.int64))
    channels = graph.constant(f"{node.name}.channels", np.array([1], dtype=np.int64))
    size = step("ReduceL2", [source, positions], "size")
    mean = step("Add", [step("ReduceMean", [size, channels], "mean"), eps], "floor")
    factor = step("Add", [step("Mul", [step("Div", [size, mean], "ratio"), weight], "weighted"), one], "factor")
    if not op.bias:
        return graph.emit("Mul", [source, factor], node.name)
    bias = graph.constant(f"{node.name}.bias", graph.tensor(node, "bias").reshape(per_channel))
    return graph.emit("Add", [step("Mul", [source, factor], "scaled"), bias], node.name)


def _layer_norm(graph: _Graph, index: int, node: Node) -> str:
    assert isinstance(node.op, LayerNorm)
    rank = len(node.shape) + 1
    constants = [graph.constant(f"{node.name}.{name}", graph.tensor(node, name)) for name in ("weight", "bias")]
    last = (0, *range(2, rank), 1)
    first = (0, rank - 1, *range(1, rank - 1))
    turned = graph.emit("Transpose", graph.sources(node), f"{node.name}.channels_last", {"perm": last})
    normed = graph.emit(
        "LayerNormalization",
        [turned, *constants],
        f"{node.name}.normed",
        {"axis": -1, "epsilon": node.op.eps},
    )
    return graph.emit("Transpose", [normed], node.name, {"perm": first})


def _group_norm(graph: _Graph, index: int, node: Node) -> str:
    op, name = node.op, node.name
    assert isinstance(op, GroupNorm)
    shape = (graph.batch, op.groups, -1)
    split = graph.constant(f"{name}.split", np.array(shape, dtype=np.int64))
    grouped = graph.emit("Reshape", [*graph.sources(node), split], f"{name}.grouped")
    ones, zeros = (graph.constant(f"{name}.{i}", np.full(op.groups, i, dtype=np.float32)) for i in (1, 0))
    normed = graph.emit("InstanceNormalization", [grouped, ones, zeros], f"{name}.normed", {"epsilon": op.eps})
    joined = graph.constant(f"{name}.joined", np.array((graph.batch, *node.shape), dtype=np.int64))
    whole = graph.emit("Reshape", [normed, joined], f"{name}.whole")
    weight, bias = (
        graph.constant(f"{name}.{part}", graph.tensor(node, part).reshape(-1, *(1,) * (len(node.shape) - 1)))
        for part in ("weight", "bias")
    )
    return graph.emit("Add", [graph.emit("Mul", [whole, weight], f"{name}.scaled"), bias], name)


def _resize(graph: _Graph, index: int, node: Node) -> str:
    op = node.op
    assert isinstance(op, Resize)
    sizes = graph.constant(f"{node.name}.size", np.array((graph.batch, *node.shape), dtype=np.int64))
    attributes: Attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
    if op.kind == "nearest":
        attributes = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.emit("Resize", [*graph.sources(node), "", "", sizes], node.name, attributes)


def _channel_pool(graph: _Graph, index: int, node: Node) -> str:
    assert isinstance(node.op, ChannelPool)
    axes = graph.constant(f"{node.name}.axes", np.array([1], dtype=np.int64))
    kind = "ReduceMean" if node.op.kind == "mean" else "ReduceMax"
    return graph.emit(kind, [*graph.sources(node), axes], node.name, {"keepdims": 1})


def _channel_softmax(graph: _Graph, index: int, node: Node) -> str:
    return graph.emit("Softmax", graph.sources(node), node.name, {"axis": 1})


def _shift(graph: _Graph, index: int, node: Node) -> str:
    assert isinstance(node.op, Shift)
    before, after = (0, 0, *node.op.offset), (0, 0, *(-offset for offset in node.op.offset))
    pads = graph.constant(f"{node.name}.pads", np.array([*before, *after], dtype=np.int64))
    return graph.emit("Pad", [*graph.sources(node), pads], node.name)


def _blend(graph: _Graph, index: int, node: Node) -> str:
    first, second = graph.sources(node)
    weight = graph.tensor(node, "weight").reshape(-1, *(1,) * (len(node.shape) - 1))
    mine = graph.emit("Mul", [first, graph.constant(f"{node.name}.weight", weight)], f"{node.name}.mine")
    rest = graph.constant(f"{node.name}.rest", np.asarray(1 - weight, dtype=np.float32))
    return graph.emit("Add", [mine, graph.emit("Mul", [second, rest], f"{node.name}.other")], node.name)


def _activation(graph: _Graph, index: int, node: Node) -> str:
    assert isinstance(node.op, Activation)
    kind, source = node.op.kind, graph.sources(node)[0]
    if kind == "relu6":
        bounds = [
            graph.constant(f"{node.name}.{name}", np.array(value, dtype=np.float32))
            for name, value in (("low", 0.0), ("high", 6.0))
        ]
        return graph.emit("Clip", [source, *bounds], node.name)
    if kind == "silu":
        gate = graph.emit("Sigmoid", [source], f"{node.name}.sigmoid")
        return graph.emit("Mul", [source, gate], node.name)
    operator, attributes = ACTIVATIONS[kind]
    return graph.emit(operator, [source], node.name, attributes)


ACTIVATIONS: dict[str, tuple[str, Attributes]] = {
    "relu": ("Relu", {}),
    "sigmoid": ("Sigmoid", {}),
    "hard_sigmoid": ("HardSigmoid", {"alpha": 1 / 6, "beta": 0.5}),
    "hard_swish": ("HardSwish", {}),
    "gelu": ("Gelu", {}),
}


def _add(graph: _Graph, index: int, node: Node) -> str:
    total, *others = graph.sources(node)
    for position, other in enumerate(others):
        last = position == len(others) - 1
        total = graph.emit("Add", [total, other], node.name if last else f"{node.name}.{position}")
    return total


def _multiply(graph: _Graph, index: int, node: Node) -> str:
    return graph.emit("Mul", graph.sources(node), node.name)


def _concat(graph: _Graph, index: int, node: Node) -> str:
    return graph.emit("Concat", graph.sources(node), node.name, {"axis": 1})


def _slice(graph: _Graph, index: int, node: Node) -> str:
    op = node.op
    assert isinstance(op, Slice)
    bounds = (("start", op.start), ("end", op.start + op.channels), ("axis", 1))
    constants = [graph.constant(f"{node.name}.{k}", np.array([v], dtype=np.int64)) for k, v in bounds]
    return graph.emit("Slice", [*graph.sources(node), *constants], node.name)


def _pool(graph: _Graph, index: int, node: Node) -> str:
    op = node.op
    assert isinstance(op, Pool)
    attributes: dict[str, Any] = {
        "kernel_shape": op.kernel,
        "strides": op.stride,
        "pads": (*op.padding, *op.padding),
        "ceil_mode": int(op.ceil),
    }
    if op.kind == "average":
        attributes["count_include_pad"] = int(op.count_padding)
    kind = "MaxPool" if op.kind == "max" else "AveragePool"
    return graph.emit(kind, graph.sources(node), node.name, attributes)


def _global_pool(graph: _Graph, index: int, node: Node) -> str:
    return graph.emit("GlobalAveragePool", graph.sources(node), node.name)


def _flatten(graph: _Graph, index: int, node: Node) -> str:
    return graph.emit("Flatten", graph.sources(node), node.name, {"axis": 1})


def _scale(graph: _Graph, index: int, node: Node) -> str:
    factor = graph.tensor(node, "weight").reshape(-1, *(1,) * (len(node.shape) - 1))
    constant = graph.constant(f"{node.name}.weight", factor)
    return graph.emit("Mul", [*graph.sources(node), constant], node.name)


def _dropout(graph: _Graph, index: int, node: Node) -> str:
    return graph.sources(node)[0]


RULES: dict[type[Operator], Callable[[_Graph, int, Node], str]] = {
    Input: _input,
    Conv: _conv,
    Linear: _linear,
    ChannelConv: _channel_conv,
    BatchNorm: _batch_norm,
    InstanceNorm: _instance_norm,
    LayerNorm: _layer_norm,
    ResponseNorm: _response_norm,
    Activation: _activation,
    Add: _add,
    Multiply: _multiply,
    Concat: _concat,
    Slice: _slice,
    Pool: _pool,
    GlobalPool: _global_pool,
    Flatten: _flatten,
    Scale: _scale,
    Dropout: _dropout,
    GroupNorm: _group_norm,
    Resize: _resize,
    ChannelPool: _channel_pool,
    ChannelSoftmax: _channel_softmax,
    Shift: _shift,
    Blend: _blend,
}
