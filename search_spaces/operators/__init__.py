"""The operator vocabulary: one small frozen class each.

Every operator shows the same faces: `infer` (shape rule), `layout` (channel segments of its output),
`counts`, `weights` (named tensors with the role of each axis, from which slicing follows) and `saves` (what the
backward pass needs). Its torch rule and its source text are registered under the class in `nas`. A shape is
`(channels, *spatial)` without the batch axis, so one convolution serves one to three dimensions.

Counting conventions: one multiply-add is one MAC; MACs are counted for convolutions, linear layers and matrix
products only; parameters are all learnable ones, norm affine and biases included. Moved elements are those that
convolutions and linear layers read and write, weights included, each once, and what a concatenation copies.
"""

from search_spaces.operators.attention import Blend, ChannelPool, ChannelSoftmax, Shift
from search_spaces.operators.base import VALUE_BYTES, Counts, Layout, Operator, Role, Shape, Weight, divisors, elements
from search_spaces.operators.dense import GroupNorm, Resize
from search_spaces.operators.layers import ChannelConv, Conv, Linear
from search_spaces.operators.maps import Concat, Flatten, GlobalPool, Input, Pool, Slice
from search_spaces.operators.norms import BatchNorm, InstanceNorm, LayerNorm, ResponseNorm, Scale
from search_spaces.operators.pointwise import ACTIVATIONS, Activation, Add, Dropout, Multiply

OPERATORS: tuple[type[Operator], ...] = (
    Input,
    Conv,
    Linear,
    ChannelConv,
    BatchNorm,
    InstanceNorm,
    LayerNorm,
    ResponseNorm,
    Activation,
    Add,
    Multiply,
    Concat,
    Slice,
    Pool,
    GlobalPool,
    Flatten,
    Scale,
    Dropout,
    GroupNorm,
    Resize,
    ChannelPool,
    ChannelSoftmax,
    Shift,
    Blend,
)

__all__ = [
    "ACTIVATIONS",
    "OPERATORS",
    "VALUE_BYTES",
    "Activation",
    "Add",
    "BatchNorm",
    "Blend",
    "ChannelConv",
    "ChannelPool",
    "ChannelSoftmax",
    "Concat",
    "Conv",
    "Counts",
    "Dropout",
    "Flatten",
    "GlobalPool",
    "GroupNorm",
    "Input",
    "InstanceNorm",
    "LayerNorm",
    "Layout",
    "Linear",
    "Multiply",
    "Operator",
    "Pool",
    "Resize",
    "ResponseNorm",
    "Role",
    "Scale",
    "Shape",
    "Shift",
    "Slice",
    "Weight",
    "divisors",
    "elements",
]
