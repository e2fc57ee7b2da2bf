"""Kernels: the fused units in which a runtime executes a network, and their describing numbers.

Which operators cost nothing of their own depends on the runtime. `"graph"` is what ONNX Runtime was seen to do: a
batch norm behind a convolution or linear layer is folded into it, and a cheap activation behind those is computed by
the same kernel. `"quantised"` is what it does in int8: of the activations only those that clip are computed by the
kernel before them. `"none"` is eager execution: every operator that computes is a kernel. A kernel is derived from one
node alone (its operator, the shapes it reads, the operators that made them), so tables can evaluate it per node.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from search_spaces.network import Network
from search_spaces.opaque import Opaque
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
    Shape,
    Shift,
    Slice,
    elements,
)
from search_spaces.sparsity import Sparsity

Fusion = Literal["graph", "quantised", "none"]
FUSED_ACTIVATIONS = frozenset({"relu", "relu6", "sigmoid", "hard_sigmoid", "hard_swish"})
CLIPPING_ACTIVATIONS = frozenset({"relu", "relu6"})
KINDS: dict[type[Operator], str] = {
    Conv: "conv",
    Linear: "linear",
    ChannelConv: "channel_conv",
    BatchNorm: "norm",
    InstanceNorm: "norm",
    LayerNorm: "norm",
    GroupNorm: "norm",
    ResponseNorm: "norm",
    Activation: "activation",
    Add: "add",
    Multiply: "multiply",
    Concat: "concat",
    Slice: "slice",
    Pool: "pool",
    GlobalPool: "global_pool",
    Scale: "scale",
    Resize: "resize",
    ChannelPool: "channel_pool",
    ChannelSoftmax: "softmax",
    Shift: "shift",
    Blend: "blend",
}

NORMS: dict[type[Operator], str] = {
    BatchNorm: "batch",
    GroupNorm: "group",
    InstanceNorm: "instance",
    LayerNorm: "layer",
    ResponseNorm: "response",
}


@dataclass(frozen=True, slots=True)
class Kernel:
    """One unit of execution for one sample.

    `kind` is one of the values of `KINDS` (or the lower-case class name of another operator), `detail` its variant:
    the activation, "max" or "average" pooling, the sort of norm, how a map is resized, "gate" for a product with one
    value per channel. Shapes are (channels, *spatial); `in_shape` is that of the first input and `inputs` their number.
    `group_size` counts the input channels a convolution's group reads (0 for other kinds). `moved_elements` counts
    everything read, weights included, and written. `sparsity` is recorded; dense runtimes do not exploit it.
    """

    kind: str
    in_shape: Shape
    out_shape: Shape
    detail: str = ""
    inputs: int = 1
    window: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    group_size: int = 0
    macs: int = 0
    moved_elements: int = 0
    sparsity: Sparsity = 0.0

    @property
    def groups(self) -> int:
        """Number of groups of a convolution (1 for other kinds)."""
        return self.in_shape[0] // self.group_size if self.group_size else 1

    @property
    def dense(self) -> "Kernel":
        """The same kernel without its sparsity: what a runtime that ignores zeros executes."""
        if self.sparsity == 0.0:
            return self
        return Kernel(
            self.kind,
            self.in_shape,
            self.out_shape,
            self.detail,
            self.inputs,
            self.window,
            self.stride,
            self.dilation,
            self.group_size,
            self.macs,
            self.moved_elements,
        )


def kernel_of(
    op: Operator,
    in_shapes: tuple[Shape, ...],
    producer_ops: Sequence[Operator | type[Operator]],
    *,
    fusion: Fusion = "graph",
) -> Kernel | None:
    """The kernel of one node; `None` where it costs nothing of its own.

    `producer_ops` are the operators (or their classes) that made the node's inputs, in order.
    """
    if isinstance(op, (Input, Flatten, Dropout)) or (isinstance(op, Opaque) and op.is_view):
        return None
    if fusion != "none" and _merged(op, producer_ops, fusion):
        return None
    out_shape = op.infer(in_shapes)
    weights = sum(elements(weight.shape) for weight in op.weights(in_shapes).values())
    read = elements(out_shape) if isinstance(op, Slice) else sum(map(elements, in_shapes))
    window, stride, dilation, group_size = _geometry(op)
    return Kernel(
        kind=KINDS.get(type(op), type(op).__name__.lower()),
        in_shape=in_shapes[0],
        out_shape=out_shape,
        detail=_detail(op, in_shapes),
        inputs=len(in_shapes),
        window=window,
        stride=stride,
        dilation=dilation,
        group_size=group_size,
        macs=op.counts(in_shapes).macs,
        moved_elements=read + elements(out_shape) + weights,
        sparsity=op.sparsity if isinstance(op, (Conv, Linear)) else 0.0,
    )


def _merged(op: Operator, producer_ops: Sequence[Operator | type[Operator]], fusion: Fusion) -> bool:
    """Whether the kernel of the node's first producer does this operator's work as well."""
    producer = producer_ops[0]
    kind = producer if isinstance(producer, type) else type(producer)
    if isinstance(op, BatchNorm):
        return kind in (Conv, Linear)
    if isinstance(op, Activation) and fusion == "quantised":
        return op.kind in CLIPPING_ACTIVATIONS and kind is not Input
    if isinstance(op, Activation):
        return op.kind in FUSED_ACTIVATIONS and kind in (Conv, Linear, BatchNorm)
    return False


def _geometry(op: Operator) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...], int]:
    """Window, stride, dilation and group size of operators that have them."""
    if isinstance(op, Conv):
        return op.kernel, op.stride, op.dilation, op.group_size
    if isinstance(op, Pool):
        return op.kernel, op.stride, (1,) * len(op.kernel), 0
    return (), (), (), 0


def _detail(op: Operator, in_shapes: tuple[Shape, ...]) -> str:
    if isinstance(op, (Activation, ChannelPool, Pool, Resize)):
        return op.kind
    if type(op) in NORMS:
        return NORMS[type(op)]
    if isinstance(op, Multiply) and math.prod(in_shapes[1][1:]) < math.prod(in_shapes[0][1:]):
        return "gate"
    return ""


def kernel_nodes(network: Network, *, fusion: Fusion = "graph") -> tuple[tuple[int, Kernel | None], ...]:
    """(node index, its kernel or `None`) of every node used at inference, in execution order."""
    return tuple(
        (
            i,
            kernel_of(
                network.nodes[i].op,
                network.input_shapes(network.nodes[i]),
                tuple(network.nodes[source].op for source in network.nodes[i].inputs),
                fusion=fusion,
            ),
        )
        for i in network.inference_nodes
    )


def kernels(network: Network, *, fusion: Fusion = "graph") -> tuple[Kernel, ...]:
    """The kernels of `network` in execution order."""
    return tuple(kernel for _, kernel in kernel_nodes(network, fusion=fusion) if kernel is not None)
