"""Reversible scopes: couplings whose inputs follow from their outputs, so that training need not keep activations.

A coupling takes two tensors of one shape and adds to each what a branch makes of the other (Gomez et al. 2017):
b' = b + f(a), then a' = a + g(b'). Backwards, a = a' - g(b') and b = b' - f(a). A reversible scope holds couplings
alone, each in a scope of its own with its branches in scopes `f` and `g`; what one gives, only the next one reads.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from search_spaces.errors import SpaceError
from search_spaces.operators import Add, BatchNorm, Dropout

if TYPE_CHECKING:
    from search_spaces.network import Network

IRREPRODUCIBLE = (BatchNorm, Dropout)
"""Operators that do not give the same again when they are run a second time in training."""


@dataclass(frozen=True, slots=True)
class Coupling:
    """One coupling, by node indices: what it reads (a, b), what it gives (a', b'), and the nodes of its branches."""

    read: tuple[int, int]
    given: tuple[int, int]
    f: tuple[int, ...]
    g: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Chain:
    """The couplings of one reversible scope, in the order in which they run."""

    scope: str
    couplings: tuple[Coupling, ...]

    @property
    def nodes(self) -> range:
        """All nodes of the scope."""
        return range(self.couplings[0].f[0], self.couplings[-1].given[0] + 1)

    @property
    def read(self) -> tuple[int, int]:
        """The nodes (a, b) that the first coupling reads."""
        return self.couplings[0].read

    @property
    def given(self) -> tuple[int, int]:
        """The nodes (a', b') of the last coupling: all that training keeps."""
        return self.couplings[-1].given


def chains_of(network: "Network") -> tuple[Chain, ...]:
    """The chains of all reversible scopes of `network`, in execution order.

    Raises `SpaceError` for a scope marked reversible that is none.
    """
    marked = [scope.path for scope in network.scopes if scope.reversible]
    chains = [_chain(network, path, marked) for path in marked]
    return tuple(sorted(chains, key=lambda chain: chain.nodes.start))


def _chain(network: "Network", path: str, marked: Iterable[str]) -> Chain:
    if any(other != path and other.startswith(f"{path}.") for other in marked):
        raise SpaceError(f"{path}: a reversible scope cannot hold another one")
    members = _members(network, path)
    if not members:
        raise SpaceError(f"{path}: a reversible scope holds at least one coupling, this one is empty")
    parts: dict[str, list[int]] = {}
    for index in members:
        parts.setdefault(network.nodes[index].name[len(path) + 1 :].partition(".")[0], []).append(index)
    couplings = tuple(_coupling(network, f"{path}.{name}", nodes) for name, nodes in parts.items())
    for before, after in pairwise(couplings):
        if after.read != before.given:
            raise SpaceError(f"{path}: every coupling must read what the one before it gives, in the same order")
    chain = Chain(path, couplings)
    open_ends = set(chain.given)
    outputs = {index for _, index in network.outputs}
    inside = set(members)
    for index, node in enumerate(network.nodes):
        sources = {index} & outputs if index in inside else set(node.inputs) & inside
        hidden = sources - open_ends
        if hidden:
            name = network.nodes[min(hidden)].name
            raise SpaceError(
                f"{path}: {name} is read from outside, but training does not keep it; only the two tensors that the "
                "last coupling gives may be read"
            )
    return chain


def _members(network: "Network", path: str) -> list[int]:
    return [index for index, node in enumerate(network.nodes) if node.name.startswith(f"{path}.")]


def _coupling(network: "Network", path: str, members: list[int]) -> Coupling:
    f, g = (tuple(i for i in members if network.nodes[i].name.startswith(f"{path}.{name}.")) for name in "fg")
    rest = [index for index in members if index not in {*f, *g}]
    sums = len(rest) == 2 and all(isinstance(network.nodes[i].op, Add) for i in rest) and f and g
    if not sums or list(members) != [*f, rest[0], *g, rest[1]]:
        raise SpaceError(
            f"{path}: a coupling is a branch in a scope called f, a sum, a branch in a scope called g, a sum; nothing "
            "else may lie in a reversible scope"
        )
    for index in (*f, *g):
        node = network.nodes[index]
        if isinstance(node.op, IRREPRODUCIBLE):
            raise SpaceError(
                f"{node.name}: {type(node.op).__name__} does not give the same when it is computed again in the "
                "backward pass; take a group norm, and dropout outside of reversible scopes"
            )
    middle, last = rest
    a, made = _ends(network, path, f, middle)
    given, again = _ends(network, path, g, last)
    b = _other(network, path, middle, made)
    if given != middle or _other(network, path, last, again) != a:
        raise SpaceError(f"{path}: the branch g must read the first sum, and be added to what f reads")
    if network.nodes[a].shape != network.nodes[b].shape or a == b:
        raise SpaceError(f"{path}: a coupling reads two tensors of one shape")
    return Coupling((a, b), (last, middle), f, g)


def _ends(network: "Network", path: str, branch: tuple[int, ...], total: int) -> tuple[int, int]:
    """(the one node that `branch` reads, its last node), of which `total` alone reads the latter."""
    inside = set(branch)
    reads = {source for index in branch for source in network.nodes[index].inputs if source not in inside}
    ends = [source for source in network.nodes[total].inputs if source in inside]
    if len(reads) != 1 or len(ends) != 1:
        raise SpaceError(f"{path}: a branch of a coupling reads one tensor and is added to the other one")
    return reads.pop(), ends[0]


def _other(network: "Network", path: str, total: int, made: int) -> int:
    others = [source for source in network.nodes[total].inputs if source != made]
    if len(others) != 1:
        raise SpaceError(f"{path}: the sums of a coupling have two terms")
    return others[0]
