"""A network as nested modules: scopes become groups, operators leaves, with what flows between them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from nas.export.operators import Module, Piece, source_of
from nas.export.text import identifier
from search_spaces.network import Network, Scope
from search_spaces.operators import Input


@dataclass(eq=False, slots=True)
class Leaf:
    """An operator: node `index`, called `name` in its module; `shares` names the leaf whose module it calls."""

    index: int
    name: str
    piece: Piece
    shares: str | None = None


@dataclass(eq=False, slots=True)
class Group:
    """A scope: its parts in execution order, the nodes it reads from outside and those read from outside it.

    `name` is its attribute in its parent; `shares` names the sibling whose module it calls; `reversible` says that
    training keeps none of the activations inside.
    """

    path: str
    name: str
    block: str | None
    arguments: Mapping[str, Any]
    summary: str = ""
    parts: list["Leaf | Group"] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    reads: tuple[int, ...] = ()
    writes: tuple[int, ...] = ()
    shares: str | None = None
    reversible: bool = False

    def groups(self) -> Iterator["Group"]:
        """The groups that need a module of their own, below this one, and this one last."""
        for part in self.parts:
            if isinstance(part, Group) and part.shares is None:
                yield from part.groups()
        yield self

    def leaves(self) -> Iterator[tuple[str, Leaf]]:
        """(attribute path, leaf) of every leaf that lies in a module of its own."""
        for part in self.parts:
            if part.shares is not None:
                continue
            if isinstance(part, Leaf):
                yield part.name, part
            else:
                yield from ((f"{part.name}.{path}", leaf) for path, leaf in part.leaves())


def network_tree(network: Network) -> Group:
    """The group of the whole network, as inference runs it; the input belongs to no group."""
    scopes = {scope.path: scope for scope in network.scopes}
    root = Group("", "", None, {})
    open_groups: list[tuple[str, Group]] = [("", root)]
    for index in network.inference_nodes:
        node = network.nodes[index]
        if isinstance(node.op, Input):
            continue
        while not _inside(node.name, open_groups[-1][0]):
            open_groups.pop()
        for path in _between(open_groups[-1][0], node.scope):
            group = _group(scopes.get(path, Scope(path, None, ())))
            open_groups[-1][1].parts.append(group)
            open_groups.append((path, group))
        piece = source_of(node.op, network.input_shapes(node))
        open_groups[-1][1].parts.append(Leaf(index, node.name.rpartition(".")[2], piece))
        for _, group in open_groups:
            group.nodes.append(index)
    _collapse(root)
    _connect(root, network)
    _name(root)
    _share(root, network)
    return root


def _group(scope: Scope) -> Group:
    name, arguments = scope.path.rpartition(".")[2], dict(scope.arguments)
    return Group(scope.path, name, scope.block, arguments, scope.summary, reversible=scope.reversible)


def _inside(name: str, scope: str) -> bool:
    return not scope or name.startswith(f"{scope}.")


def _between(outer: str, inner: str) -> Iterator[str]:
    """Scope paths below `outer` down to `inner`."""
    if len(inner) > len(outer):
        start = len(outer) + 1 if outer else 0
        for end in (i for i, letter in enumerate(inner + ".") if letter == "." and i > start):
            yield inner[:end]


def _collapse(group: Group) -> None:
    """A scope that holds nothing but one block that bears no name of its own becomes this block."""
    for part in group.parts:
        if isinstance(part, Group):
            _collapse(part)
    if len(group.parts) == 1:
        (child,) = group.parts
        if isinstance(child, Group) and child.block == child.name and not group.reversible:
            group.block, group.arguments, group.summary = child.block, child.arguments, child.summary
            group.parts = child.parts


def _connect(root: Group, network: Network) -> None:
    outputs = {index for name, index in network.outputs if name not in network.training_only}
    readers: dict[int, list[int]] = {}
    for index in network.inference_nodes:
        for source in network.nodes[index].inputs:
            readers.setdefault(source, []).append(index)
    for group in _all_groups(root):
        inside = set(group.nodes)
        sources = (source for index in group.nodes for source in network.nodes[index].inputs)
        group.reads = tuple(dict.fromkeys(source for source in sources if source not in inside))
        group.writes = tuple(
            index
            for index in group.nodes
            if index in outputs or any(reader not in inside for reader in readers.get(index, ()))
        )
    root.writes = tuple(index for name, index in network.outputs if name not in network.training_only)


def _all_groups(group: Group) -> Iterator[Group]:
    for part in group.parts:
        if isinstance(part, Group):
            yield from _all_groups(part)
    yield group


@cache
def reserved_names() -> frozenset[str]:
    """Names that an attribute of a module may not have."""
    from torch import nn

    return frozenset(dir(nn.Sequential())) | {"self", "torch", "nn"}


def _name(root: Group) -> None:
    for group in _all_groups(root):
        taken = set(reserved_names())
        for part in group.parts:
            part.name = identifier(part.name, taken)
            taken.add(part.name)


def owners(network: Network) -> dict[str, int]:
    """The first node, in execution order at inference, that uses each weight path."""
    found: dict[str, int] = {}
    for index in network.inference_nodes:
        found.setdefault(network.nodes[index].weights_path, index)
    return found


def _share(root: Group, network: Network) -> None:
    """Let parts of one group that use the same weights in the same way call one module."""
    for group in _all_groups(root):
        known: dict[Any, str] = {}
        for part in group.parts:
            use = _use(part, network)
            if use is not None and use in known:
                part.shares = known[use]
            elif use is not None:
                known[use] = part.name


def _use(part: Leaf | Group, network: Network) -> Any:
    """What two parts must agree on to be one module; `None` for parts without weights."""
    nodes = [part.index] if isinstance(part, Leaf) else part.nodes
    place = {index: position for position, index in enumerate(nodes)}
    outside: dict[int, int] = {}
    rows = []
    weighted = False
    for index in nodes:
        node = network.nodes[index]
        shapes = network.input_shapes(node)
        if isinstance(part, Leaf) and not isinstance(part.piece, Module):
            return None
        has_weights = bool(node.op.weights(shapes))
        weighted |= has_weights
        inputs = tuple(place.get(i, -1 - outside.setdefault(i, len(outside))) for i in node.inputs)
        inner = "" if isinstance(part, Leaf) else node.name[len(part.path) :]
        rows.append((node.op, len(shapes[0]), inputs, node.weights_path if has_weights else None, inner))
    written = () if isinstance(part, Leaf) else tuple(place[i] for i in part.writes)
    return (tuple(rows), written) if weighted else None
