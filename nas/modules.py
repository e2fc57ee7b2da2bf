"""From a network to torch: the rule of each operator, the executor, and a module with its own weights."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from nas.convolutions import Window, convolve
from nas.dense_rules import blend, channel_pool, channel_softmax, group_norm, resize, shift
from nas.masks import masked
from nas.reversible import run_chain
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
    Weight,
)
from search_spaces.reversible import Chain
from search_spaces.sparsity import Sparsity

Weights = Mapping[str, Mapping[str, Tensor]]
"""Tensors by weight path, then by tensor name, in exactly the shapes of one network."""


ZeroRule = Callable[[Tensor, Sparsity], Tensor]
"""(weight [out, in, *taps], sparsity) to the weight that is used."""


@dataclass(frozen=True, slots=True)
class Mode:
    """How a network is run.

    batch_statistics: batch norms normalise by the batch; running statistics, where the weights hold
    them, are updated in place. dropout: drop elements. momentum: of that update, `None` for each
    operator's own; statistics beside which the weights hold "uses" are averaged over these instead,
    counted up. zeros_applied: the weights are already zero where sparsity drops them. zeros: how
    sparse weights are used, `None` for zeros that let no gradient through.
    """

    batch_statistics: bool = False
    dropout: bool = False
    momentum: float | None = None
    zeros_applied: bool = False
    zeros: ZeroRule | None = None

    @property
    def training(self) -> bool:
        """Whether gradients are wanted, and outputs that serve training only."""
        return self.batch_statistics and self.momentum is None


INFERENCE = Mode()
TRAINING = Mode(batch_statistics=True, dropout=True)

Rule = Callable[[Any, Sequence[Tensor], Mapping[str, Tensor], Mode], Tensor]

_MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d, 3: functional.max_pool3d}
_AVERAGE_POOLS: dict[int, Callable[..., Tensor]] = {
    1: functional.avg_pool1d,
    2: functional.avg_pool2d,
    3: functional.avg_pool3d,
}
_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu,
    "relu6": functional.relu6,
    "hard_swish": functional.hardswish,
    "silu": functional.silu,
    "gelu": functional.gelu,
    "sigmoid": torch.sigmoid,
    "hard_sigmoid": functional.hardsigmoid,
}


def _weight(op: Conv | Linear, weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    weight = weights["weight"]
    if mode.zeros_applied:
        return weight
    return masked(weight, op.sparsity) if mode.zeros is None else mode.zeros(weight, op.sparsity)


def _conv(op: Conv, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    window = Window(op.stride, op.padding, op.dilation)
    return convolve(
        x[0],
        _weight(op, weights, mode),
        weights.get("bias"),
        window=window,
        training=mode.training,
    )


def _linear(op: Linear, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return functional.linear(x[0], _weight(op, weights, mode), weights.get("bias"))


def _batch_norm(op: BatchNorm, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    momentum = op.momentum if mode.momentum is None else mode.momentum
    if mode.momentum is not None and "uses" in weights:
        momentum = 1 / float(weights["uses"].add_(1))
    return functional.batch_norm(
        x[0],
        weights.get("running_mean"),
        weights.get("running_var"),
        weights["weight"],
        weights["bias"],
        training=mode.batch_statistics,
        momentum=momentum,
        eps=op.eps,
    )


def _channel_conv(op: ChannelConv, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    line = x[0].flatten(1).unsqueeze(1)
    return functional.conv1d(line, weights["weight"].view(1, 1, -1), padding=op.kernel // 2).view_as(x[0])


def _instance_norm(op: InstanceNorm, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return functional.instance_norm(x[0], weight=weights["weight"], bias=weights["bias"], eps=op.eps)


def _response_norm(op: ResponseNorm, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    size = torch.linalg.vector_norm(x[0], dim=tuple(range(2, x[0].ndim)), keepdim=True)
    per_channel = (-1, *(1,) * (x[0].ndim - 2))
    weight = weights["weight"].view(per_channel)
    factor = 1 + weight * (size / (size.mean(dim=1, keepdim=True) + op.eps))
    return torch.addcmul(weights["bias"].view(per_channel), x[0], factor) if op.bias else x[0] * factor


def _layer_norm(op: LayerNorm, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    inner = x[0].movedim(1, -1)
    shape = weights["weight"].shape
    return functional.layer_norm(inner, shape, weights["weight"], weights["bias"], op.eps).movedim(-1, 1)


def _activation(op: Activation, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return _ACTIVATIONS[op.kind](x[0])


def _add(op: Add, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    total = x[0] + x[1]
    for term in x[2:]:
        total = total + term
    return total


def _multiply(op: Multiply, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return x[0] * x[1]


def _concat(op: Concat, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return torch.cat(tuple(x), dim=1)


def _slice(op: Slice, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return x[0].narrow(1, op.start, op.channels)


def _pool(op: Pool, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    axes = len(op.kernel)
    if op.kind == "max":
        return _MAX_POOLS[axes](x[0], op.kernel, op.stride, op.padding, 1, op.ceil)
    pool = _AVERAGE_POOLS[axes]
    return pool(x[0], op.kernel, op.stride, op.padding, op.ceil, op.count_padding)


def _global_pool(op: GlobalPool, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return x[0].mean(dim=tuple(range(2, x[0].ndim)), keepdim=True)


def _flatten(op: Flatten, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return x[0].flatten(1)


def _scale(op: Scale, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return x[0] * weights["weight"].view(-1, *(1,) * (x[0].ndim - 2))


def _dropout(op: Dropout, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return functional.dropout(x[0], op.rate, training=mode.dropout)


def _input(op: Input, x: Sequence[Tensor], weights: Mapping[str, Tensor], mode: Mode) -> Tensor:
    return x[0]


TORCH: dict[type[Operator], Rule] = {
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
    GroupNorm: group_norm,
    Resize: resize,
    ChannelPool: channel_pool,
    ChannelSoftmax: channel_softmax,
    Shift: shift,
    Blend: blend,
}
"""The torch rule of each operator: (operator, inputs [n, C, *spatial], its tensors, mode) -> output."""


def execute(network: Network, weights: Weights, x: Tensor, *, mode: Mode = INFERENCE) -> dict[str, Tensor]:
    """Run `network` on x [n, C, *spatial] and return its outputs by name.

    Values are released after their last reader. Outputs that serve training only are computed in
    training alone; there the activations inside reversible scopes are not kept. Raises `NasError`
    when x does not fit the network's input.
    """
    shape = network.input.shape
    if tuple(x.shape[1:]) != shape:
        raise NasError(f"the network takes inputs of shape {shape}, got {tuple(x.shape[1:])}; resize them first")
    wanted = dict(network.outputs)
    order: Sequence[int] = range(len(network.nodes))
    if not mode.training and network.training_only:
        wanted = {name: i for name, i in wanted.items() if name not in network.training_only}
        order = network.inference_nodes
    last_reader = {source: i for i in order for source in network.nodes[i].inputs}
    for index in wanted.values():
        last_reader[index] = len(network.nodes)
    chains = (
        {i: chain for chain in network.chains for i in chain.nodes} if mode.training and torch.is_grad_enabled() else {}
    )
    values: dict[int, Tensor] = {}
    for i in order:
        if i in chains:
            if i == chains[i].nodes.start:
                _run_reversible(network, chains[i], weights, values, mode)
                for source in chains[i].read:
                    if last_reader[source] in chains[i].nodes:
                        values.pop(source, None)
            continue
        node = network.nodes[i]
        inputs = [values[source] for source in node.inputs] or [x]
        values[i] = TORCH[type(node.op)](node.op, inputs, weights.get(node.weights_path, {}), mode)
        del inputs
        for source in node.inputs:
            if last_reader[source] == i:
                values.pop(source, None)
    return {name: values[i] for name, i in wanted.items()}


def _run_reversible(network: Network, chain: Chain, weights: Weights, values: dict[int, Tensor], mode: Mode) -> None:
    """Put what a reversible scope gives into `values`."""

    def compute(index: int, x: Sequence[Tensor], tensors: Mapping[str, Tensor]) -> Tensor:
        op = network.nodes[index].op
        return TORCH[type(op)](op, x, tensors, mode)

    a, b = (values[source] for source in chain.read)
    given = run_chain(network, chain, weights, a, b, compute=compute)
    values.update(zip(chain.given, given, strict=True))


def initial_tensors(
    op: Operator, weights: Mapping[str, Weight], *, groups: int, generator: torch.Generator
) -> dict[str, Tensor]:
    """Return fresh float32 tensors of the given shapes for `op`.

    Convolutions: normal with variance 2 / fan-out, the fan-out counted within one of `groups` (He
    et al. 2015); linear layers: normal with deviation 0.01; convolutions along channels: normal with
    variance 1 / kernel; biases 0; scales of norms 1, or 0 where the norm ends a residual branch
    or is a response norm.
    """
    tensors: dict[str, Tensor] = {}
    for name, weight in weights.items():
        tensor = torch.zeros(weight.shape)
        if name == "weight" and isinstance(op, Conv):
            taps = tensor[0, 0].numel()
            fan_out = max(1, weight.shape[0] // groups) * taps
            tensor.normal_(0.0, (2.0 / fan_out) ** 0.5, generator=generator)
        elif name == "weight" and isinstance(op, Linear):
            tensor.normal_(0.0, 0.01, generator=generator)
        elif name == "weight" and isinstance(op, ChannelConv):
            tensor.normal_(0.0, op.kernel**-0.5, generator=generator)
        elif name == "weight" and isinstance(op, Scale | Blend):
            tensor.fill_(op.init)
        elif name == "running_var" or (name == "weight" and not _starts_at_zero(op)):
            tensor.fill_(1.0)
        tensors[name] = tensor
    return tensors


def _starts_at_zero(op: Operator) -> bool:
    return isinstance(op, ResponseNorm) or (isinstance(op, BatchNorm | GroupNorm) and op.zero_init)


class NetworkModule(nn.Module):
    """A network with weights of its own, for training from scratch.

    `state_dict` keys are "<weight path>.<tensor name>"; weights that nodes share appear once. The
    same `seed` gives the same initial weights. Called on x [n, C, *spatial] it returns the output,
    or outputs by name where there are several.
    """

    def __init__(self, network: Network, *, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        holders: dict[str, nn.Module] = {}
        for node in network.nodes:
            weights = node.op.weights(network.input_shapes(node))
            if not weights or node.weights_path in holders:
                continue
            holder = holders[node.weights_path] = _holder(self, node.weights_path)
            groups = _groups(network, node)
            tensors = initial_tensors(node.op, weights, groups=groups, generator=generator)
            for name, tensor in tensors.items():
                if weights[name].learnable:
                    holder.register_parameter(name, nn.Parameter(tensor))
                else:
                    holder.register_buffer(name, tensor)
        self.network = network
        self._holders = holders

    def weights(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors by weight path and name, those in use, not copies."""
        found: dict[str, dict[str, Tensor]] = {}
        for path, holder in self._holders.items():
            found[path] = dict(holder.named_parameters(recurse=False))
            found[path].update(holder.named_buffers(recurse=False))
        return found

    def load_weights(self, weights: Weights) -> None:
        """Copy `weights` in; those missing keep their values. Raises `NasError` for other shapes."""
        with torch.no_grad():
            for path, tensors in self.weights().items():
                for name, tensor in tensors.items():
                    given = weights.get(path, {}).get(name)
                    if given is None:
                        continue
                    if given.shape != tensor.shape:
                        raise NasError(f"{path}.{name} has shape {tuple(tensor.shape)}, got {tuple(given.shape)}")
                    tensor.copy_(given)

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        mode = TRAINING if self.training else INFERENCE
        outputs = execute(self.network, self.weights(), x, mode=mode)
        return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _groups(network: Network, node: Node) -> int:
    return node.op.groups(network.input_shapes(node)[0][0]) if isinstance(node.op, Conv) else 1


def _holder(root: nn.Module, path: str) -> nn.Module:
    """The submodule at the dotted `path`, made where missing; any name may be used, "type" too."""
    holder = root
    for part in path.split("."):
        holder = holder._modules.setdefault(part, nn.Module())  # type: ignore[assignment]
    return holder
