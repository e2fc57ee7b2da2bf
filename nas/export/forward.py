"""The `forward` of a class: one statement per step, variables reused so that each tensor is freed at its last use."""

import itertools
from collections.abc import Mapping, Sequence

from nas.export.operators import Expression
from nas.export.plan import Plan, Ref, Slot
from nas.export.text import INDENT, LINE_LENGTH, identifier, signature

INPUT_NAMES = ("x", "y", "z")
INFIX = ("{0} + {1}", "{0} * {1}")
MOST_NESTED = 4


def forward_lines(
    plan: Plan,
    expressions: Mapping[str, Expression],
    conditions: Mapping[str, str],
    *,
    nested: bool = True,
    named_outputs: Sequence[str] = (),
) -> list[str]:
    """Lines of `forward`, head included.

    `expressions` are the steps that call no module; `conditions` tell in `forward` whether an optional step runs;
    `nested` writes a short chain as one expression; `named_outputs` makes it return a dict.
    """
    inputs = [_input_name(i) for i in range(plan.inputs)]
    several = len(plan.outputs) > 1
    result = "dict[str, Tensor]" if named_outputs else "tuple[Tensor, ...]" if several else "Tensor"
    head = signature("forward", ["self", *(f"{name}: Tensor" for name in inputs)], result, indent=1)
    chain = _nested(plan, expressions, conditions) if nested and not named_outputs else None
    if chain is not None:
        return [*head, f"{INDENT * 2}return {chain}"]
    writer = _Writer(plan, expressions, conditions, inputs)
    lines = writer.statements()
    return [*head, *(INDENT * 2 + line for line in lines), *writer.result(named_outputs)]


def _input_name(position: int) -> str:
    return INPUT_NAMES[position] if position < len(INPUT_NAMES) else f"x{position}"


def _nested(plan: Plan, expressions: Mapping[str, Expression], conditions: Mapping[str, str]) -> str | None:
    """The whole body as one nested expression, where it is a short chain."""
    text, before = "x", Ref("", 0)
    if not 0 < len(plan.slots) <= MOST_NESTED or plan.inputs != 1 or conditions:
        return None
    for slot in plan.slots:
        if slot.inputs != (before,) or slot.outputs != 1:
            return None
        text = _call(slot, [text], expressions)
        before = Ref(slot.name, 0)
    fits = len(INDENT * 2 + "return " + text) <= LINE_LENGTH
    return text if plan.outputs == (before,) and fits else None


def _call(slot: Slot, inputs: Sequence[str], expressions: Mapping[str, Expression]) -> str:
    if slot.name in expressions:
        return expressions[slot.name].template.format(*inputs)
    return f"self.{slot.shares or slot.name}({', '.join(inputs)})"


class _Writer:
    """Gives each value a variable and forgets it after its last use."""

    def __init__(
        self,
        plan: Plan,
        expressions: Mapping[str, Expression],
        conditions: Mapping[str, str],
        inputs: Sequence[str],
    ) -> None:
        self._plan = plan
        self._expressions = expressions
        self._conditions = conditions
        self._variable = {Ref("", i): name for i, name in enumerate(inputs)}
        self._last_use: dict[Ref, int] = {}
        for position, slot in enumerate(plan.slots):
            self._last_use |= dict.fromkeys(slot.inputs, position)
        self._last_use |= dict.fromkeys(plan.outputs, len(plan.slots))
        self._returned = ""
        self._inline: dict[Ref, str] = {}

    def statements(self) -> list[str]:
        """One line per step, but for a last step whose value is what is returned."""
        lines: list[str] = []
        last = len(self._plan.slots) - 1
        for position, slot in enumerate(self._plan.slots):
            text = self._text(slot)
            if self._written_in_place(position):
                self._inline[Ref(slot.name, 0)] = text
                continue
            if position == last and self._plan.outputs == (Ref(slot.name, 0),):
                self._returned = text
                break
            read = [ref for ref in dict.fromkeys(slot.inputs) if ref not in self._inline]
            dying = [ref for ref in read if self._last_use[ref] == position]
            freed = [self._variable.pop(ref) for ref in dying]
            made = [Ref(slot.name, i) for i in range(slot.outputs)]
            reusable = list(freed)
            for ref in made:
                self._variable[ref] = reusable.pop(0) if reusable else self._new_name(slot, freed)
            lines.append(f"{', '.join(self._variable[ref] for ref in made)} = {text}")
            lines += self._release(dying, freed, [self._variable[ref] for ref in made])
        return lines

    def _written_in_place(self, position: int) -> bool:
        """Whether a module's call can stand inside the sum or product that alone reads it, right after it.

        What it reads must be alive for longer anyway, or held by the caller.
        """
        slot, ref = self._plan.slots[position], Ref(self._plan.slots[position].name, 0)
        if slot.name in self._expressions or slot.name in self._conditions or slot.outputs != 1:
            return False
        if position + 1 == len(self._plan.slots) or self._last_use[ref] != position + 1:
            return False
        reader = self._plan.slots[position + 1]
        held = all(not source.step or self._last_use[source] > position + 1 for source in slot.inputs)
        if reader.name not in self._expressions or reader.name in self._conditions:
            return False
        return held and self._expressions[reader.name].template in INFIX and reader.inputs.count(ref) == 1

    def _release(self, dying: Sequence[Ref], freed: Sequence[str], written: Sequence[str]) -> list[str]:
        """`del` for what died without being overwritten; the caller holds the inputs anyway."""
        names = [name for ref, name in zip(dying, freed, strict=True) if ref.step and name not in written]
        return [f"del {', '.join(names)}"] if names else []

    def _new_name(self, slot: Slot, freed: Sequence[str]) -> str:
        taken = set(self._variable.values()) | set(freed) | {"self", "torch", "nn"}
        for name in INPUT_NAMES:
            if name not in taken:
                return name
        if slot.outputs > 1:
            return next(name for name in (f"t{i}" for i in itertools.count()) if name not in taken)
        return identifier(slot.name, taken)

    def _text(self, slot: Slot) -> str:
        inputs = [self._inline[ref] if ref in self._inline else self._variable[ref] for ref in slot.inputs]
        text = _call(slot, inputs, self._expressions)
        if slot.name in self._conditions:
            return f"{text} if {self._conditions[slot.name]} else {inputs[slot.passes]}"
        return text

    def result(self, names: Sequence[str]) -> list[str]:
        """The return statement."""
        values = [self._returned or self._variable[ref] for ref in self._plan.outputs]
        if names:
            values = [f'"{name}": {value}' for name, value in zip(names, values, strict=True)]
        margin, joined = INDENT * 2, ", ".join(values)
        line = f"{margin}return {{{joined}}}" if names else f"{margin}return {joined}"
        if len(line) <= LINE_LENGTH or len(values) == 1:
            return [line]
        opening, closing = ("{", "}") if names else ("(", ")")
        return [f"{margin}return {opening}", *(f"{margin}{INDENT}{value}," for value in values), margin + closing]
