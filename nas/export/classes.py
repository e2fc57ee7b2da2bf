"""One class for all instances of a block: its arguments, its modules, its `forward`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nas.export.forward import forward_lines
from nas.export.operators import IDENTITY, Argument, Expression, Module, Required
from nas.export.parameters import MISSING, Missing, Parameter, Pool, Term, Values, constant, fits, same
from nas.export.plan import Body, Chain, Plan, Ref, Slot, Step
from nas.export.presence import presence
from nas.export.text import INDENT, LINE_LENGTH, Call, identifier, literal, prose, signature, statement
from nas.export.tree import reserved_names


@dataclass(frozen=True, slots=True)
class Instance:
    """One use of a class: its body, what its block function was called with, channels of each value in it."""

    body: Body
    arguments: Mapping[str, Any]
    channels: Mapping[Ref, int]


@dataclass(frozen=True, slots=True)
class ClassSource:
    """Source lines of a class and what constructs each of its instances."""

    lines: tuple[str, ...]
    constructed: tuple[Module, ...]


@dataclass(frozen=True, slots=True)
class _Line:
    """An attribute set in the constructor: `self.name = call`, only where `condition` holds."""

    name: str
    call: Call
    condition: str | None
    absent: str
    zero_init: str


def class_source(
    name: str,
    summary: str,
    plan: Plan,
    instances: Sequence[Instance],
    *,
    closed: bool = False,
    named_outputs: Sequence[str] = (),
    closing: Sequence[str] = (),
    base: str = "nn.Module",
) -> ClassSource:
    """Write the class `name` for `instances`, all of them variants of `plan`.

    A `base` of the file's own brings its `forward` along.

    `closed` gives its constructor no arguments (one instance only); `named_outputs` makes `forward` return a dict;
    `closing` are further lines of the constructor.
    """
    return _ClassWriter(plan, instances, closed=closed).write(name, summary, named_outputs, closing, base)


class _ClassWriter:
    def __init__(self, plan: Plan, instances: Sequence[Instance], *, closed: bool) -> None:
        self._plan = plan
        self._instances = instances
        arguments = [instance.arguments for instance in instances]
        self._pool = Pool.of(arguments, self._channels(Ref("", 0)), closed=closed)
        self._steps = [{step.name: step for step in instance.body.steps} for instance in instances]
        self._terms: dict[Ref, Term | None] = {}
        self._flags: dict[str, str] = {}
        self._conditions: dict[str, str] = {}
        self._expressions: dict[str, Expression] = {}

    def _channels(self, ref: Ref) -> Values:
        return tuple(instance.channels.get(ref, MISSING) for instance in self._instances)

    def write(
        self, name: str, summary: str, named_outputs: Sequence[str], closing: Sequence[str], base: str
    ) -> ClassSource:
        self._name_inputs()
        self._add_flags()
        made = [line for line in map(self._line, self._plan.slots) if line is not None]
        parameters = self._ordered()
        body = [f"{INDENT * 2}super().__init__()"]
        body += [f"{INDENT * 2}{known} = {term.text}" for known, term in self._pool.locals.items()]
        body += [f"{INDENT * 2}self.{flag} = {text}" for flag, text in self._flags.items()]
        for line in made:
            body += _assignment(line)
        forward = forward_lines(
            self._plan, self._expressions, self._conditions, nested=not self._pool.closed, named_outputs=named_outputs
        )
        lines = [
            f"class {name}({base}):",
            *prose(summary, indent=1),
            "",
            *_head(parameters),
            *body,
            *(INDENT * 2 + line for line in closing),
            *(["", *forward] if base == "nn.Module" else []),
        ]
        modules = tuple(
            Module(name, tuple(parameter.argument(i) for parameter in parameters)) for i in range(len(self._instances))
        )
        return ClassSource(tuple(lines), modules)

    def _name_inputs(self) -> None:
        first = self._pool.in_channels()
        for i in range(self._plan.inputs):
            values = self._channels(Ref("", i))
            if i == 0 or fits(first.values, values):
                self._terms[Ref("", i)] = first
            else:
                self._pool.recorded[f"in_channels{i + 1}"] = values
                self._terms[Ref("", i)] = Term(f"in_channels{i + 1}", values)

    def _present(self, slot: Slot) -> list[bool]:
        return [slot.name in steps for steps in self._steps]

    def _add_flags(self) -> None:
        """Attributes that tell `forward` whether to run an optional step that is no module."""
        taken = {slot.name for slot in self._plan.slots} | reserved_names()
        for slot in self._plan.slots:
            parts = [steps[slot.name].part for steps in self._steps if slot.name in steps]
            if isinstance(parts[0], Expression):
                self._expressions[slot.name] = parts[0]
                if slot.optional:
                    wish = "residual" if parts[0].template == "{0} + {1}" else f"with_{slot.name}"
                    flag = identifier(wish, taken)
                    taken.add(flag)
                    present = self._present(slot)
                    self._flags[flag] = presence(self._pool, slot.name, present, flag=flag)
                    self._pool.flags[flag] = Term(f"self.{flag}", tuple(present))
                    self._conditions[slot.name] = f"self.{flag}"

    def _line(self, slot: Slot) -> _Line | None:
        steps = [steps.get(slot.name) for steps in self._steps]
        first = next(step for step in steps if step is not None)
        source = self._terms[slot.inputs[0]] if slot.inputs else None
        if isinstance(first.part, Expression):
            self._set_output(slot, self._joined(slot) if "torch.cat" in first.part.template else source)
            return None
        if isinstance(first.part, Chain):
            self._set_output(slot, None)
            return _Line(slot.name, chain_call(first.part), None, "", "False")
        before = len(self._pool.own)
        terms = self._arguments(slot, steps, first)
        self._set_output(slot, _out_term(first.part, terms) or source)
        if slot.shares:
            return None
        condition, absent = None, "nn.Identity()"
        if slot.optional and not first.activation:
            private = self._pool.own[before:]
            condition = presence(self._pool, slot.name, self._present(slot), flag=f"with_{slot.name}", private=private)
            if len(slot.inputs) > 1:
                absent = "None"
                self._conditions[slot.name] = f"self.{slot.name} is not None"
        zero_init = next((t.text for a, t in terms if a.role == "zero_init"), "False")
        return _Line(slot.name, module_call(first.part, terms), condition, absent, zero_init)

    def _joined(self, slot: Slot) -> Term | None:
        terms = [self._terms[ref] for ref in slot.inputs]
        known = [term for term in terms if term is not None]
        texts = [term.text for term in known]
        if len(known) < len(terms) or all(text.isdigit() for text in texts):
            return None
        text = f"{len(texts)} * {texts[0]}" if len(set(texts)) == 1 else " + ".join(texts)
        return Term(text, self._channels(Ref(slot.name, 0)))

    def _set_output(self, slot: Slot, term: Term | None) -> None:
        """Remember how to write the channels of a step's outputs, where `term` is right for them."""
        for i in range(slot.outputs):
            ref = Ref(slot.name, i)
            right = term is not None and fits(term.values, self._channels(ref))
            self._terms[ref] = term if right else None

    def _arguments(self, slot: Slot, steps: Sequence[Step | None], first: Step) -> list[tuple[Argument, Term]]:
        """The constructor arguments of a step's module, each with its term in this class."""
        assert isinstance(first.part, Module)
        missing = IDENTITY if first.activation else MISSING
        source = self._terms[slot.inputs[0]] if slot.inputs else None
        found: dict[str, Term] = {}
        for position, argument in sorted(enumerate(first.part.arguments), key=lambda pair: pair[1].role == "padding"):
            values = tuple(_value(step, position, missing) for step in steps)
            found[argument.name] = self._term(slot, argument, values, source, found)
        return [(argument, found[argument.name]) for argument in first.part.arguments]

    def _term(
        self, slot: Slot, argument: Argument, values: Values, source: Term | None, found: Mapping[str, Term]
    ) -> Term:
        name, role = argument.name, argument.role
        if slot.shares:
            return Term("", values)
        if role in ("in", "out"):
            return self._pool.channel(name, values, slot.name, source=source, role=role)
        if role == "groups":
            return self._pool.groups(name, values, slot.name, source=source)
        if role == "padding":
            return self._pool.padding(values, slot.name, kernel=found["kernel_size"], dilation=found["dilation"])
        return self._pool.plain(name, values, slot.name, role=role)

    def _ordered(self) -> list[Parameter]:
        """Channels going in, then channels coming out, then the rest as recorded, then arguments of its own."""
        names = [*self._pool.recorded, *self._pool.own]
        rest = [self._pool.chosen[name] for name in names if name in self._pool.chosen]
        rest = [parameter for name, parameter in self._pool.chosen.items() if name not in names] + rest
        for role in ("in", "out"):
            first = next((p for p in rest if p.role == role and not p.may_be_none), None)
            if first is not None:
                first.positional = True
        return sorted(rest, key=lambda p: (not p.positional, p.positional and p.role == "out"))


