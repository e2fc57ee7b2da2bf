"""The constructor arguments of a class: found from what its instances have in common and where they differ.

A value is known as its values over all instances of the class. It becomes a literal where all agree, an argument that
the block function recorded where the values match, a short formula over such arguments, or an argument of its own.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nas.export.operators import IDENTITY, REQUIRED, Argument, Role
from nas.export.text import Code, Literal, literal


@dataclass(frozen=True, slots=True)
class Missing:
    """Stands for the value of a step that an instance does not have."""


MISSING = Missing()
Value = Literal | Missing
Values = tuple[Value, ...]

RECORDED_NAMES = {"kernel_size": "kernel", "out_features": "out_channels", "in_features": "in_channels", "p": "rate"}
CHANNEL_WORDS = ("channels", "width", "classes", "hidden", "features", "units", "dim")
FACTOR_WORDS = ("expand", "expansion", "ratio", "multiplier", "factor")
NEUTRAL: Mapping[str, Literal] = {
    "kernel": 3,
    "stride": 1,
    "dilation": 1,
    "groups": 1,
    "group_size": 1,
    "sparsity": 0.0,
    "zero_init": False,
}


@dataclass(frozen=True, slots=True)
class Term:
    """Source text and what it comes to in each instance."""

    text: str
    values: Values


@dataclass(slots=True)
class Parameter:
    """A constructor argument of the class being written."""

    name: str
    values: Values
    role: Role = ""
    may_be_none: bool = False
    positional: bool = False

    def default(self) -> Any:
        """Its default: the neutral value where it occurs, else what most instances use, else `REQUIRED`."""
        present = [value for value in self.values if not isinstance(value, Missing)]
        if self.may_be_none:
            return None
        if self.role in ("in", "out"):
            return REQUIRED
        neutral = NEUTRAL.get(self.name, MISSING)
        if any(same(neutral, value) for value in present):
            return neutral
        counted = Counter(_key(value) for value in present if value != IDENTITY) or Counter(map(_key, present))
        (_, value), count = counted.most_common(1)[0]
        often = 2 * count > len(self.values) > 1 or len(present) < len(self.values)
        return value if often or isinstance(value, bool | Code) else REQUIRED

    def argument(self, instance: int) -> Argument:
        """The argument that constructs `instance`."""
        default = self.default()
        value = self.values[instance]
        if isinstance(value, Missing):
            value = default
        return Argument(self.name, value, default, self.positional, self.role if self.role != "class" else "")

    def annotation(self) -> str:
        """Type of the argument."""
        found = sorted({_type(value) for value in self.values if not isinstance(value, Missing)}, key=TYPES.index)
        none = [] if "None" in found or not self.may_be_none else ["None"]
        return " | ".join(found + none)

    def declaration(self) -> str:
        """The argument as it stands in the constructor's head."""
        default = self.default()
        tail = "" if default is REQUIRED else f" = {literal(default)}"
        return f"{self.name}: {self.annotation()}{tail}"


TYPES = ("int", "float", "bool", "str", "tuple[int, ...]", "tuple[float, ...]", "type[nn.Module]", "None")


def _type(value: Literal) -> str:
    if value is None:
        return "None"
    if isinstance(value, Code):
        return "type[nn.Module]"
    if isinstance(value, tuple):
        return "tuple[int, ...]" if all(isinstance(item, int) for item in value) else "tuple[float, ...]"
    return type(value).__name__


def _key(value: Literal) -> tuple[type, Literal]:
    return type(value), value


def same(first: Value, second: Value) -> bool:
    """Equal in type and value: `True` is not 1 and 1 is not 1.0."""
    return type(first) is type(second) and first == second


def fits(candidate: Values, wanted: Values) -> bool:
    """Whether `candidate` has the wanted value in each instance that has one."""
    return all(isinstance(w, Missing) or same(c, w) for c, w in zip(candidate, wanted, strict=True))


def constant(values: Values) -> Value:
    """The one value of all instances that have one, else `MISSING`."""
    present = [value for value in values if not isinstance(value, Missing)]
    return present[0] if all(same(value, present[0]) for value in present) else MISSING


