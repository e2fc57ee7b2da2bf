"""Rules of the house: who imports whom, what stays light, how long files are, what is shipped."""

import ast
import itertools
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_IMPORT = {
    "search_spaces": {"search_spaces"},
    "predictors": {"search_spaces", "predictors"},
    "nas": {"search_spaces", "predictors", "nas"},
}
ROOMS = set(MAY_IMPORT)
FORBIDDEN = {
    "search_spaces": {"torch", "optuna", "ray", "sklearn", "plotly", "onnx", "onnxruntime"},
    "predictors": {"torch", "optuna", "ray", "plotly", "onnx", "onnxruntime"},
    "nas": set(),
}
HEAVY = ("torch", "optuna", "ray", "sklearn", "plotly", "pandas")
LONGEST_FILE, LONGEST_FUNCTION = 500, 80


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Yield the line and the module of every import anywhere in `tree`; relative ones as '.'."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." if node.level else str(node.module)


@pytest.mark.parametrize("room", sorted(ROOMS))
def test_imports_point_one_way(room: str) -> None:
    breaches = []
    for path in sources(room):
        for line, module in imported(ast.parse(path.read_text())):
            top = module.partition(".")[0]
            beyond = top in (ROOMS | {"tests", "benchmarks"}) - MAY_IMPORT[room]
            if beyond or top in FORBIDDEN[room] or module == ".":
                breaches.append(f"{path.relative_to(ROOT)}:{line} imports {module}")
    assert breaches == []


@pytest.mark.parametrize("module", ["nas", "nas.cli", "nas.recipe", "search_spaces", "predictors"])
def test_import_is_light(module: str) -> None:
    code = f"import {module}, sys; print(*(m for m in {HEAVY!r} if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []


def test_no_file_is_too_long() -> None:
    lengths = {
        str(path.relative_to(ROOT)): len(path.read_text().splitlines())
        for path in sources(*ROOMS, "tests", "benchmarks")
    }
    assert {name: n for name, n in lengths.items() if n > LONGEST_FILE} == {}


def test_no_function_is_too_long() -> None:
    too_long = []
    for path in sources(*ROOMS, "tests", "benchmarks"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > LONGEST_FUNCTION:
                    too_long.append(f"{path.relative_to(ROOT)}:{node.name} has {lines} lines")
    assert too_long == []


def test_every_folder_of_code_is_a_package() -> None:
    folders = {path.parent for path in sources(*ROOMS, "benchmarks")}
    assert [str(f.relative_to(ROOT)) for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_every_direct_dependency_is_pinned_within_its_bound() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    assert {"export", "energy", "png", "ui", "dev"} <= set(extras)
    texts = itertools.chain(project["dependencies"], *extras.values())
    wanted = dict(text.split(">=") for text in texts)
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert set(pinned) == set(wanted)
    assert [n for n in wanted if numbers(pinned[n]) < numbers(wanted[n])] == []
    assert pinned["torch"] == "2.13.0"


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel built from a copy of the sources, unpacked."""
    source = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    (source / "runs").mkdir()
    for recipe in (ROOT / "runs").glob("*.toml"):
        shutil.copy(recipe, source / "runs")
    (source / "runs" / "quickstart").mkdir()
    (source / "runs" / "quickstart" / "front.json").write_text("[]")
    command = "-m pip wheel -q --no-deps --no-build-isolation -w out ."
    subprocess.run([sys.executable, *command.split()], cwd=source, check=True)
    unpacked = source / "unpacked"
    with zipfile.ZipFile(next((source / "out").glob("nas_explorer-*.whl"))) as archive:
        archive.extractall(unpacked)
    return unpacked


def test_the_wheel_carries_everything_and_no_results(wheel: Path) -> None:
    files = [path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()]
    expected = {str(path.relative_to(ROOT)) for path in files if "__pycache__" not in path.parts}
    expected |= {f"nas/recipes/{path.name}" for path in (ROOT / "runs").glob("*.toml")}
    shipped = {str(path.relative_to(wheel)) for path in wheel.rglob("*") if path.is_file()}
    assert {name for name in shipped if ".dist-info" not in name} == expected


def test_recipes_are_found_by_name_from_the_wheel(wheel: Path, tmp_path: Path) -> None:
    code = "import nas.recipe_text as t; print(t.__file__); print(t.find('quickstart'))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [
        str(wheel / "nas" / "recipe_text.py"),
        str(wheel / "nas" / "recipes" / "quickstart.toml"),
    ]
