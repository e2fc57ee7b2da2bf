"""The pages are true: their code runs, their commands exist, their tables are whole.

In README.md and docs/*.md, each ```python block is run, in order, one namespace a page. In ```console
blocks each `$ nas ...` line must be a legal command; blocks opened with ```console run are run, and
the lines below a command must appear in what it prints. Each ```toml block is a legal recipe.
Each `nas ...` in the text names a command.
"""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from nas.cli import app
from nas.recipe import Recipe, recipe_from
from predictors.figures import FIGURES

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`nas ([^`]+)`")

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def blocks(page: Path, language: str) -> list[tuple[str, str]]:
    """Return (words after the language, code) of each block of `page` in `language`."""
    found = BLOCK.findall(page.read_text())
    return [(info.strip(), code) for name, info, code in found if name == language]


def commands(code: str) -> list[tuple[list[str], list[str]]]:
    """Return (words, printed lines) of each `$ ...` line of a console block."""
    found: list[tuple[list[str], list[str]]] = []
    for line in code.splitlines():
        if line.startswith("$ "):
            found.append((shlex.split(line[2:], comments=True), []))
        elif line.strip():
            found[-1][1].append(line.strip())
    return found


def parse(words: list[str]) -> None:
    """Parse the words after `nas` as the command line would, without running anything."""
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and not (
        command.invoke_without_command and (words or [""])[0] not in command.commands
    ):
        name, *words = words
        assert name in command.commands, f"no command {name!r}"
        command = command.commands[name]
    command.make_context("nas", words)


@pages
@pytest.mark.usefixtures("own_imports")
def test_python_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    for _, code in blocks(page, "python"):
        exec(compile(code, str(page), "exec"), namespace)


@pages
def test_commands_exist(page: Path) -> None:
    for _, code in blocks(page, "console"):
        for words, _ in commands(code):
            if words[0] == "nas":
                parse(words[1:])
    names = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for text in SPAN.findall(FENCED.sub("", page.read_text())):
        first = text.split()[0]
        assert first in names or first == "COMMAND", f"`nas {text}`"


@pages
def test_console_runs(page: Path, tmp_path: Path) -> None:
    for info, code in blocks(page, "console"):
        if info != "run":
            continue
        for words, printed in commands(code):
            assert words[0] == "nas"
            program = "import sys; from nas.cli import main; sys.exit(main())"
            done = subprocess.run(
                [sys.executable, "-c", program, *words[1:]],
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode in (0, 2)
            said = done.stdout + done.stderr
            for line in printed:
                assert line in said


def recipe_rows() -> list[str]:
    """Return the rows of the table of recipe keys, from the recipe's own definition."""
    rows = []
    for name, field in Recipe.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            rows += [row(f"{name}.{key}", entry) for key, entry in inner.model_fields.items()]
        else:
            rows.append(row(name, field))
    return rows


def row(key: str, field: Any) -> str:
    default = field.get_default(call_default_factory=True)
    shown = "" if default in (None, (), {}) else f"`{toml(default)}`"
    return f"| `{key}` | {shown} | {field.description} |"


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(toml, value))}]"
    return f'"{value}"' if isinstance(value, str) else str(value)


@pages
def test_recipes_are_legal(page: Path) -> None:
    for _, code in blocks(page, "toml"):
        recipe_from(tomllib.loads(code), source=page.name)


def test_the_table_of_figures_is_whole() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text()
    rows = [
        f"| {name} | {figure.unit or 'none'} | {figure.kind} | {figure.description} |"
        for name, figure in FIGURES.items()
    ]
    assert [line for line in text.splitlines() if line in rows] == rows


def test_the_table_of_recipe_keys_is_whole() -> None:
    text = (ROOT / "docs" / "recipes.md").read_text()
    table = [line for line in text.splitlines() if line.startswith("| `")]
    assert table == recipe_rows()
