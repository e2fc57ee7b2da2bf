"""Reading a run folder that may be half written, damaged, or from another version: what can be read is shown."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from nas.report.data import EvaluatedPoint, FrontEntry, ReportData, StageTime
from nas.run_folder import read_json
from nas.search.record import Evaluation
from search_spaces.errors import NasError

T = TypeVar("T")
U = TypeVar("U")
DAMAGE = (NasError, LookupError, TypeError, ValueError, AttributeError, OSError)


class Salvage:
    """Reads part after part, and tells what could not be read, each reason once."""

    def __init__(self) -> None:
        self._lost: dict[str, list[str]] = {}

    def part(self, what: str, read: Callable[[], T], otherwise: U) -> T | U:
        """What `read` gives, or `otherwise` where it fails; `what` is then said to be missing."""
        try:
            return read()
        except DAMAGE as error:
            reason = str(error) if isinstance(error, NasError) else f"{type(error).__name__}: {error}"
            self._lost.setdefault(reason.rstrip("."), []).append(what)
            return otherwise

    @property
    def notes(self) -> tuple[str, ...]:
        """A sentence for each reason."""
        return tuple(
            f"Not shown, because it cannot be read: {_listed(what)}. {why}." for why, what in self._lost.items()
        )


def _listed(words: list[str]) -> str:
    *most, last = dict.fromkeys(words)
    return f"{', '.join(most)} and {last}" if most else last


def evaluated_point(evaluation: Evaluation) -> EvaluatedPoint:
    """An evaluation as the page shows it."""
    return EvaluatedPoint(
        evaluation.number,
        evaluation.id,
        evaluation.fingerprint,
        evaluation.architecture.values,
        evaluation.values,
        evaluation.provenance,
        evaluation.feasible,
        evaluation.proposer,
        evaluation.seconds,
    )


def is_run_like(folder: Path) -> bool:
    """Whether a run was begun in `folder`, by this version or another."""
    return any((folder / name).exists() for name in ("recipe.toml", "environment.json", "searches"))


def data_without_recipe(folder: Path, why: NasError) -> ReportData:
    """What can be shown of the run in `folder` when its recipe cannot be read, for the reason `why`."""
    salvage = Salvage()
    searches = sorted(path for path in folder.glob("searches/*") if path.is_dir())
    search = next((path for path in searches if (path / "front.json").is_file()), None)
    found: Mapping[str, Any] = {}
    front: tuple[FrontEntry, ...] = ()
    points: tuple[EvaluatedPoint, ...] = ()
    if search is not None:
        found = salvage.part("the front", lambda: dict(read_json(search / "front.json", default={})), {})
        front = salvage.part("the front", lambda: tuple(map(FrontEntry.from_json, found["architectures"])), ())
        points = salvage.part("the evaluations", lambda: _points(search), ())
    first = next((entry.values for entry in front), {})
    objectives = tuple(str(name) for name in found.get("objectives") or () if name in first)
    return ReportData(
        name=folder.name,
        run=str(folder),
        objectives=objectives,
        limits=salvage.part("the limits", lambda: {k: float(v) for k, v in found.get("limits", {}).items()}, {}),
        front=front if objectives else (),
        evaluations=points if objectives else (),
        stages=salvage.part("the stages", lambda: _stages(folder), ()),
        recipe_toml=salvage.part("the recipe", lambda: _text(folder / "recipe.toml"), ""),
        environment=salvage.part(
            "the environment", lambda: dict(read_json(folder / "environment.json", default={})), {}
        ),
        notes=(f"This run can only be shown in part: {str(why).rstrip('.')}.", *salvage.notes),
    )


def _text(path: Path) -> str:
    return path.read_text() if path.is_file() else ""


def _points(search: Path) -> tuple[EvaluatedPoint, ...]:
    rows = read_json(search / "evaluations.json", default=[])
    return tuple(evaluated_point(Evaluation.from_json(row)) for row in rows)


def _stages(folder: Path) -> tuple[StageTime, ...]:
    state = read_json(folder / "stages.json", default={})
    return tuple(StageTime(name, float(one["seconds"]), str(one["state"])) for name, one in state.items())
