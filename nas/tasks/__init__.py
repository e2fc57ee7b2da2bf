"""Tasks: what the networks must learn, from which data, and how their answers are judged."""

from collections.abc import Callable
from importlib import import_module
from typing import Any

from search_spaces.errors import unknown_name

TASKS = {
    "classification": "nas.tasks.classification:classification",
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
