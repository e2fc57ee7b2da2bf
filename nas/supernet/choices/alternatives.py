"""Where the options of a choice part in the graph of a network, and where they meet again.

All else being as in a base network, each option of a choice gives a network of its own. From the input up to some
node these are the same, and from some tensor on again; what lies between is what the choice is about. With the
values of that tensor mixed, all options run at once, as in OSNet-AIN's relaxation (Zhou et al. 2021).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nas.supernet.subnets import Coded
from search_spaces.errors import NasError
from search_spaces.network import Network, Node

Pairs = dict[int, int]


@dataclass(frozen=True)
class Branch:
    """What one option computes between the parting and the meeting.

    nodes: those of `network` to be run, in order. outside: other nodes that are read, as positions in the base.
    result: the node whose value meets those of the other options.
    """

    network: Network
    nodes: tuple[int, ...]
    outside: Mapping[int, int]
    result: int


@dataclass(frozen=True)
class Alternatives:
    """The options of the choice at `slot`, one branch each.

    meeting: the node of the base at which they meet. inside: the nodes of the base that not all options have, up to
    there and with it.
    """

    name: str
    slot: int
    meeting: int
    inside: frozenset[int]
    branches: tuple[Branch, ...]

    def meets(self, other: "Alternatives") -> bool:
        """Whether the two are about the same part of the base, so that they cannot be mixed at once."""
        return bool(self.inside & other.inside or self._reads & other._hidden or other._reads & self._hidden)

    @property
    def _reads(self) -> frozenset[int]:
        return frozenset(position for branch in self.branches for position in branch.outside.values())

    @property
    def _hidden(self) -> frozenset[int]:
        return self.inside - {self.meeting}


def alternatives(coded: Coded, slot: int) -> Alternatives:
    """The options of the choice at `slot`, all else as in the largest network.

    Raises `NasError` where they do not meet in one tensor of one shape, or where one needs other choices to change.
    """
    choice = coded.compiled.slots[slot]
    base = coded.subnet(coded.largest).network
    others = []
    for option in range(len(choice.options)):
        row = coded.largest.copy()
        row[slot] = option
        fixed = coded.compiled.repair(row[None])[0]
        if fixed[slot] != option:
            raise _unmixable(choice.name, f"{choice.options[option]!r} is not to be had in the largest network")
        others.append(coded.subnet(fixed).network)
    prefixes = [_prefix(base, other) for other in others]
    alike = [_alike(base, other, prefix) for other, prefix in zip(others, prefixes, strict=True)]
    parted = [pairs for pairs in alike if pairs is None or pairs[1]]
    if not parted:
        raise _unmixable(choice.name, "all its options build one network")
    if any(pairs is None for pairs in parted):
        raise _unmixable(choice.name, "its options use one part of the network in different ways")
    meeting = max(node for pairs in parted if pairs is not None for node in pairs[1])
    below = _below(base, meeting)
    shared = set(range(len(base.nodes))).intersection(*(prefix.values() for prefix in prefixes))
    inside = frozenset(below - shared)
    if meeting not in inside or not _is_cut(base, inside, meeting):
        raise _unmixable(choice.name, "its options do not meet in one tensor")
    branches = []
    for other, prefix, pairs in zip(others, prefixes, alike, strict=True):
        assert pairs is not None
        result = pairs[0].get(meeting) if pairs[1] else {base: own for own, base in prefix.items()}.get(meeting)
        if result is None:
            raise _unmixable(choice.name, "its options do not meet in one tensor")
        branches.append(_branch(other, result, {own: at for own, at in prefix.items() if at not in inside}))
    if any(not branch.network.nodes[node].inputs for branch in branches for node in branch.nodes):
        raise _unmixable(choice.name, "it changes the input")
    if any(at > meeting for branch in branches for at in branch.outside.values()):
        raise _unmixable(choice.name, "its options do not meet in one tensor")
    return Alternatives(choice.name, slot, meeting, inside, tuple(branches))


def groups_of(found: Sequence[Alternatives]) -> tuple[tuple[Alternatives, ...], ...]:
    """`found` in as few groups as come about by taking each into the first in which it meets no other."""
    groups: list[list[Alternatives]] = []
    for each in found:
        free = next((group for group in groups if not any(each.meets(other) for other in group)), None)
        if free is None:
            groups.append([each])
        else:
            free.append(each)
    return tuple(tuple(group) for group in groups)


def _unmixable(name: str, why: str) -> NasError:
    return NasError(
        f"the choice {name!r} cannot be learnt by mixing its options: {why}. Name others in supernet.relaxed, by the "
        "last word of their names"
    )


def _prefix(base: Network, other: Network) -> Pairs:
    """Nodes of `other` to those of `base` that compute the same from the input on."""
    known = {(node.op, node.weights_path, node.inputs): i for i, node in enumerate(base.nodes)}
    found: Pairs = {}
    for i, node in enumerate(other.nodes):
        if all(source in found for source in node.inputs):
            at = known.get((node.op, node.weights_path, tuple(found[source] for source in node.inputs)))
            if at is not None:
                found[i] = at
    return found


def _alike(base: Network, other: Network, prefix: Pairs) -> tuple[Pairs, frozenset[int]] | None:
    """Nodes of `base` to those of `other` whose values are used alike, and those of `base` where that begins.

    `None` where one node of `base` would stand for two of `other`.
    """
    pairs: Pairs = {}
    first: set[int] = set()
    ends = dict(other.outputs)
    if dict(base.outputs).keys() != ends.keys():
        return None
    pending = [(node, ends[name]) for name, node in base.outputs]
    while pending:
        mine, theirs = pending.pop()
        if prefix.get(theirs) == mine:
            continue
        if mine in pairs:
            if pairs[mine] != theirs:
                return None
            continue
        pairs[mine] = theirs
        if _same_step(base, base.nodes[mine], other, other.nodes[theirs]):
            pending.extend(zip(base.nodes[mine].inputs, other.nodes[theirs].inputs, strict=True))
        else:
            first.add(mine)
    return pairs, frozenset(first)


def _same_step(base: Network, mine: Node, other: Network, theirs: Node) -> bool:
    """Whether both nodes do the same with inputs of the same shapes and the same segments of channels."""
    if (mine.op, mine.weights_path, len(mine.inputs)) != (theirs.op, theirs.weights_path, len(theirs.inputs)):
        return False
    return _read(base, mine) == _read(other, theirs)


def _read(network: Network, node: Node) -> list[tuple[tuple[int, ...], list[int]]]:
    return [(network.nodes[i].shape, [size for _, size in network.nodes[i].layout]) for i in node.inputs]


def _below(network: Network, node: int) -> set[int]:
    """`node` and everything that it depends on."""
    found: set[int] = set()
    pending = [node]
    while pending:
        at = pending.pop()
        if at not in found:
            found.add(at)
            pending.extend(network.nodes[at].inputs)
    return found


def _is_cut(network: Network, inside: frozenset[int], meeting: int) -> bool:
    """Whether nothing outside reads what is inside, but for the meeting."""
    hidden = inside - {meeting}
    readers = (node for i, node in enumerate(network.nodes) if i not in inside)
    outputs = {node for _, node in network.outputs}
    return not hidden & outputs and not any(source in hidden for node in readers for source in node.inputs)


def _branch(network: Network, result: int, taken: Pairs) -> Branch:
    """The part of `network` that gives `result` from what is `taken` from the base."""
    nodes: set[int] = set()
    outside: Pairs = {}
    pending = [result]
    while pending:
        at = pending.pop()
        if at in taken:
            outside[at] = taken[at]
        elif at not in nodes:
            nodes.add(at)
            pending.extend(network.nodes[at].inputs)
    return Branch(network, tuple(sorted(nodes)), outside, result)
