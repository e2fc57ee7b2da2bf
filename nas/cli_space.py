"""What the `nas space` commands print."""

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nas.recipe_text import apply_overrides
from search_spaces import NasError, SearchSpace

if TYPE_CHECKING:
    from nas.recipe import TaskSection

DRAWS = 200
INPUT_SHAPE, CLASSES = (3, 32, 32), 10


def named_space(name: str, input_shape: str | None, classes: int | None, overrides: Sequence[str]) -> SearchSpace:
    """Return the space of the command line: a name or a recipe's file, a shape, `key=value` texts.

    A shape or number of classes that is not given is that of the recipe's data, else (3, 32, 32)
    and 10. Raises NasError when there is no such space, or the shape is not "channels,height,width".
    """
    from nas.spaces import load_space

    shape = None if input_shape is None else parse_shape(input_shape, option="--input")
    if not name.endswith(".toml"):
        options: dict[str, Any] = {}
        apply_overrides(options, overrides)
        return load_space(name, input_shape=shape or INPUT_SHAPE, classes=classes or CLASSES, options=options)
    from nas.recipe import load_recipe

    recipe = load_recipe(name, [f"space.options.{override}" for override in overrides])
    if shape is None or classes is None:
        of_data = _data_shape(recipe.task)
        shape, classes = shape or of_data[0], classes or recipe.task.classes or of_data[1]
    space = recipe.space
    return load_space(space.name, input_shape=shape, classes=classes, options=space.options, stages=space.stages)


def _data_shape(task: "TaskSection") -> tuple[tuple[int, ...], int]:
    """Return (channels, *spatial) and the number of classes of the data of a recipe."""
    from nas.console import progress
    from nas.tasks import task_data

    with progress(f"read {task.data}", 1.0) as step:
        data = task_data(
            task.name,
            task.data,
            cache=Path("runs", ".cache"),
            size=task.size,
            classes=task.classes,
            advance=step.advance,
        )
    return data.input_shape, len(data.class_names)


def parse_shape(text: str, *, option: str) -> tuple[int, ...]:
    """Return the shape that `text`, "channels,height,width", says; NasError names the `option` it was given to."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise NasError(f"{option} {text!r} must look like channels,height,width: 3,32,32")
    return tuple(int(part) for part in parts)


def choice_rows(space: SearchSpace) -> list[dict[str, str]]:
    """Return one row per choice met in the first, the last and 200 random architectures."""
    rng = np.random.default_rng(0)
    traces = itertools.chain(
        (space.trace(lambda _, options: options[0]), space.trace(lambda _, options: options[-1])),
        (space.trace(lambda _, options: options[int(rng.integers(len(options)))]) for _ in range(DRAWS)),
    )
    met: dict[str, dict[object, None]] = {}
    asked: dict[str, int] = {}
    for trace in traces:
        for choice in trace.choices:
            met.setdefault(choice.name, {}).update(dict.fromkeys(choice.options))
            asked[choice.name] = asked.get(choice.name, 0) + 1
    total = DRAWS + 2
    return [
        {
            "choice": name,
            "options": ", ".join(map(str, options)),
            "asked": "always" if asked[name] == total else "sometimes",
        }
        for name, options in met.items()
    ]


def size_text(space: SearchSpace) -> str:
    """Return how many architectures the space holds, in words that say how that is known."""
    return str(space.size())


def samples(space: SearchSpace, count: int, seed: int) -> Iterator[str]:
    """Yield `count` random architectures as JSON, drawn from `seed`."""
    rng = np.random.default_rng(seed)
    for _ in range(count):
        yield space.sample(rng).to_json()
