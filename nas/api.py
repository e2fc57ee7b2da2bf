"""What a program calls: run a recipe or a space, and open a run's folder again."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nas.console import log_to
from nas.devices import check_precision
from nas.pipeline import Evaluate, Run
from nas.recipe import Recipe, recipe_from
from nas.run_folder import RunFolder
from search_spaces.errors import NasError
from search_spaces.space import SearchSpace

LOGGER = logging.getLogger("nas")
OBJECT_SPACE = "python:space"


def run(
    space: SearchSpace | str,
    *,
    task: Mapping[str, Any] | str = "digits",
    target: Mapping[str, Any] | Sequence[str] | str = "this",
    objectives: Sequence[str] = ("error", "latency_ms"),
    limits: Mapping[str, float | str | Mapping[str, float | str]] | None = None,
    evaluate: Evaluate | None = None,
    supernet: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    export: Mapping[str, Any] | None = None,
    name: str = "run",
    root: str | Path = "runs",
    minutes: float | None = None,
    resume: bool = False,
) -> Run:
    """Search `space` for networks that are good at `task` on `target`, and return the finished run.

    `task`, `target`, `supernet`, `search` and `export` are the sections of a recipe; the first two may be short: the
    data, and the target's name or the names of several. `evaluate(architecture)` is the user's own evaluation, a dict
    of figures.

    Raises NasError for whatever the caller can mend.
    """
    section = {"objectives": list(objectives), "limits": dict(limits or {}), **(search or {})}
    if evaluate is not None:
        section["evaluate"] = OBJECT_SPACE
    data: dict[str, Any] = {
        "name": name,
        "space": {"name": space if isinstance(space, str) else OBJECT_SPACE},
        "task": {"data": task} if isinstance(task, str) else dict(task),
        "target": _target_section(target),
        "supernet": dict(supernet or {}),
        "search": section,
        "export": dict(export or {}),
    }
    if minutes is not None:
        data["minutes"] = minutes
    recipe = recipe_from(data, source="the arguments of nas.run")
    given = None if isinstance(space, str) else space
    return run_recipe(recipe, root=Path(root), resume=resume, space=given, evaluate=evaluate)


def _target_section(target: Mapping[str, Any] | Sequence[str] | str) -> dict[str, Any]:
    if isinstance(target, Mapping):
        return dict(target)
    first, *more = (target,) if isinstance(target, str) else target or ("",)
    return {"name": first, "also": more}


def open_run(path_or_name: str | Path, *, root: Path = Path("runs"), space: SearchSpace | None = None) -> Run:
    """The run in a folder, or called so below `root`; `space` for runs of a space that no recipe names."""
    path = Path(path_or_name)
    if not path.is_dir() and (root / path).is_dir():
        path = root / path
    if not path.is_dir():
        known = ", ".join(sorted(p.parent.name for p in root.glob("*/recipe.toml"))) or "none yet"
        raise NasError(f"there is no run {str(path_or_name)!r}; runs in {root}: {known}")
    folder = RunFolder(path)
    return Run(folder, folder.recipe(), space=space)


def run_recipe(
    recipe: Recipe,
    *,
    resume: bool = False,
    dry_run: bool = False,
    name: str | None = None,
    root: Path = Path("runs"),
    space: SearchSpace | None = None,
    evaluate: Evaluate | None = None,
    say: Callable[[str], None] = print,
) -> Run:
    """Do the whole path of `recipe` in the folder `root`/`name`: measure, train, search, choose, export, report.

    With `resume` it goes on where the folder's run stopped. A dry run measures how long each stage would take, says
    so, and writes nothing. Ctrl-C and an elapsed time budget end with a report of what is there.
    """
    folder = RunFolder(root / (name or recipe.name))
    run = Run(folder, recipe, space=space, evaluate=evaluate)
    if dry_run:
        from nas.estimate import estimate

        for line in estimate(run):
            say(line)
        return run
    continued = resume and (folder.path / "recipe.toml").is_file()
    if continued:
        _check_same(folder, recipe)
    elif folder.path.exists() and any(folder.path.iterdir()):
        raise NasError(f"{folder.path} exists: continue it with --resume, or choose another folder with --name")
    _check(run)
    if not continued:
        folder.create(recipe)
    with log_to(folder.path / "log.txt"):
        LOGGER.info("run in %s, %s", folder.path, "continued" if continued else "started")
        _stages(run)
    return run


def _check_same(folder: RunFolder, recipe: Recipe) -> None:
    """Raise NasError when the folder's run was asked for something else."""
    before, now = folder.recipe().model_dump(), recipe.model_dump()
    changed = [
        f"{section}.{key}" if isinstance(now[section], dict) else section
        for section in now
        for key in (now[section] if isinstance(now[section], dict) else [""])
        if (before[section][key] != now[section][key] if key else before[section] != now[section])
    ]
    changed = [key for key in changed if key not in ("name", "minutes")]
    if changed:
        raise NasError(
            f"{folder.path} was started with other settings ({', '.join(changed)}): restore them, or choose another "
            "folder with --name"
        )


def _check(run: Run) -> None:
    """Raise NasError for what can be known to be wrong before anything is written."""
    if run.has_data:
        _ = run.task
    run.space.sample(np.random.default_rng(0))
    _ = run.evaluate
    if run.wants_target:
        from predictors.target import MEASURED_NOW, load_target

        for place in run.asked.target.names.values():
            if place != MEASURED_NOW:
                load_target(place)
    check_precision(run)
    if run.recipe.search.warm_start:
        from nas.warm import named_searches

        named_searches(run)


def _stages(run: Run) -> None:
    """Every stage in order; Ctrl-C goes straight to the report."""
    notes: list[str] = []
    try:
        _prepare(run)
        if run.trains_supernet and not run.train():
            notes.append("Training stopped early, at its time budget; the search went on with the weights so far.")
        result = run.search()
        if result.ended != "complete":
            notes.append(f"The search ended early ({result.ended}).")
        finish(run, result.evaluations)
    except KeyboardInterrupt:
        notes.append("Stopped by Ctrl-C; continue with --resume.")
        LOGGER.warning("stopped by Ctrl-C; the report shows what is there")
    run.report(notes=tuple(notes))


def _prepare(run: Run) -> None:
    """Compile the space, measure or load the target, and see that the limits can be met, with their margins too."""
    from nas.margins import margins, searched_limits
    from nas.search.limits import check_limits

    rng = np.random.default_rng([run.recipe.search.seed, 0])
    check_limits(run.domain(run.recipe.search.limits), rng)
    if margins(run):
        check_limits(run.domain(searched_limits(run)), rng)


def finish(run: Run, evaluations: Sequence[Any]) -> None:
    """Choose, test, measure and export the front of `evaluations`; with several targets, choose one for each too."""
    from nas.choosing import choose
    from nas.device_fronts import choose_for_targets
    from nas.searching import save_evaluations

    with run.folder.stage("choose"):
        if run.views:
            front = choose_for_targets(run, evaluations)
        else:
            save_evaluations(run, evaluations)
            front = choose(run, evaluations)
    if front and run.recipe.export.top:
        with run.folder.stage("export"):
            run.export()
