"""Runs side by side: their fronts, and what was asked of each that was not asked of the others."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from nas.api import open_run
from nas.recipe import Recipe
from nas.report.comparison import Comparison, Difference, Side, compare
from nas.report.data import FrontEntry
from nas.target_figures import DEVICE_FIGURES
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from nas.own.marks import Asked
    from nas.pipeline import Run

BESIDE = ("name",)
VERSIONS = ("torch", "onnxruntime", "optuna")


def compare_runs(named: Sequence[str], *, own: Sequence["Asked"] = ()) -> Comparison:
    """The fronts of the runs called `named`, and networks of the user's own, as the first run sees them.

    A run is its name or folder, or with a further search of it NAME:SEARCH; one of several targets gives a front per
    target. Raises NasError for an unknown run or search, one without a front, and for runs without a shared objective.
    """
    from nas.own.marks import own_marks

    runs = _named_runs(named)
    sides = [_side(name, run) for name, run in runs.items()]
    marks = own_marks(next(iter(runs.values())), own) if own else ()
    return compare(sides, differences=_differences(runs), notes=_notes(runs, sides), marks=marks)


def _named_runs(named: Sequence[str]) -> "dict[str, Run]":
    """By what each is called on the page: its folder's name where that tells them apart, else as it was named."""
    found: dict[str, Run] = {}
    folders = [Path(text.rstrip("/")).name for text in named]
    for text, folder in zip(named, folders, strict=True):
        run = _opened(text)
        name = folder if folders.count(folder) == 1 else text
        if name in found:
            raise NasError(f"run {text!r} is named twice")
        for target, view in (run.views or {"": run}).items():
            found[f"{name}@{target}" if target else name] = view
    return found


def _opened(text: str) -> "Run":
    from nas.cli_runs import opened

    name, colon, search = text.rpartition(":")
    if colon and not Path(text).is_dir() and not (Path("runs") / text).is_dir():
        return opened(name, search)
    return open_run(text)


def _side(name: str, run: "Run") -> Side:
    entries = tuple(FrontEntry.from_json(entry) for entry in run.front)
    if not entries:
        raise NasError(f"{run.path} has no front yet: `nas run {run.path} --resume` goes on with it")
    section = run.recipe.search
    return Side(name, section.objectives, entries, _words(run), section.limits)


def _words(run: "Run") -> str:
    """What was searched, on what and how much, in a sentence."""
    recipe = run.recipe
    parts = [f"{recipe.search.proposer}, {recipe.search.evaluations} evaluations, seed {recipe.search.seed}"]
    if run.has_data:
        parts.append(f"{recipe.task.data}")
    if device := _device(run):
        parts.append(device)
    return "; ".join(parts)


def _device(run: "Run") -> str:
    """The hardware in words; empty where the run is not about any, or nothing was measured yet."""
    if not run.wants_target or not run.target_file.is_file():
        return ""
    who = run.target.identity
    threads = "1 thread" if who.threads == 1 else f"{who.threads} threads"
    return f"{who.device_name}, {who.software}, {who.precision}, {threads}, batch {who.batch}"


def _differences(runs: "Mapping[str, Run]") -> tuple[Difference, ...]:
    """Settings of the recipes, devices and versions that are not the same everywhere."""
    recipes = [_flat(run.recipe) for run in runs.values()]
    meanings = _meanings()
    rows = [
        (key, meanings.get(key, ""), [recipe.get(key) for recipe in recipes])
        for key in dict.fromkeys(key for recipe in recipes for key in recipe)
    ]
    rows.append(("device", "what latencies are of", [_device(run) or None for run in runs.values()]))
    versions = [run.folder.environment().get("versions") or {} for run in runs.values()]
    rows += [(f"version of {name}", "", [version.get(name) for version in versions]) for name in VERSIONS]
    return tuple(
        Difference(key, meaning, tuple(map(_text, values)))
        for key, meaning, values in rows
        if any(value != values[0] for value in values)
    )


def _flat(recipe: Recipe) -> dict[str, Any]:
    """Every setting of a recipe by its dotted key; limits one by one."""
    found: dict[str, Any] = {}
    for section, value in recipe.model_dump().items():
        if section in BESIDE:
            continue
        for key, inner in (value if isinstance(value, dict) else {"": value}).items():
            name = f"{section}.{key}" if key else section
            found |= (
                {f"{name}.{part}": one for part, one in inner.items()} if isinstance(inner, dict) else {name: inner}
            )
    return found


def _meanings() -> dict[str, str]:
    """What each setting of a recipe is for, by its dotted key."""
    found: dict[str, str] = {}
    for section, field in Recipe.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"{section}.{key}": entry.description or "" for key, entry in inner.model_fields.items()}
        else:
            found[section] = field.description or ""
    return found


def _text(value: Any) -> str:
    if value is None or value == ():
        return "–"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def _notes(runs: "Mapping[str, Run]", sides: Sequence[Side]) -> tuple[str, ...]:
    """What keeps figures of the same name from meaning the same."""
    shared = set.intersection(*(set(side.objectives) for side in sides))
    notes = []
    data = {run.recipe.task.data for run in runs.values() if run.has_data}
    if "error" in shared and len(data) > 1:
        notes.append(f"The errors are of different data ({', '.join(sorted(data))}): they are not one objective.")
    devices = {_device(run) for run in runs.values()}
    if shared & set(DEVICE_FIGURES) and len(devices) > 1:
        notes.append("Times and energies are those of each run's own device.")
    spaces = {run.recipe.space.name or "stages of its own" for run in runs.values()}
    if len(spaces) > 1:
        notes.append(f"The architectures come from different spaces ({', '.join(sorted(spaces))}).")
    return tuple(notes)
