"""A torch module as an operator graph, traced once on an input of a fixed shape.

Operators of the vocabulary are themselves again, so that counts and predictions are the project's own; everything
else is `Opaque`, with the counts that PyTorch's own counter and the tensors' shapes give. Nothing is taken to happen
in place. Scopes are the calls of modules.
"""

import operator
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nas.own.rules import Seen, vocabulary
from search_spaces.errors import NasError
from search_spaces.network import Network, Node, Scope
from search_spaces.opaque import Opaque
from search_spaces.operators import VALUE_BYTES, Input, Operator, Shape, elements

if TYPE_CHECKING:
    from torch import nn
    from torch.export import ExportedProgram

AGAIN = re.compile(r"@\d+")
ATTENTION = "scaled_dot_product_attention"
FUSED = ("_transformer_encoder_layer_fwd", "_native_multi_head_attention")


@dataclass(frozen=True)
class Traced:
    """A traced module: its operator graph, PyTorch's own trace, and the operators whose products nobody counts."""

    network: Network
    program: "ExportedProgram"
    uncounted: tuple[str, ...] = ()


def trace(module: "nn.Module", input_shape: Shape, *, name: str) -> Traced:
    """Trace `module`, evaluating, on one sample float32 of `input_shape` (channels, *spatial); `name` is for errors.

    Raises NasError where it fails on such an input, where its way depends on the values it sees, or where it takes
    more than one tensor.
    """
    import torch

    from nas.export.check import quiet

    module.eval()
    x = torch.zeros(1, *input_shape)
    shape = ",".join(map(str, input_shape))
    try:
        with torch.no_grad():
            module(x)
    except Exception as error:
        raise NasError(
            f"{name} fails on an input of shape {shape}: {_first_line(error)}. Name the shape it takes (channels,"
            "height,width) with --own-input"
        ) from error
    try:
        with quiet(), torch.no_grad():
            program = torch.export.export(module, (x,))
    except Exception as error:
        raise NasError(
            f"{name} cannot be traced: {_first_line(error)}. What it does must not depend on the values it sees, and "
            "it must take one tensor"
        ) from error
    return _Reader(module, program).read()


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


