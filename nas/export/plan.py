"""One body for all variants of a block: steps that some variants lack hand one of their inputs through."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nas.export.operators import Expression, Module
from nas.export.tree import Group, Leaf

MOST_COMBINATIONS = 4096


class Ref(NamedTuple):
    """Output number `output` of the step called `step`; of the body's own inputs when that is empty."""

    step: str
    output: int


@dataclass(frozen=True, slots=True)
class Chain:
    """Modules run one after the other: an `nn.Sequential` with named children."""

    children: tuple[tuple[str, "Module | Chain"], ...]


Part = Module | Expression | Chain


@dataclass(frozen=True, slots=True)
class Step:
    """One part of a body; `shares` names the step whose module it calls."""

    name: str
    part: Part
    inputs: tuple[Ref, ...]
    outputs: int = 1
    shares: str | None = None

    @property
    def kind(self) -> tuple[object, ...]:
        """What the same step of two variants must have in common."""
        if isinstance(self.part, Module):
            names = tuple(argument.name for argument in self.part.arguments)
            return self.part.constructor, names, self.outputs, self.shares
        return self.part, self.outputs, self.shares

    @property
    def activation(self) -> bool:
        """Whether it is an activation, whose absence is just another kind of activation."""
        return isinstance(self.part, Module) and not self.part.constructor


@dataclass(frozen=True, slots=True)
class Body:
    """What one module does: steps over `inputs` tensors, and what it returns."""

    inputs: int
    steps: tuple[Step, ...]
    outputs: tuple[Ref, ...]

    @property
    def topology(self) -> tuple[object, ...]:
        """Everything but the literals."""
        rows = tuple((step.name, step.kind, step.inputs) for step in self.steps)
        return self.inputs, rows, self.outputs

    @property
    def chain(self) -> bool:
        """Whether it is a sequence of modules, each fed by the one before alone."""
        before = Ref("", 0)
        for step in self.steps:
            if isinstance(step.part, Expression) or step.shares or step.inputs != (before,) or step.outputs != 1:
                return False
            before = Ref(step.name, 0)
        return self.inputs == 1 and self.outputs == (before,) and bool(self.steps)


@dataclass(frozen=True, slots=True)
class Slot:
    """A step of the common body; variants without it use its input number `passes` instead of its output."""

    name: str
    inputs: tuple[Ref, ...]
    outputs: int
    shares: str | None
    optional: bool = False
    passes: int = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """The common body of several variants."""

    inputs: int
    slots: tuple[Slot, ...]
    outputs: tuple[Ref, ...]


def body_of(group: Group, parts: Mapping[Group, Module | Chain], sources: Sequence[Sequence[int]]) -> Body:
    """Body of `group`, its child groups being `parts`; `sources` are the inputs of each node."""
    values = {index: Ref("", position) for position, index in enumerate(group.reads)}
    module_of = {part.name: part for part in group.parts if isinstance(part, Group)}
    steps = []
    for part in group.parts:
        made: Part
        reads: Sequence[int]
        writes: Sequence[int]
        if isinstance(part, Leaf):
            reads, writes, made = sources[part.index], (part.index,), part.piece
        else:
            owner = part if part.shares is None else module_of[part.shares]
            reads, writes, made = part.reads, part.writes, parts[owner]
        steps.append(Step(part.name, made, tuple(values[i] for i in reads), len(writes), part.shares))
        values |= {index: Ref(part.name, position) for position, index in enumerate(writes)}
    return Body(len(group.reads), tuple(steps), tuple(values[i] for i in group.writes))


