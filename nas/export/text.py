"""Python source in ruff's layout: literals, calls that break where they grow too long, wrapped prose."""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import iskeyword

LINE_LENGTH = 120
INDENT = "    "


@dataclass(frozen=True, slots=True)
class Code:
    """A value that is source already, such as `nn.ReLU`."""

    text: str


Scalar = int | float | bool | str | None | Code
Literal = Scalar | tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Call:
    """`name(arguments...)`; an argument is (keyword or `None`, source or call); `exploded` gives each its line."""

    name: str
    arguments: tuple[tuple[str | None, "str | Call"], ...] = ()
    exploded: bool = False

    @property
    def one_line(self) -> bool:
        """Whether it may stand on one line."""
        return not self.exploded and all(isinstance(a, str) or a.one_line for _, a in self.arguments)

    def flat(self) -> str:
        """The call on one line."""
        return f"{self.name}({', '.join(_flat(key, value) for key, value in self.arguments)})"


def _flat(key: str | None, value: "str | Call") -> str:
    text = value if isinstance(value, str) else value.flat()
    return text if key is None else f"{key}={text}"


def literal(value: Literal) -> str:
    """Source of `value`; text in double quotes."""
    if isinstance(value, Code):
        return value.text
    if isinstance(value, tuple):
        inner = ", ".join(map(literal, value))
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, str):
        body = repr(value)[1:-1]
        return repr(value) if '"' in value else '"' + body.replace("\\'", "'") + '"'
    return repr(value)


def statement(before: str, value: str | Call, after: str = "", *, indent: int) -> list[str]:
    """Lines of `before value after` at `indent` levels, broken as ruff does where one line is too short."""
    margin = INDENT * indent
    text = value if isinstance(value, str) else value.flat()
    line = f"{margin}{before}{text}{after}"
    if isinstance(value, str) or not value.arguments or (len(line) <= LINE_LENGTH and value.one_line):
        return [line]
    inner = ", ".join(_flat(*argument) for argument in value.arguments)
    lines = [f"{margin}{before}{value.name}("]
    if len(margin) + len(INDENT) + len(inner) <= LINE_LENGTH and value.one_line:
        lines.append(f"{margin}{INDENT}{inner}")
    else:
        comma = "," if len(value.arguments) > 1 or value.exploded else ""
        for key, argument in value.arguments:
            lines += statement("" if key is None else f"{key}=", argument, comma, indent=indent + 1)
    return [*lines, f"{margin}){after}"]


def signature(name: str, parameters: Sequence[str], result: str, *, indent: int) -> list[str]:
    """Lines of a function's head."""
    call = Call(f"def {name}", tuple((None, parameter) for parameter in parameters))
    return statement("", call, f" -> {result}:", indent=indent)


def prose(text: str, *, indent: int) -> list[str]:
    """A docstring of `text`, its lines wrapped."""
    margin = INDENT * indent
    if len(margin) + len(text) + 6 <= LINE_LENGTH:
        return [f'{margin}"""{text}"""']
    first, *rest = textwrap.wrap(f'"""{text}', LINE_LENGTH - len(margin))
    return [margin + line for line in (first, *rest, '"""')]


def camel(name: str) -> str:
    """Class name of a snake-case name."""
    words = [word for word in re.split(r"[\W_]+", name) if word]
    joined = "".join(word[0].upper() + word[1:] for word in words)
    return joined if joined[:1].isalpha() else f"Block{joined}"


def identifier(name: str, taken: "frozenset[str] | set[str]") -> str:
    """The closest legal name to `name` that is not in `taken`; ends in an underscore or number if it must."""
    plain = re.sub(r"\W", "_", name, flags=re.ASCII).strip("_") or "part"
    plain = f"part{plain}" if plain[0].isdigit() else plain
    found, count = plain, 1
    while iskeyword(found) or found in taken:
        found = f"{plain}_" if count == 1 else f"{plain}{count}"
        count += 1
    return found
