"""Recipes as text: finding the file, reading it, overriding keys, and wording every mistake."""

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from search_spaces.errors import NasError, unknown_name

_PATH_KEYS = (
    ("space", "name"),
    ("task", "data"),
    ("target", "name"),
    ("target", "also"),
    ("search", "evaluate"),
    ("search", "warm_start"),
)


class Mistake(NamedTuple):
    """One mistake: where it is, relative to the key it was found under, and what is wrong."""

    place: tuple[str | int, ...]
    message: str


def several(mistakes: Sequence[Mistake]) -> None:
    """Raise all `mistakes` of one key as one validation error; do nothing when there are none."""
    if mistakes:
        raise PydanticCustomError("several", "several mistakes", {"mistakes": list(mistakes)})


def expand(text: str) -> str:
    """Return `text` with `~`, `$NAME` and `${NAME}` replaced; ValueError when a name is unset."""

    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            raise ValueError(f"the environment variable {name} is not set: set it, or give the path itself")
        return os.environ[name]

    return os.path.expanduser(re.sub(r"\$(?:(\w+)|\{(\w+)\})", value, text))


def find(path_or_name: str | Path) -> Path:
    """Return the file of a recipe given by path, by its run's folder, or by name."""
    given = Path(path_or_name)
    if given.suffix == ".toml" or len(given.parts) > 1:
        path = given / "recipe.toml" if given.is_dir() else given
        if not path.is_file():
            raise NasError(f"there is no recipe {str(path)!r}; {_names_text()}")
        return path
    for folder in recipe_folders():
        path = folder / f"{given.name}.toml"
        if path.is_file():
            return path
    raise unknown_name("recipe", str(given), recipe_names())


def recipe_folders() -> tuple[Path, ...]:
    """Return where names are looked for: here, in the installed package, in its source tree."""
    package = Path(__file__).resolve().parent
    return (Path("runs"), package / "recipes", package.parent / "runs")


def recipe_names() -> tuple[str, ...]:
    """Return the names of all recipes that can be found from the current directory, sorted."""
    found = (path.stem for folder in recipe_folders() for path in folder.glob("*.toml"))
    return tuple(sorted(set(found)))


def _names_text() -> str:
    return f"known by name: {', '.join(recipe_names())}"


def parse_toml(path: Path) -> dict[str, Any]:
    """Return the content of a TOML file; NasError names the file, and the line of a mistake."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise NasError(f"{path} is not TOML: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise NasError(f"{path} cannot be read: {error}") from error


def apply_overrides(data: dict[str, Any], overrides: Iterable[str]) -> None:
    """Set each `section.key=value` of `overrides` in `data`, in place."""
    for override in overrides:
        key, equals, text = override.partition("=")
        *sections, last = (part.strip() for part in key.split("."))
        if not equals or not all([*sections, last]):
            raise NasError(f"--set {override!r} must look like section.key=value")
        table = data
        for section in sections:
            table = table.setdefault(section, {})
            if not isinstance(table, dict):
                raise NasError(f"--set {override!r}: {section!r} is not a table of the recipe")
        table[last] = _value(text.strip())


def _value(text: str) -> object:
    """Return `text` as the TOML value it is, or as plain text when it is none."""
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text
    return parsed["value"] if len(parsed) == 1 else text


def beside(data: dict[str, Any], folder: Path) -> None:
    """Make paths in `data` that exist only relative to `folder` start there, in place."""
    for section, key in _PATH_KEYS:
        table = data.get(section)
        value = table.get(key) if isinstance(table, dict) else None
        if isinstance(table, dict) and isinstance(value, str):
            table[key] = _beside(value, folder)
        elif isinstance(table, dict) and isinstance(value, list):
            table[key] = [_beside(one, folder) if isinstance(one, str) else one for one in value]


def _beside(text: str, folder: Path) -> str:
    file, colon, function = text.partition(":")
    is_path = Path(file).suffix or "/" in file
    if is_path and not Path(file).exists() and (folder / file).exists():
        return f"{folder / file}{colon}{function}"
    return text


def mistakes_of(error: ValidationError, model: type[BaseModel]) -> list[str]:
    """Return one line per mistake of `error`: the path of the key, then what is wrong with it."""
    lines = []
    for detail in error.errors():
        nested = detail.get("ctx", {}).get("mistakes")
        mistakes = nested or [Mistake((), _message(detail, model))]
        lines += [f"{_key((*detail['loc'], *place))}: {message}" for place, message in mistakes]
    return lines


def _key(place: tuple[str | int, ...]) -> str:
    parts = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in place)
    return "".join(parts).removeprefix(".")


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    kind, given = detail["type"], detail["input"]
    if kind == "extra_forbidden":
        return _unknown_key(detail["loc"], model)
    if kind == "missing":
        return "is missing"
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return f"must be a table, got {_shown(given)}"
    if kind == "value_error":
        return detail["msg"].removeprefix("Value error, ")
    if kind == "string_pattern_mismatch":
        return f"must be a name of letters, digits, '.', '_' and '-', got {_shown(given)}"
    words = {
        "int_type": "must be a whole number",
        "float_type": "must be a number",
        "string_type": "must be a text",
        "bool_type": "must be true or false",
        "tuple_type": "must be a list",
        "string_too_short": "must not be empty",
    }
    said = words.get(kind) or detail["msg"].replace("Input should be", "must be", 1)
    return f"{said}, got {_shown(given)}{_near_literal(detail)}"


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)


def _near_literal(detail: ErrorDetails) -> str:
    if detail["type"] != "literal_error":
        return ""
    legal = re.findall(r"'([^']*)'", detail["ctx"]["expected"])
    return _did_you_mean(str(detail["input"]), legal)


def _unknown_key(place: tuple[str | int, ...], model: type[BaseModel]) -> str:
    for part in place[:-1]:
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return "unknown key"
        model = annotation
    legal = list(model.model_fields)
    hint = _did_you_mean(str(place[-1]), legal) or f"; known: {', '.join(legal)}"
    return f"unknown key{hint}"


def _did_you_mean(name: str, legal: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, legal, n=2)
    return f"; did you mean {' or '.join(repr(word) for word in near)}?" if near else ""
