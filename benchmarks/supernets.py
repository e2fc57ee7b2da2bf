"""Supernets that benchmarks train: a run folder each, made when it is not there, else gone on with."""

import time
from pathlib import Path

from benchmarks.figures import tell
from nas.console import progress
from nas.pipeline import Run
from nas.recipe import Recipe
from nas.run_folder import RunFolder
from search_spaces.errors import NasError

TIMED_STEPS = 4


def opened(folder: Path, recipe: Recipe, *, device: str = "cpu") -> Run:
    """The run of `recipe` in `folder`; its data and fresh weights lie on `device`.

    Raises NasError when the folder holds a run of another recipe.
    """
    place = RunFolder(folder)
    if not (folder / "recipe.toml").is_file():
        place.create(recipe)
    elif place.recipe().model_dump() != recipe.model_dump():
        raise NasError(f"{folder} was made with other options: give the same ones again, or another --folder")
    return fresh(folder, recipe, device=device)


def fresh(folder: Path, recipe: Recipe, *, device: str = "cpu") -> Run:
    """A run of `recipe` that has written nothing yet, its data and fresh weights on `device`."""
    run = Run(RunFolder(folder), recipe)
    if device != "cpu":
        run.supernet.to(device)
        run.task = run.task.to(device)
    return run


def trained(run: Run, *, deadline: float | None) -> bool:
    """Train the supernet of `run` from its last checkpoint until `deadline`; whether the end was reached."""
    trainer = run.trainer()
    steps = run.recipe.supernet.epochs * trainer.steps_per_epoch
    with run.folder.stage("train"), progress(f"training {run.path.name}", steps) as step:
        step.advance(trainer.steps_done)
        reached = trainer.run(advance=lambda n, note: step.advance(n, note=note), deadline=deadline)
    if not reached:
        tell(f"the supernet has {trainer.steps_done} of {steps} steps; call again to go on")
    return reached


def epoch_seconds(recipe: Recipe, folder: Path, *, device: str = "cpu") -> float:
    """Seconds of one epoch of training, timed on a few steps that change nothing; nothing is written."""
    trainer = fresh(folder, recipe, device=device).trainer()
    trainer.choose_precision()
    return trainer.steps_per_epoch * trainer.step_seconds(TIMED_STEPS) + trainer.epoch_end_seconds()


def end_of(minutes: float | None) -> float | None:
    """`time.monotonic()` after so many minutes from now; `None` for as long as it takes."""
    return None if minutes is None else time.monotonic() + 60 * minutes
