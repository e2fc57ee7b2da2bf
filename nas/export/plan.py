"""One body for all variants of a block: steps that some variants lack hand one of their inputs through."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from nas.export.operators import Expression, Module
from nas.export.tree import Group, Leaf

MOST_VISITS = 4096
MOST_PLANS = 64


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
    """The plan that every one of `bodies` is a variant of, or `None` when none is found.

    The plan computes what each variant computes and keeps no tensor alive longer than the variant alone would.
    """
    variants = list({body.topology: body for body in bodies}.values())
    first = variants[0]
    if len(variants) == 1:
        slots = tuple(Slot(step.name, step.inputs, step.outputs, step.shares) for step in first.steps)
        return Plan(first.inputs, slots, first.outputs)
    if not _alike(variants):
        return None
    for order in _common_orders(variants):
        plans = itertools.islice(_Search(variants, order).plans(), MOST_PLANS)
        found = next((plan for plan in plans if all(_is_variant(body, plan) for body in variants)), None)
        if found is not None:
            return found
    return None


def _alike(variants: Sequence[Body]) -> bool:
    """Whether variants take and return as much, and steps of one name are of one kind."""
    known: dict[str, tuple[object, ...]] = {}
    steps = (step for body in variants for step in body.steps)
    return len({(body.inputs, len(body.outputs)) for body in variants}) == 1 and all(
        known.setdefault(step.name, (step.kind, len(step.inputs))) == (step.kind, len(step.inputs)) for step in steps
    )


def _common_orders(variants: Sequence[Body]) -> Iterator[list[str]]:
    """Orders of all steps in which every variant keeps its own; where it is free, first come first or sums last."""
    after: dict[str, set[str]] = {step.name: set() for body in variants for step in body.steps}
    late = {step.name for body in variants for step in body.steps if isinstance(step.part, Expression)}
    for body in variants:
        for earlier, later in itertools.pairwise(body.steps):
            after[later.name].add(earlier.name)
    found: list[list[str]] = []
    for names in (list(after), sorted(after, key=lambda name: name in late), list(after)[::-1]):
        order: list[str] = []
        while len(order) < len(after):
            ready = next((name for name in names if name not in order and after[name] <= set(order)), None)
            if ready is None:
                return
            order.append(ready)
        if order not in found:
            found.append(order)
            yield order


class _Search:
    """Places steps one by one, so that every variant that has a step feeds it what it feeds it alone."""

    def __init__(self, variants: Sequence[Body], order: Sequence[str]) -> None:
        self._variants = variants
        self._steps = [{step.name: step for step in body.steps} for body in variants]
        self._order = order
        self._visits = 0

    def plans(self) -> Iterator[Plan]:
        """Plans that compute the right thing, the most natural one first."""
        inputs = [Ref("", i) for i in range(self._variants[0].inputs)]
        yield from self._place((), inputs, [{ref: ref for ref in inputs} for _ in self._variants])

    def _place(self, slots: tuple[Slot, ...], made: list[Ref], values: list[dict[Ref, Ref]]) -> Iterator[Plan]:
        """Continue after `slots`, which made the references `made`; `values` are what these mean in each variant."""
        self._visits += 1
        if self._visits > MOST_VISITS:
            return
        if len(slots) == len(self._order):
            wanted = list(zip(*(body.outputs for body in self._variants), strict=True))
            choices = [_references(refs, made, values) for refs in wanted]
            for outputs in itertools.product(*choices):
                yield Plan(self._variants[0].inputs, slots, outputs)
            return
        name = self._order[len(slots)]
        present = [name in steps for steps in self._steps]
        having = [steps[name] for steps in self._steps if name in steps]
        theirs = [meaning for meaning, has in zip(values, present, strict=True) if has]
        step, optional = having[0], not all(present)
        if optional and step.outputs != 1:
            return
        choices = [_references(refs, made, theirs) for refs in zip(*(s.inputs for s in having), strict=True)]
        for inputs in itertools.product(*choices):
            for passes in range(len(inputs)) if optional else (0,):
                slot = Slot(name, inputs, step.outputs, step.shares, optional, passes)
                refs = [Ref(name, i) for i in range(step.outputs)]
                after = [
                    meaning | {ref: ref if has else meaning[inputs[passes]] for ref in refs}
                    for meaning, has in zip(values, present, strict=True)
                ]
                yield from self._place((*slots, slot), made + refs, after)


def _references(wanted: tuple[Ref, ...], made: Sequence[Ref], values: Sequence[Mapping[Ref, Ref]]) -> list[Ref]:
    """What can stand for `wanted` in all variants: the reference they share, else the latest that comes to it."""
    shared = [wanted[0]] if len(set(wanted)) == 1 else []
    if shared and not shared[0].step:
        return shared
    latest = [ref for ref in reversed(made) if all(v[ref] == w for v, w in zip(values, wanted, strict=True))]
    return list(dict.fromkeys(shared + latest[:1]))


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