def _usable(name: str, values: Sequence[Any]) -> bool:
    """Whether a recorded argument can appear in a constructor: numbers and flags, and names of sparsity patterns."""
    numeric = all(value is None or isinstance(value, bool | int | float) for value in values)
    return name == "sparsity" or (numeric and any(value is not None for value in values))


@dataclass(slots=True)
class Pool:
    """The arguments, local names and flags of one class while it is being written; `own` are new arguments."""

    count: int
    recorded: dict[str, Values]
    channels: Values
    closed: bool = False
    chosen: dict[str, Parameter] = field(default_factory=dict)
    locals: dict[str, Term] = field(default_factory=dict)
    flags: dict[str, Term] = field(default_factory=dict)
    own: list[str] = field(default_factory=list)

    @classmethod
    def of(cls, arguments: Sequence[Mapping[str, Any]], channels: Values, *, closed: bool) -> "Pool":
        """Pool of the instances that were recorded with `arguments` and whose first input has `channels`.

        A `closed` one has literals only.
        """
        names = [name for name in arguments[0] if all(name in given for given in arguments)]
        recorded = {name: tuple(_plain(given[name]) for given in arguments) for name in names}
        usable = {name: values for name, values in recorded.items() if _usable(name, values)}
        return cls(len(arguments), usable, channels, closed)

    def in_channels(self) -> Term:
        """Channels of the first input."""
        return Term("in_channels", self.channels)

    def use(self, name: str, role: Role = "") -> Term:
        """The recorded argument `name`, from now on an argument of the class."""
        parameter = self.chosen.setdefault(name, Parameter(name, self.recorded[name], role))
        parameter.role = parameter.role or role
        return Term(name, parameter.values)

    def take(self, term: Term) -> Term:
        """`term`, noting the arguments that it mentions."""
        for word in term.text.replace("(", " ").replace(")", " ").split():
            if word == "in_channels":
                self.chosen.setdefault(word, Parameter(word, self.channels, "in"))
            elif word in self.recorded:
                self.use(word, "out" if word == "out_channels" else "")
        return term

    def plain(self, name: str, wanted: Values, owner: str, *, role: Role = "") -> Term:
        """Term for a value without a meaning of its own; `owner` is the step that it belongs to."""
        fixed = constant(wanted)
        if not isinstance(fixed, Missing):
            return Term(literal(fixed), wanted)
        if role == "class":
            return self.new(owner, wanted, owner, role=role)
        own = RECORDED_NAMES.get(name, name)
        for flag in self.flags.values():
            if fits(flag.values, wanted):
                return flag
        for candidate in sorted(self.recorded, key=lambda known: known != own):
            if fits(self.recorded[candidate], wanted):
                return self.use(candidate)
        return self.new(own, wanted, owner, role=role)

    def new(self, name: str, wanted: Values, owner: str, *, role: Role = "") -> Term:
        """An argument of its own for `wanted`, called `name` or, where that is taken, `owner_name`."""
        for tried in (name, f"{owner}_{name}", *(f"{owner}_{name}{i}" for i in range(2, 100))):
            known = self.chosen.get(tried)
            if known is not None and fits(known.values, wanted) and tried not in self.recorded:
                return Term(tried, known.values)
            if known is None and tried not in self.recorded and tried not in self.locals:
                break
        self.chosen[tried] = Parameter(tried, wanted, role)
        self.own.append(tried)
        return Term(tried, wanted)

    def channel(self, name: str, wanted: Values, owner: str, *, source: Term | None, role: Role) -> Term:
        """Term for a number of channels; `source` is that of the step's input."""
        if self.closed:
            return self.plain(name, wanted, owner)
        own = RECORDED_NAMES.get(name, name)
        candidates = [source] if source is not None and role == "in" else []
        if role == "out":
            named = [known for known in self.recorded if any(word in known for word in CHANNEL_WORDS)]
            named.sort(key=lambda known: (known != own, known != "out_channels"))
            candidates += [Term(known, self.recorded[known]) for known in named]
        candidates += [self.in_channels(), *self.locals_as_terms()]
        for term in candidates:
            if fits(term.values, wanted):
                if term.text in self.recorded:
                    return self.use(term.text, "out")
                return self.take(term)
        for base in (self.in_channels(), *(Term(n, self.recorded[n]) for n in ("out_channels",) if n in self.recorded)):
            for factor in (n for n in self.recorded if any(word in n for word in FACTOR_WORDS)):
                product = self._binary(base, "*", Term(factor, self.recorded[factor]))
                if product is not None and fits(product.values, wanted):
                    return self.local(product)
        fixed = constant(wanted)
        if not isinstance(fixed, Missing):
            return Term(literal(fixed), wanted)
        return self.new(own if own not in ("in_channels", "out_channels") else "channels", wanted, owner, role=role)

    def groups(self, name: str, wanted: Values, owner: str, *, source: Term | None) -> Term:
        """Term for a number of groups: one, all channels, channels by the group size, or an argument."""
        if same(constant(wanted), 1):
            return Term("1", wanted)
        if source is not None and not self.closed:
            if fits(source.values, wanted):
                return self.take(source)
            size = self.recorded.get("group_size")
            divided = None if size is None else self._binary(source, "//", Term("group_size", size))
            if divided is not None and fits(divided.values, wanted):
                return self.take(divided)
        return self.plain(name, wanted, owner, role="groups")

    def padding(self, wanted: Values, owner: str, *, kernel: Term, dilation: Term) -> Term:
        """Term for a padding: what keeps the size at stride 1 where it is that, else as any other value."""
        if isinstance(constant(wanted), Missing):
            values = tuple(map(_same_padding, kernel.values, dilation.values))
            if fits(values, wanted):
                return Term(_padding_text(kernel, dilation), values)
        return self.plain("padding", wanted, owner)

    def local(self, term: Term) -> Term:
        """A local name for `term`, the number of channels inside the block."""
        self.take(term)
        for known, owned in self.locals.items():
            if owned.text == term.text:
                return Term(known, owned.values)
        names = itertools.chain(("hidden", "inner"), (f"inner{i}" for i in itertools.count(2)))
        name = next(n for n in names if not (n in self.recorded or n in self.locals or n in self.chosen))
        self.locals[name] = term
        return Term(name, term.values)

    def locals_as_terms(self) -> list[Term]:
        """The local names so far."""
        return [Term(name, term.values) for name, term in self.locals.items()]

    def _binary(self, left: Term, sign: str, right: Term) -> Term | None:
        """`left sign right`, a constant right side as a number; `None` where a side is no whole number."""
        values: list[Value] = []
        for a, b in zip(left.values, right.values, strict=True):
            if isinstance(a, Missing):
                values.append(MISSING)
            elif not (isinstance(a, int) and isinstance(b, int)) or isinstance(b, bool) or b == 0:
                return None
            else:
                values.append(a * b if sign == "*" else a // b)
        fixed = constant(right.values)
        if same(fixed, 1):
            return None
        text = right.text if isinstance(fixed, Missing) else literal(fixed)
        return Term(f"{left.text} {sign} {text}", tuple(values))


def _same_padding(kernel: Value, dilation: Value) -> Value:
    if isinstance(kernel, int) and isinstance(dilation, int):
        return dilation * (kernel - 1) // 2
    return MISSING


def _padding_text(kernel: Term, dilation: Term) -> str:
    """The shortest formula for dilation * (kernel - 1) // 2."""
    odd = all(isinstance(size, Missing) or (isinstance(size, int) and size % 2 == 1) for size in kernel.values)
    if dilation.text == "1":
        return f"{kernel.text} // 2" if odd else f"({kernel.text} - 1) // 2"
    if odd and kernel.text.isdigit():
        reach = int(kernel.text) // 2
        return dilation.text if reach == 1 else f"{reach} * {dilation.text}"
    return f"{dilation.text} * ({kernel.text} - 1) // 2"


def _plain(value: Any) -> Any:
    """A recorded argument as a literal: sequences as tuples, equal sizes per axis as one number."""
    if isinstance(value, list | tuple):
        return value[0] if value and all(item == value[0] for item in value) else tuple(value)
    return value