class _Reader:
    """Reads a traced program from its first operator to its last."""

    def __init__(self, module: "nn.Module", program: "ExportedProgram") -> None:
        named = dict(module.named_parameters(remove_duplicate=False))
        first = {id(tensor): key for key, tensor in reversed(list(named.items()))}
        signature = program.graph_signature
        self.program = program
        self.tensors = {first[id(tensor)]: tensor for tensor in named.values()}
        self.parameters = {
            placeholder: first[id(named[key])] for placeholder, key in signature.inputs_to_parameters.items()
        }
        self.inputs, self.outputs = set(signature.user_inputs), list(signature.user_outputs)
        self.nodes: list[Node] = []
        self.places: dict[Any, int] = {}
        self.constants: dict[Any, frozenset[str]] = {}
        self.owners: dict[str, str] = {}
        self.scopes: dict[str, Scope] = {}
        self.uncounted: dict[str, None] = {}
        calls = [node for node in program.graph.nodes if node.op == "call_function"]
        self.alone = {path for path, count in Counter(_path(node) for node in calls).items() if count == 1}

    def read(self) -> Traced:
        """The program as a network."""
        for node in self.program.graph.nodes:
            if node.op == "placeholder" and node.name in self.inputs:
                shape = _shape(node)
                self._append(node, "input", Input(shape), (), shape, "")
            elif node.op == "placeholder":
                key = self.parameters.get(node.name)
                self.constants[node] = frozenset() if key is None else frozenset({key})
            elif node.op == "call_function":
                self._call(node)
        kept = [(node, self.places[node]) for node in self.places if node.name in self.outputs]
        if not kept:
            raise NasError("the network's output does not depend on its input")
        outputs = tuple(("output" if i == 0 else f"output{i + 1}", place) for i, (_, place) in enumerate(kept))
        network = Network(tuple(self.nodes), outputs, tuple(self.scopes.values()))
        return Traced(network, self.program, tuple(self.uncounted))

    def _call(self, node: Any) -> None:
        sources = tuple(self.places[arg] for arg in _flat((node.args, node.kwargs)) if arg in self.places)
        made_of = frozenset[str]().union(*(self.constants.get(arg, frozenset()) for arg in node.all_input_nodes))
        shape = _shape(node)
        if not sources or not shape:
            self.constants[node] = made_of
            return
        kind, arguments = _kind(node), self._arguments(node)
        shapes = tuple(self.nodes[i].shape for i in sources)
        found = vocabulary(kind, arguments, shapes, shape)
        if found is None and kind == "mul" and len(shapes) == 2:
            sources, shapes = sources[::-1], shapes[::-1]
            found = vocabulary(kind, arguments, shapes, shape)
        name = self._name(node, kind)
        weights = None if found is None else self._owned(name, found, shapes, arguments, made_of)
        if found is None or weights is None:
            found, weights = self._recorded(node, kind, shapes, shape, made_of), name
        self._append(node, name, found, sources, shape, weights)

    def _append(self, node: Any, name: str, op: Operator, sources: tuple[int, ...], shape: Shape, weights: str) -> None:
        self.places[node] = len(self.nodes)
        self.nodes.append(Node(name, op, sources, shape, ((name, shape[0]),), weights or name))

    def _arguments(self, node: Any) -> Mapping[str, Any]:
        """The arguments of a call by name, defaults filled in, tensors as `Seen`."""
        if not hasattr(node.target, "_schema"):
            return {}
        schema = node.target._schema.arguments
        found = {one.name: one.default_value if one.has_default_value() else None for one in schema}
        found |= dict(zip((one.name for one in schema), node.args, strict=False)) | node.kwargs
        return {name: self._seen(value) for name, value in found.items()}

    def _seen(self, value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [self._seen(one) for one in value]
        if not hasattr(value, "all_input_nodes"):
            return value
        if value in self.places:
            return Seen(self.nodes[self.places[value]].shape, flows=True)
        key = self.parameters.get(value.name)
        zeros = 0 if key is None else int((self.tensors[key] == 0).sum())
        return Seen(_whole_shape(value), flows=False, parameter=key, zeros=zeros)

    def _owned(
        self,
        name: str,
        op: Operator,
        shapes: tuple[Shape, ...],
        arguments: Mapping[str, Any],
        made_of: frozenset[str],
    ) -> str | None:
        """The path of the weights of `op`; `None` where they are not exactly parameters of its own or of one before."""
        learnable = [key for key, weight in op.weights(shapes).items() if weight.learnable]
        direct = {arguments[key].parameter for key in learnable if arguments.get(key) is not None}
        if None in direct or direct != made_of or len(direct) != len(learnable):
            return None
        owners = {self.owners.get(key) for key in direct}
        if owners <= {None}:
            self.owners |= dict.fromkeys(made_of, name)
            return name
        owner = owners.pop()
        return owner if not owners and owner else None

    def _recorded(
        self, node: Any, kind: str, shapes: tuple[Shape, ...], shape: Shape, made_of: frozenset[str]
    ) -> Opaque:
        new = [key for key in sorted(made_of) if key not in self.owners]
        self.owners |= dict.fromkeys(new, "")
        params = sum(self.tensors[key].numel() for key in new)
        nonzero = sum(int((self.tensors[key] != 0).sum()) for key in new)
        macs = _macs(node)
        words = kind.replace("_", " ")
        if macs is None:
            self.uncounted[words] = None
        moved = sum(map(elements, shapes)) + elements(shape) + params if macs else 0
        return Opaque(
            words,
            shape,
            macs or 0,
            params,
            nonzero,
            VALUE_BYTES * params,
            elements(shape) if macs else 0,
            moved,
            _is_view(node),
        )

    def _name(self, node: Any, kind: str) -> str:
        """Unique dotted name: the module's own where the call is all it does, else one in the module's scope."""
        path = _path(node)
        if path in self.alone and path:
            self._open(node, path.rpartition(".")[0])
            return path
        self._open(node, path)
        label = f"{path}.{kind}" if path else kind
        taken = {one.name for one in self.nodes} | self.scopes.keys()
        return next(name for name in _numbered(label) if name not in taken)

    def _open(self, node: Any, path: str) -> None:
        """Note the scopes on the way to `path`, each after the class of its module."""
        parts = _stack(node)
        for depth, (_, kind) in enumerate(parts, start=1):
            scope = ".".join(part for part, _ in parts[:depth])
            if path == scope or path.startswith(f"{scope}."):
                self.scopes.setdefault(scope, Scope(scope, kind, ()))


def _numbered(label: str) -> Iterable[str]:
    yield label
    count = 2
    while True:
        yield f"{label}{count}"
        count += 1


def _stack(node: Any) -> list[tuple[str, str]]:
    """The modules called around a call, outermost first: (name in the one around it, class)."""
    found: list[tuple[str, str]] = []
    before = ""
    for key, (path, kind) in (node.meta.get("nn_module_stack") or {}).items():
        clean = AGAIN.sub("", path)
        own = clean.removeprefix(f"{before}.") if before and clean.startswith(f"{before}.") else clean
        before = clean or before
        if not own:
            continue
        first, *rest = own.split(".")
        again = AGAIN.search(key)
        place = first + "".join(f"[{part}]" for part in rest) + (again[0] if again else "")
        name = kind if isinstance(kind, str) else kind.__name__
        found.append((place, name.rpartition(".")[2]))
    return found


def _path(node: Any) -> str:
    return ".".join(part for part, _ in _stack(node))


def _kind(node: Any) -> str:
    """The operator's name without its overload and the underscore of one that works in place."""
    if hasattr(node.target, "_schema"):
        return str(node.target._schema.name).partition("::")[2].removesuffix("_")
    return str(getattr(node.target, "__name__", node.target))


def _flat(value: Any) -> list[Any]:
    if isinstance(value, list | tuple):
        return [one for part in value for one in _flat(part)]
    if isinstance(value, dict):
        return _flat(list(value.values()))
    return [value] if hasattr(value, "all_input_nodes") else []


def _whole_shape(node: Any) -> Shape:
    return tuple(map(int, node.meta["val"].shape))


def _shape(node: Any) -> Shape:
    """Shape of what a call gives, without its batch axis; of several tensors their elements in one row; else empty."""
    value = node.meta.get("val")
    if isinstance(value, list | tuple):
        sizes = [one.numel() for one in value if hasattr(one, "numel")]
        return (int(sum(sizes)),) if sizes else ()
    if not hasattr(value, "shape"):
        return ()
    shape = tuple(map(int, value.shape))
    return (shape[1:] if shape[:1] == (1,) else shape) or (1,)


def _is_view(node: Any) -> bool:
    """Whether the output is the first argument seen otherwise."""
    if node.target is operator.getitem:
        return True
    returns: Sequence[Any] = node.target._schema.returns if hasattr(node.target, "_schema") else ()
    return bool(returns) and returns[0].alias_info is not None and not returns[0].alias_info.is_write


def _macs(node: Any) -> int | None:
    """Multiply-accumulates of a call by PyTorch's own counter of operations, which counts two each; `None`: not known.

    The call is made on tensors without content.
    """
    import torch
    from torch.fx.node import map_arg
    from torch.utils.flop_counter import FlopCounterMode

    if node.target is operator.getitem or _is_view(node):
        return 0
    kind = _kind(node)
    if not isinstance(node.target, torch._ops.OpOverload) or kind in FUSED:
        return None
    if kind == ATTENTION:
        query, key, value = (_whole_shape(one) for one in node.args[:3])
        return elements(query[:-1]) * key[-2] * (key[-1] + value[-1])
    args, kwargs = map_arg((node.args, node.kwargs), lambda one: one.meta["val"])
    try:
        with FlopCounterMode(display=False) as counter:
            node.target(*args, **kwargs)
    except Exception:
        return None
    return int(counter.get_total_flops()) // 2