def common_plan(bodies: Sequence[Body]) -> Plan | None:
    """The plan that every one of `bodies` is a variant of, or `None` when there is none.

    The plan computes what each variant computes and keeps no tensor alive longer than the variant alone would.
    """
    variants = list({body.topology: body for body in bodies}.values())
    first = variants[0]
    if len(variants) == 1:
        slots = [Slot(step.name, step.inputs, step.outputs, step.shares) for step in first.steps]
        return Plan(first.inputs, tuple(slots), first.outputs)
    order = _common_order([[step.name for step in body.steps] for body in variants])
    if order is None or any(_arity(body) != _arity(first) for body in variants):
        return None
    known: dict[str, list[Step]] = {name: [] for name in order}
    for step in (step for body in variants for step in body.steps):
        known[step.name].append(step)
    rank = {"": -1} | {name: position for position, name in enumerate(order)}
    slots = []
    for name, steps in known.items():
        if any(step.kind != steps[0].kind or len(step.inputs) != len(steps[0].inputs) for step in steps):
            return None
        inputs = _latest([step.inputs for step in steps], rank)
        if inputs is None:
            return None
        slots.append(Slot(name, inputs, steps[0].outputs, steps[0].shares, optional=len(steps) < len(variants)))
    outputs = _latest([body.outputs for body in variants], rank)
    if outputs is None:
        return None
    for chosen in _passes(slots):
        plan = Plan(first.inputs, chosen, outputs)
        if all(_is_variant(body, plan) for body in variants):
            return plan
    return None


def _arity(body: Body) -> tuple[int, int]:
    return body.inputs, len(body.outputs)


def _common_order(sequences: Sequence[Sequence[str]]) -> list[str] | None:
    """An order of all names in which every sequence keeps its own; `None` when they contradict."""
    after: dict[str, set[str]] = {name: set() for sequence in sequences for name in sequence}
    for sequence in sequences:
        for earlier, later in itertools.pairwise(sequence):
            after[later].add(earlier)
    order: list[str] = []
    while len(order) < len(after):
        ready = next((name for name, before in after.items() if name not in order and before <= set(order)), None)
        if ready is None:
            return None
        order.append(ready)
    return order


def _latest(choices: Sequence[tuple[Ref, ...]], rank: Mapping[str, int]) -> tuple[Ref, ...] | None:
    """Per position, the reference to the latest step; a variant without that step falls back through it."""
    if len({len(refs) for refs in choices}) != 1:
        return None
    return tuple(max(refs, key=lambda ref: (rank[ref.step], ref.output)) for refs in zip(*choices, strict=True))


def _passes(slots: Sequence[Slot]) -> Iterator[tuple[Slot, ...]]:
    """Every way to choose which input an optional step hands through."""
    ways = [
        [Slot(s.name, s.inputs, s.outputs, s.shares, s.optional, i) for i in range(len(s.inputs))]
        if s.optional
        else [s]
        for s in slots
    ]
    yield from itertools.islice(itertools.product(*ways), MOST_COMBINATIONS)


def _is_variant(body: Body, plan: Plan) -> bool:
    """Whether `plan` without the steps that `body` lacks computes the same and frees tensors at the same steps."""
    steps = {step.name: step for step in body.steps}
    value: dict[Ref, Ref] = {Ref("", i): Ref("", i) for i in range(plan.inputs)}
    read: dict[Ref, int] = {}
    mentioned: dict[Ref, int] = {}
    for position, slot in enumerate(plan.slots):
        inputs = tuple(value[ref] for ref in slot.inputs)
        present = slot.name in steps
        for ref in inputs:
            mentioned[ref] = position
            if present:
                read[ref] = position
        if present and steps[slot.name].inputs != inputs:
            return False
        if not present and slot.outputs != 1:
            return False
        for i in range(slot.outputs):
            value[Ref(slot.name, i)] = Ref(slot.name, i) if present else inputs[slot.passes]
    if tuple(value[ref] for ref in plan.outputs) != body.outputs:
        return False
    runs = [position for position, slot in enumerate(plan.slots) if slot.name in steps]
    return all(
        ref.step == "" or ref in body.outputs or not any(read[ref] < p < last for p in runs)
        for ref, last in mentioned.items()
    )
