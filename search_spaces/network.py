"""The typed operator graph of one architecture, from which everything else is derived."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import TYPE_CHECKING, Any

from search_spaces.display import network_html, network_text
from search_spaces.operators import Add, Input, Layout, Operator, Shape, Weight
from search_spaces.reversible import Chain, chains_of

if TYPE_CHECKING:
    import networkx


@dataclass(frozen=True, slots=True)
class Node:
    """One operator in its place.

    `name` is its unique dotted path, `weights_path` the path of its weights (another node's name when they are
    shared), `inputs` are indices of earlier nodes, `layout` the channel segments of its output.
    """

    name: str
    op: Operator
    inputs: tuple[int, ...]
    shape: Shape
    layout: Layout
    weights_path: str

    @property
    def scope(self) -> str:
        """Dotted path of the scope that holds the node; empty at the top."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Scope:
    """A named part of the network; `block` and `arguments` tell which block function built it, if any.

    `summary` is the first line of that function's docstring. `reversible` makes training compute the activations
    inside again instead of keeping them (see `search_spaces.reversible`).
    """

    path: str
    block: str | None
    arguments: tuple[tuple[str, Any], ...]
    summary: str = ""
    reversible: bool = False


@dataclass(frozen=True)
class Network:
    """Nodes in execution order, named outputs (node indices) and scopes.

    Outputs named in `training_only` are left out of costs and of exported graphs.
    """

    nodes: tuple[Node, ...]
    outputs: tuple[tuple[str, int], ...]
    scopes: tuple[Scope, ...]
    training_only: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        return network_text(self)

    def _repr_html_(self) -> str:
        return network_html(self)

    @cached_property
    def index(self) -> Mapping[str, int]:
        """Node name to position."""
        return {node.name: i for i, node in enumerate(self.nodes)}

    @cached_property
    def input(self) -> Node:
        """The input node."""
        return next(node for node in self.nodes if isinstance(node.op, Input))

    @cached_property
    def inference_nodes(self) -> tuple[int, ...]:
        """Indices, in execution order, of the nodes that the outputs used at inference depend on."""
        needed: set[int] = set()
        pending = [index for name, index in self.outputs if name not in self.training_only]
        while pending:
            index = pending.pop()
            if index not in needed:
                needed.add(index)
                pending.extend(self.nodes[index].inputs)
        return tuple(sorted(needed))

    def input_shapes(self, node: Node) -> tuple[Shape, ...]:
        """Shapes of the tensors that `node` reads."""
        return tuple(self.nodes[i].shape for i in node.inputs)

    def input_layouts(self, node: Node) -> tuple[Layout, ...]:
        """Channel layouts of the tensors that `node` reads."""
        return tuple(self.nodes[i].layout for i in node.inputs)

    @cached_property
    def weights(self) -> Mapping[str, Mapping[str, Weight]]:
        """Tensors per weight path, each path once: {path: {tensor name: Weight}}."""
        found: dict[str, Mapping[str, Weight]] = {}
        for node in self.nodes:
            weights = node.op.weights(self.input_shapes(node))
            if weights:
                found.setdefault(node.weights_path, weights)
        return found

    @cached_property
    def chains(self) -> tuple[Chain, ...]:
        """The reversible scopes; raises `SpaceError` when a scope is marked reversible and is not."""
        return chains_of(self)

    @cached_property
    def fingerprint(self) -> str:
        """Identity of the computation: equal for networks that differ in names only, weight ties included."""
        return _digest(self._canonical(named=False))

    @cached_property
    def id(self) -> str:
        """Identity inside a supernet: the computation and the weight paths it uses."""
        return _digest(self._canonical(named=True))

    @cached_property
    def _described(self) -> tuple[list[str], list[str]]:
        """Per node its operator as text, and a digest of it and of everything below it."""
        described = [_describe(node.op) for node in self.nodes]
        merkle: list[str] = []
        for node, text in zip(self.nodes, described, strict=True):
            below = [merkle[i] for i in node.inputs]
            merkle.append(_digest([text, sorted(below) if isinstance(node.op, Add) else below]))
        return described, merkle

    def _canonical(self, *, named: bool) -> list[Any]:
        """Nodes numbered in depth-first order from the outputs; sums read their operands in a fixed order."""
        described, merkle = self._described
        number: dict[int, int] = {}
        ties: dict[str, int] = {}
        rows: list[Any] = []
        recomputed = {i for chain in self.chains for i in chain.nodes}

        def visit(root: int) -> None:
            stack = [(root, False)]
            while stack:
                index, ready = stack.pop()
                if index in number:
                    continue
                node = self.nodes[index]
                below = list(node.inputs)
                if isinstance(node.op, Add):
                    below.sort(key=lambda i: merkle[i])
                if not ready:
                    stack.append((index, True))
                    stack.extend((i, False) for i in reversed(below))
                    continue
                number[index] = len(number)
                tie = ties.setdefault(node.weights_path, len(ties))
                path = node.weights_path if named and node.op.weights(self.input_shapes(node)) else None
                mark = ["recomputed"] if index in recomputed else []
                rows.append([described[index], [number[i] for i in below], tie, path, *mark])

        for _, index in self.outputs:
            visit(index)
        return [rows, [[name, number[index]] for name, index in self.outputs]]

    def graph(self) -> "networkx.DiGraph[str]":
        """The network as a `networkx.DiGraph` of node names with `op`, `shape` and `scope` attributes."""
        import networkx

        graph: networkx.DiGraph[str] = networkx.DiGraph()
        for node in self.nodes:
            graph.add_node(node.name, op=node.op, shape=node.shape, scope=node.scope)
            for position, source in enumerate(node.inputs):
                graph.add_edge(self.nodes[source].name, node.name, position=position)
        return graph


def _describe(op: Operator) -> str:
    values = [[field.name, getattr(op, field.name)] for field in fields(op)]  # type: ignore[arg-type]
    return json.dumps([type(op).__name__, values])


def _digest(value: Any) -> str:
    text = json.dumps(value, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
