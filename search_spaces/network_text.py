"""A built network as JSON values and back, for programs that have no space to build it from."""

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from search_spaces.builder import NetworkBuilder, Tensor, Value
from search_spaces.errors import SpaceError
from search_spaces.network import Network, Scope
from search_spaces.operators import OPERATORS, Operator

KINDS: Mapping[str, type[Operator]] = {kind.__name__: kind for kind in OPERATORS}


def network_to_json(network: Network) -> dict[str, Any]:
    """`network` as strict JSON values: nodes as [name, operator, its fields, inputs, path of its weights].

    Scopes, which say how source text is laid out, are left out, but for the paths of reversible ones;
    `network_from_json` gives back all else.
    """
    reversible = [scope.path for scope in network.scopes if scope.reversible]
    return {
        "nodes": [
            [node.name, type(node.op).__name__, _fields(node.op), node.inputs, node.weights_path]
            for node in network.nodes
        ],
        "outputs": dict(network.outputs),
        "training_only": sorted(network.training_only),
        **({"reversible": reversible} if reversible else {}),
    }


def network_from_json(data: Mapping[str, Any]) -> Network:
    """The network that `network_to_json` described; shapes are inferred and checked anew.

    Raises SpaceError (ShapeError where shapes do not fit) for values that describe no network.
    """
    net = NetworkBuilder(_no_choice)
    tensors: list[Tensor] = []
    try:
        for name, kind, values, inputs, weights in data["nodes"]:
            op = KINDS[kind](**{key: _tupled(value) for key, value in values.items()})
            sources = [tensors[i] for i in inputs]
            tensors.append(net.apply(op, *sources, name=name, weights=None if weights == name else weights))
        outputs = {name: tensors[index] for name, index in data["outputs"].items()}
        network = net.finish(outputs, frozenset(data["training_only"]))
        scopes = tuple(Scope(path, None, (), reversible=True) for path in data.get("reversible", ()))
        return replace(network, scopes=scopes) if scopes else network
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise SpaceError(f"not a network: {type(error).__name__} {error}") from error


def _fields(op: Operator) -> dict[str, Any]:
    return {field.name: getattr(op, field.name) for field in fields(op)}  # type: ignore[arg-type]


def _tupled(value: Any) -> Any:
    return tuple(map(_tupled, value)) if isinstance(value, list) else value


def _no_choice(name: str, options: Sequence[Value], /) -> Any:
    raise SpaceError(f"a network that is read has no choice {name!r}")
