"""The classes of a network: one per block function where its variants allow, else one per distinct topology."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nas.export.classes import Instance, class_source
from nas.export.helpers import REVERSIBLE
from nas.export.operators import Module
from nas.export.plan import Body, Chain, Plan, Ref, body_of, common_plan
from nas.export.text import camel
from nas.export.tree import Group
from search_spaces.network import Network

SPELLINGS = {"mbconv": "MBConv"}


@dataclass(slots=True)
class Classes:
    """The classes written so far and how each group is constructed with them."""

    network: Network
    taken: set[str]
    lines: dict[str, tuple[str, ...]] = field(default_factory=dict)
    parts: dict[Group, Module | Chain] = field(default_factory=dict)

    def body(self, group: Group) -> Body:
        """Body of a group whose child groups are all written."""
        return body_of(group, self.parts, [node.inputs for node in self.network.nodes])

    def instance(self, group: Group, body: Body) -> Instance:
        """What the class of `group` needs to know of it."""
        nodes = self.network.nodes
        channels = {Ref("", i): nodes[index].shape[0] for i, index in enumerate(group.reads)}
        for part in group.parts:
            writes = part.writes if isinstance(part, Group) else (part.index,)
            channels |= {Ref(part.name, i): nodes[index].shape[0] for i, index in enumerate(writes)}
        return Instance(body, group.arguments, channels)

    def name(self, wish: str) -> str:
        """A class name that is still free."""
        name = SPELLINGS.get(wish) or camel(wish)
        count = 2
        while name in self.taken:
            name = f"{SPELLINGS.get(wish) or camel(wish)}{count}"
            count += 1
        self.taken.add(name)
        return name


def write_classes(root: Group, network: Network, *, taken: set[str]) -> Classes:
    """Write the classes of every group below `root`, those of inner blocks first."""
    classes = Classes(network, taken)
    inside_block = _inside_blocks(root)
    waiting = [group for group in root.groups() if group is not root]
    while waiting:
        ready = [g for g in waiting if all(child in classes.parts for child in _children(g))]
        held = {g.block for g in waiting if g.block is not None and g not in ready}
        whole = [g for g in ready if g.block is None or g.block not in held]
        for family in _families(whole or ready, classes, inside_block):
            _write_family(family, classes)
        waiting = [group for group in waiting if group not in classes.parts]
    classes.lines = {name: classes.lines[name] for name in _in_order_of_use(root, classes)}
    return classes


def _in_order_of_use(root: Group, classes: Classes) -> Iterator[str]:
    """Class names as they are first needed, those of inner blocks first."""
    parts = (classes.parts[group] for group in root.groups() if group is not root)
    yield from dict.fromkeys(part.constructor for part in parts if isinstance(part, Module))


def _children(group: Group) -> Iterator[Group]:
    return (part for part in group.parts if isinstance(part, Group) and part.shares is None)


def _inside_blocks(root: Group) -> set[Group]:
    """Groups that lie somewhere inside a block."""
    found: set[Group] = set()

    def visit(group: Group, inside: bool) -> None:
        if inside:
            found.add(group)
        for child in _children(group):
            visit(child, inside or group.block is not None)

    visit(root, False)
    return found


def _families(
    groups: Sequence[Group], classes: Classes, inside_block: set[Group]
) -> Iterator[list[tuple[Group, Body]]]:
    """Groups of one block function, and of free scopes of one topology; chains become `nn.Sequential` at once."""
    families: dict[object, list[tuple[Group, Body]]] = {}
    for group in groups:
        body = classes.body(group)
        free = group.block is None and not group.reversible and group not in inside_block
        if free and body.chain and not _needs_statement(body):
            children = ((step.name, step.part) for step in body.steps)
            classes.parts[group] = Chain(tuple(children))  # type: ignore[arg-type]
        else:
            families.setdefault((group.block or body.topology, group.reversible), []).append((group, body))
    yield from families.values()


def _needs_statement(body: Body) -> bool:
    arguments = (a for step in body.steps if isinstance(step.part, Module) for a in step.part.arguments)
    return any(argument.role == "zero_init" and argument.value for argument in arguments)


def _write_family(family: Sequence[tuple[Group, Body]], classes: Classes) -> None:
    for plan, members in _clusters(family):
        first = members[0][0]
        wish = first.block or re.sub(r"\d+$", "", first.name)
        wish = f"reversible_{wish}" if first.reversible else wish
        name = classes.name(wish)
        instances = [classes.instance(group, body) for group, body in members]
        summary, base = _summary(first, plan), "nn.Module"
        if first.reversible:
            summary, base = "Couplings whose activations training computes again.", REVERSIBLE
        source = class_source(name, summary, plan, instances, base=base)
        classes.lines[name] = source.lines
        for (group, _), module in zip(members, source.constructed, strict=True):
            classes.parts[group] = module


def _clusters(family: Sequence[tuple[Group, Body]]) -> list[tuple[Plan, list[tuple[Group, Body]]]]:
    """As few sets of members as can each share one plan, found greedily."""
    clusters: list[tuple[Plan, list[tuple[Group, Body]]]] = []
    for member in family:
        for i, (_, members) in enumerate(clusters):
            plan = common_plan([body for _, body in (*members, member)])
            if plan is not None:
                clusters[i] = (plan, [*members, member])
                break
        else:
            plan = common_plan([member[1]])
            assert plan is not None
            clusters.append((plan, [member]))
    return clusters


def _summary(group: Group, plan: Plan) -> str:
    """The block function's own summary, unless it speaks of code; else the steps."""
    if group.summary and not set(group.summary) & set('`\\"'):
        return group.summary
    steps = ", ".join(slot.name for slot in plan.slots)
    return f"{steps[:1].upper()}{steps[1:]}."


def tie_lines(root: Group, network: Network, owner_paths: Mapping[str, str]) -> list[str]:
    """Statements that let modules which cannot be one object use one set of weights."""
    lines = []
    for path, leaf in root.leaves():
        node = network.nodes[leaf.index]
        owner = owner_paths.get(node.weights_path, path)
        if owner != path:
            tensors = node.op.weights(network.input_shapes(node))
            lines += [f"self.{path}.{tensor} = self.{owner}.{tensor}" for tensor in tensors]
    return lines
