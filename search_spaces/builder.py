"""What a space function writes to: operators, scopes, and the requirements an architecture must meet."""

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Concatenate, Literal, ParamSpec, Protocol

from search_spaces.errors import InvalidArchitecture, ShapeError, SpaceError
from search_spaces.network import Network, Node, Scope
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
    Layout,
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
)
from search_spaces.sparsity import Sparsity

Value = str | int | float | bool
Size = int | tuple[int, ...]
Parameters = ParamSpec("Parameters")


class Pick(Protocol):
    """Asks for one value of a choice; the same name with the same options returns the same value."""

    def __call__(self, name: str, options: Sequence[Value], /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Tensor:
    """Handle of a node's output while a network is being built."""

    index: int
    shape: Shape
    layout: Layout

    @property
    def channels(self) -> int:
        """Number of channels (or features, when flat)."""
        return self.shape[0]

    @property
    def spatial(self) -> tuple[int, ...]:
        """Sizes of the spatial axes."""
        return self.shape[1:]


class OpenScope:
    """A scope being built; `pick` prefixes the names of choices with the scope's path."""

    def __init__(self, path: str, pick: Pick) -> None:
        self.path = path
        self._pick = pick

    def pick(self, name: str, options: Sequence[Value]) -> Any:
        """Ask for the value of the choice `<scope path>.<name>`."""
        return self._pick(f"{self.path}.{name}" if self.path else name, options)


def _per_axis(size: Size, axes: int) -> tuple[int, ...]:
    return size if isinstance(size, tuple) else (size,) * axes


class NetworkBuilder:
    """Records operators as a space function calls for them; shapes are inferred and checked at once."""

    def __init__(self, pick: Pick) -> None:
        self._pick = pick
        self._nodes: list[Node] = []
        self._scopes: dict[str, Scope] = {}
        self._names: set[str] = set()
        self._closed: set[str] = set()
        self._implicit: list[str] = []
        self._path = ""
        self.requirements: list[tuple[str, bool]] = []

    @property
    def path(self) -> str:
        """Path of the open scope, empty at the top; `weights` of nodes that share an earlier node's begin with it."""
        return self._path

    @property
    def built(self) -> int:
        """Number of nodes built so far."""
        return len(self._nodes)

    def tensors(self, start: int) -> list[Tensor]:
        """The outputs of all nodes built from number `start` on."""
        return [Tensor(i, node.shape, node.layout) for i, node in enumerate(self._nodes) if i >= start]

    def discard(self, start: int) -> None:
        """Take back all nodes from number `start` on, and the scopes that hold nothing then."""
        self._names -= {node.name for node in self._nodes[start:]}
        del self._nodes[start:]
        held = {parent for node in self._nodes for parent in _parents(node.name)}
        self._scopes = {path: scope for path, scope in self._scopes.items() if path in held or path == self._path}

    def require(self, condition: bool, why: str) -> None:
        """Refuse the architecture being built unless `condition` holds; `why` says what is asked for."""
        self.requirements.append((why, condition))
        if not condition:
            raise InvalidArchitecture(why)

    @contextmanager
    def scope(
        self,
        name: str,
        *,
        block: str | None = None,
        arguments: Mapping[str, Any] | None = None,
        summary: str = "",
        reversible: bool = False,
    ) -> Iterator[OpenScope]:
        """Open the scope `name` (dots nest); a path that was left may not be opened again.

        `reversible` makes training compute the activations inside again instead of keeping them; the scope must then
        hold couplings alone, as `search_spaces.reversible` describes them.
        """
        outer = self._path
        path = self._join(name)
        if path in self._scopes or path in self._names:
            raise SpaceError(f"scope {path!r} is used twice; every scope needs its own name")
        self._leave_implicit(path)
        for parent in _parents(path):
            if parent in self._closed:
                raise SpaceError(f"scope {path!r} is opened after its parent {parent!r} was left")
            if parent not in self._scopes:
                self._scopes[parent] = Scope(parent, None, ())
                self._implicit.append(parent)
        self._scopes[path] = Scope(path, block, tuple((arguments or {}).items()), summary, reversible)
        self._path = path
        try:
            yield OpenScope(path, self._pick)
        finally:
            self._path = outer
            self._closed.add(path)

    def _leave_implicit(self, path: str) -> None:
        """Close parents that only dotted names opened and `path` does not lie in, so scopes stay contiguous."""
        while self._implicit and not path.startswith(f"{self._implicit[-1]}."):
            self._closed.add(self._implicit.pop())

    def _join(self, name: str) -> str:
        return f"{self._path}.{name}" if self._path else name

    def free_name(self, label: str) -> str:
        """The first unused of `label`, `label2`, `label3` ... in the open scope."""
        count, name = 1, label
        while self._join(name) in self._names or self._join(name) in self._scopes:
            count += 1
            name = f"{label}{count}"
        return name

    def apply(self, op: Operator, *inputs: Tensor, name: str | None = None, weights: str | None = None) -> Tensor:
        """Append `op` over `inputs`; `weights` names an earlier node whose weights it shares."""
        path = self._join(name or self.free_name(op.label))
        if path in self._names or path in self._scopes:
            raise SpaceError(f"node {path!r} is used twice; every node needs its own name")
        shapes = tuple(tensor.shape for tensor in inputs)
        try:
            shape = op.infer(shapes)
        except ShapeError as error:
            raise ShapeError(f"{path}: {error}") from None
        if weights is not None:
            self._check_shared(path, op, shapes, weights)
        self._leave_implicit(path)
        layout = op.layout(path, tuple(tensor.layout for tensor in inputs), shape)
        sources = tuple(tensor.index for tensor in inputs)
        self._nodes.append(Node(path, op, sources, shape, layout, weights or path))
        self._names.add(path)
        return Tensor(len(self._nodes) - 1, shape, layout)

    def _check_shared(self, path: str, op: Operator, shapes: tuple[Shape, ...], weights: str) -> None:
        owner = next((node for node in self._nodes if node.name == weights), None)
        if owner is None:
            raise SpaceError(f"{path}: shares weights of {weights!r}, which is no earlier node")
        owned = owner.op.weights(tuple(self._nodes[i].shape for i in owner.inputs))
        if owned != op.weights(shapes):
            raise ShapeError(f"{path}: weights of {weights!r} have other shapes: {owned}")

    def input(self, channels: int, *spatial: int, name: str = "input") -> Tensor:
        """The network's input of shape (channels, *spatial)."""
        return self.apply(Input((channels, *spatial)), name=name)

    def conv(
        self,
        x: Tensor,
        out_channels: int,
        *,
        kernel: Size = 3,
        stride: Size = 1,
        padding: Size | None = None,
        dilation: Size = 1,
        group_size: int | None = None,
        bias: bool = False,
        sparsity: Sparsity = 0.0,
        name: str | None = None,
        weights: str | None = None,
    ) -> Tensor:
        """Convolution; `padding` defaults to "same" at stride 1, `group_size` to all input channels."""
        axes = len(x.spatial)
        taps, spacing = _per_axis(kernel, axes), _per_axis(dilation, axes)
        if padding is None:
            padding = tuple(d * (k - 1) // 2 for k, d in zip(taps, spacing, strict=True))
        op = Conv(
            out_channels,
            taps,
            _per_axis(stride, axes),
            _per_axis(padding, axes),
            spacing,
            x.channels if group_size is None else group_size,
            bias,
            sparsity,
        )
        return self.apply(op, x, name=name, weights=weights)

    def linear(
        self,
        x: Tensor,
        out_channels: int,
        *,
        bias: bool = True,
        sparsity: Sparsity = 0.0,
        name: str | None = None,
    ) -> Tensor:
        """Fully connected layer over a flat tensor."""
        return self.apply(Linear(out_channels, bias, sparsity), x, name=name)

    def batch_norm(self, x: Tensor, *, zero_init: bool = False, name: str | None = None) -> Tensor:
        """Batch normalisation."""
        return self.apply(BatchNorm(zero_init), x, name=name)

    def layer_norm(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Layer normalisation over channels."""
        return self.apply(LayerNorm(), x, name=name)

    def instance_norm(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Normalisation of each channel of each sample over its positions."""
        return self.apply(InstanceNorm(), x, name=name)

    def response_norm(self, x: Tensor, *, bias: bool = True, name: str | None = None) -> Tensor:
        """Global response normalisation."""
        return self.apply(ResponseNorm(bias), x, name=name)

    def channel_conv(self, x: Tensor, *, kernel: int, name: str | None = None) -> Tensor:
        """Convolution along the channels of a pooled map."""
        return self.apply(ChannelConv(kernel), x, name=name)

    def activation(self, x: Tensor, kind: str, *, name: str | None = None) -> Tensor:
        """Pointwise nonlinearity."""
        return self.apply(Activation(kind), x, name=name)

    def add(self, *tensors: Tensor, name: str | None = None) -> Tensor:
        """Elementwise sum."""
        return self.apply(Add(), *tensors, name=name)

    def multiply(self, x: Tensor, gate: Tensor, *, name: str | None = None) -> Tensor:
        """Product of a map and a gate."""
        return self.apply(Multiply(), x, gate, name=name)

    def concat(self, *tensors: Tensor, name: str | None = None) -> Tensor:
        """Concatenation along channels."""
        return self.apply(Concat(), *tensors, name=name)

    def slice(self, x: Tensor, start: int, channels: int, *, name: str | None = None) -> Tensor:
        """`channels` of x from the channel `start` on."""
        return self.apply(Slice(start, channels), x, name=name)

    def pool(
        self,
        x: Tensor,
        kind: Literal["max", "average"],
        *,
        kernel: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil: bool = False,
        name: str | None = None,
    ) -> Tensor:
        """Max or average pooling; `stride` defaults to the kernel, `ceil` keeps windows that overhang the end."""
        axes = len(x.spatial)
        taps = _per_axis(kernel, axes)
        steps = taps if stride is None else _per_axis(stride, axes)
        return self.apply(Pool(kind, taps, steps, _per_axis(padding, axes), ceil), x, name=name)

    def global_pool(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Average over all positions, spatial axes kept at size one."""
        return self.apply(GlobalPool(), x, name=name)

    def flatten(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """All axes into one."""
        return self.apply(Flatten(), x, name=name)

    def scale(self, x: Tensor, *, init: float = 1e-6, name: str | None = None) -> Tensor:
        """Learned factor per channel."""
        return self.apply(Scale(init), x, name=name)

    def dropout(self, x: Tensor, rate: float, *, name: str | None = None) -> Tensor:
        """Dropout while training; no operator at rate 0."""
        return x if rate == 0 else self.apply(Dropout(rate), x, name=name)

    def group_norm(self, x: Tensor, groups: int, *, zero_init: bool = False, name: str | None = None) -> Tensor:
        """Normalisation of each sample over groups of channels."""
        return self.apply(GroupNorm(groups, zero_init), x, name=name)

    def resize(
        self, x: Tensor, size: Size, *, kind: Literal["nearest", "linear"] = "linear", name: str | None = None
    ) -> Tensor:
        """A map brought to another spatial size; `x` itself where it has that size."""
        wanted = _per_axis(size, len(x.spatial))
        return x if wanted == x.spatial else self.apply(Resize(wanted, kind), x, name=name)

    def channel_pool(self, x: Tensor, kind: Literal["mean", "max"], *, name: str | None = None) -> Tensor:
        """Mean or maximum over the channels of each position."""
        return self.apply(ChannelPool(kind), x, name=name)

    def softmax(self, x: Tensor, *, name: str | None = None) -> Tensor:
        """Softmax over the channels of each position."""
        return self.apply(ChannelSoftmax(), x, name=name)

    def shift(self, x: Tensor, offset: tuple[int, ...], *, name: str | None = None) -> Tensor:
        """A map moved by whole positions; zeros move in."""
        return self.apply(Shift(offset), x, name=name)

    def blend(self, x: Tensor, other: Tensor, *, init: float = 0.5, name: str | None = None) -> Tensor:
        """w x + (1 - w) other, with one learned w per channel."""
        return self.apply(Blend(init), x, other, name=name)

    def sparsify(self, sparsities: Mapping[str, Sparsity], *, otherwise: Sparsity = 0.0) -> None:
        """Give every convolution and linear layer built so far the sparsity of its weight path, or `otherwise`."""
        for i, node in enumerate(self._nodes):
            if isinstance(node.op, Conv | Linear):
                op = replace(node.op, sparsity=sparsities.get(node.weights_path, otherwise))
                self._nodes[i] = replace(node, op=op)

    def finish(self, outputs: Tensor | Mapping[str, Tensor], training_only: frozenset[str] = frozenset()) -> Network:
        """Close the network over its output or named outputs; every node must serve one of them."""
        named = {"output": outputs} if isinstance(outputs, Tensor) else dict(outputs)
        network = Network(
            tuple(self._nodes),
            tuple((name, tensor.index) for name, tensor in named.items()),
            tuple(self._scopes.values()),
            training_only,
        )
        read = {i for node in self._nodes for i in node.inputs} | {i for _, i in network.outputs}
        unread = [node.name for i, node in enumerate(self._nodes) if i not in read]
        if unread:
            raise SpaceError(f"nothing reads the output of {', '.join(unread)}; return it or leave it out")
        if sum(isinstance(node.op, Input) for node in self._nodes) != 1:
            raise SpaceError("a network needs exactly one input; call net.input(channels, *spatial) once")
        _ = network.chains
        return network


def _parents(path: str) -> list[str]:
    parts = path.split(".")
    return [".".join(parts[:n]) for n in range(1, len(parts))]


def block(
    function: Callable[Concatenate[NetworkBuilder, Tensor, Parameters], Tensor],
) -> Callable[Concatenate[NetworkBuilder, Tensor, Parameters], Tensor]:
    """Make `function(net, x, ..., name=None)` open a scope that records its name and arguments.

    The scope is called `name`, or after the function when that is `None`; the recorded arguments are what lets
    export write one class per block.
    """
    parameters = list(inspect.signature(function).parameters.values())[2:]
    template = {parameter.name: parameter.default for parameter in parameters}
    label = function.__name__
    summary = (inspect.getdoc(function) or "").partition("\n")[0]

    @functools.wraps(function)
    def wrapper(net: NetworkBuilder, x: Tensor, /, *args: Parameters.args, **kwargs: Parameters.kwargs) -> Tensor:
        arguments: dict[str, Any] = {**template, **dict(zip(template, args, strict=False)), **kwargs}
        name = arguments.pop("name", None) or net.free_name(label)
        with net.scope(str(name), block=label, arguments=arguments, summary=summary):
            return function(net, x, *args, **kwargs)

    return wrapper
