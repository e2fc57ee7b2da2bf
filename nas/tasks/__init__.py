"""Tasks: what the networks must learn, from which data, and how their answers are judged."""

from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from search_spaces.errors import NasError, unknown_name

TASKS = {
    "classification": "nas.tasks.classification:classification",
    "reidentification": "nas.tasks.reidentification:reidentification",
    "segmentation": "nas.tasks.segmentation:segmentation",
}
"""Kinds of task: name -> "module:function" of the builder, imported when asked for."""


def task_builder(name: str) -> Callable[..., Any]:
    """Return the function that builds the task called `name` from its data.

    What it returns satisfies `nas.tasks.protocol.Task`. Raises `NasError` for an unknown name.
    """
    if name not in TASKS:
        raise unknown_name("task", name, TASKS)
    module, _, function = TASKS[name].partition(":")
    builder: Callable[..., Any] = getattr(import_module(module), function)
    return builder


def task_data(
    name: str,
    source: str,
    *,
    cache: Path | None = None,
    size: Sequence[int] | None = None,
    classes: int | None = None,
    advance: Callable[[float], None] | None = None,
) -> Any:
    """Return the data that `source` names, in the form that the task called `name` is built from.

    cache: folder for what had to be decoded. size: spatial size, where the data are brought to one. classes: how many
    there are, where the data do not tell. advance: told the share read since its last call. Raises `NasError` for
    whatever is missing, damaged or no data for the task.
    """
    if name == "segmentation":
        from nas.tasks.masks import load_masks

        return load_masks(source, size=size, classes=classes, advance=advance)
    if name == "reidentification":
        from nas.tasks.people import load_people

        return load_people(source, size=_planar(size), advance=advance)
    from nas.tasks.data import load_data

    return load_data(source, cache=cache, size=_planar(size), advance=advance)


def _planar(size: Sequence[int] | None) -> tuple[int, int] | None:
    if size is None:
        return None
    if len(size) != 2:
        raise NasError(f"task.size is {list(size)}: images have two extents, [height, width]")
    return size[0], size[1]