def _value(step: Step | None, position: int, missing: Any) -> Any:
    return missing if step is None else step.part.arguments[position].value  # type: ignore[union-attr]


def _out_term(part: Module, terms: Sequence[tuple[Argument, Term]]) -> Term | None:
    return next((term for argument, term in terms if argument.role == "out"), None)


def module_call(part: Module, terms: Sequence[tuple[Argument, Term]]) -> Call:
    """The constructor call of a module, arguments at their defaults left out."""
    name = part.constructor
    arguments: list[tuple[str | None, str | Call]] = []
    for argument, term in terms:
        if argument.role == "class":
            name = term.text
        elif argument.role != "zero_init" and not _is_default(argument, term):
            if argument.name == "sparsity" and part.sparse:
                name = part.sparse
            arguments.append((None if argument.positional else argument.name, term.text))
    return Call(name, tuple(arguments))


def _is_default(argument: Argument, term: Term) -> bool:
    fixed, default = constant(term.values), argument.default
    return not isinstance(fixed, Missing) and not isinstance(default, Required) and same(fixed, default)


def chain_call(chain: Chain) -> Call:
    """The constructor call of a sequence of named modules."""
    children: list[tuple[str | None, str | Call]] = []
    for name, child in chain.children:
        if isinstance(child, Chain):
            children.append((name, chain_call(child)))
        else:
            terms = [(argument, Term(literal(argument.value), (argument.value,))) for argument in child.arguments]
            children.append((name, module_call(child, terms)))
    return Call("nn.Sequential", ((None, Call("OrderedDict", tuple(children), exploded=True)),))


