"""The layout of what is written is ruff's own."""

import random
import subprocess
import sys

import pytest

from nas.export.text import LINE_LENGTH, Call, Code, camel, identifier, literal, prose, statement


def random_call(rng: random.Random, depth: int) -> Call:
    """A call with positional arguments, then keywords, some of them calls."""
    count = rng.randrange(1 if depth == 0 else 0, 7)
    named = rng.randrange(count + 1)
    arguments: list[tuple[str | None, str | Call]] = []
    for position in range(count):
        word = "w" * rng.randrange(1, 16)
        value = random_call(rng, depth + 1) if rng.random() < 0.35 and depth < 3 else word
        arguments.append((f"{word}{position}" if position >= named else None, value))
    return Call("v" * rng.randrange(1, 16), tuple(arguments), exploded=bool(arguments) and rng.random() < 0.1)


def test_calls_are_laid_out_as_ruff_does() -> None:
    rng = random.Random(0)
    lines: list[str] = []
    for number in range(400):
        indent = rng.randrange(4)
        lines += [f"{'    ' * level}if x{number}:" for level in range(indent)]
        lines += statement("left = ", random_call(rng, 0), indent=indent)
    text = "\n".join(lines) + "\n"
    command = [sys.executable, "-m", "ruff", "format", "--isolated", f"--line-length={LINE_LENGTH}", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert done.stdout == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (3, "3"),
        (0.5, "0.5"),
        (True, "True"),
        (None, "None"),
        ("2:4", '"2:4"'),
        ("it's", '"it\'s"'),
        ('a "b"', "'a \"b\"'"),
        ((3,), "(3,)"),
        ((3, 5), "(3, 5)"),
        (Code("nn.ReLU"), "nn.ReLU"),
    ],
)
def test_literals(value: object, text: str) -> None:
    assert literal(value) == text  # type: ignore[arg-type]


def test_names() -> None:
    assert camel("conv_norm_act") == "ConvNormAct"
    assert camel("3d conv") == "Block3dConv"
    assert identifier("class", set()) == "class_"
    assert identifier("dilation(1, 2)", set()) == "dilation_1__2"
    assert identifier("2x", {"part2x", "part2x_"}) == "part2x2"


def test_prose_is_wrapped() -> None:
    lines = prose("word " * 60 + "end.", indent=1)
    assert max(map(len, lines)) <= LINE_LENGTH
    assert lines[0].startswith('    """word')
    assert lines[-1] == '    """'