def _head(parameters: Sequence[Parameter]) -> list[str]:
    words = ["self", *(p.declaration() for p in parameters if p.positional)]
    keywords = [p.declaration() for p in parameters if not p.positional]
    if keywords:
        words += ["*", *keywords]
    return signature("__init__", words, "None", indent=1)


def _assignment(line: _Line) -> list[str]:
    """Lines that set one attribute."""
    lines: list[str]
    if line.condition is None:
        lines = statement(f"self.{line.name} = ", line.call, indent=2)
    else:
        short = f"{INDENT * 2}self.{line.name} = {line.call.flat()} if {line.condition} else {line.absent}"
        if len(short) <= LINE_LENGTH:
            lines = [short]
        else:
            lines = [f"{INDENT * 2}if {line.condition}:"]
            lines += statement(f"self.{line.name} = ", line.call, indent=3)
            lines += [f"{INDENT * 2}else:", f"{INDENT * 3}self.{line.name} = {line.absent}"]
    if line.zero_init == "True":
        lines.append(f"{INDENT * 2}nn.init.zeros_(self.{line.name}.weight)")
    elif line.zero_init != "False":
        lines += [f"{INDENT * 2}if {line.zero_init}:", f"{INDENT * 3}nn.init.zeros_(self.{line.name}.weight)"]
    return lines
