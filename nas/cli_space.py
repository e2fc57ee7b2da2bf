"""What the `nas space` commands print."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nas.recipe_text import apply_overrides
from search_spaces import NasError, SearchSpace

DRAWS = 200


def named_space(name: str, input_shape: str, classes: int, overrides: Sequence[str]) -> SearchSpace:
    """Return the space of the command line: a name or a recipe's file, a shape, `key=value` texts.

    Raises NasError when there is no such space, or the shape is not "channels,height,width".
    """
    from nas.spaces import load_space

    options: dict[str, Any] = {}
    stages: Sequence[dict[str, Any]] = ()
    if name.endswith(".toml"):
        from nas.recipe import load_recipe

        space = load_recipe(name).space
        name, options, stages = space.name or "", dict(space.options), space.stages
    apply_overrides(options, overrides)
    return load_space(
        name or None,
        input_shape=_shape(input_shape),
        classes=classes,
        options=options,
        stages=stages,
    )


def _shape(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if len(parts) < 2 or not all(part.isdigit() and int(part) > 0 for part in parts):
        raise NasError(f"--input {text!r} must look like channels,height,width: 3,32,32")
    return tuple(int(part) for part in parts)


def choice_rows(space: SearchSpace) -> list[dict[str, str]]:
    """Return one row per choice met in the first, the last and 200 random architectures."""
    rng = np.random.default_rng(0)
    traces = itertools.chain(
        (space.trace(lambda _, options: options[0]), space.trace(lambda _, options: options[-1])),
        (
            space.trace(lambda _, options: options[int(rng.integers(len(options)))])
            for _ in range(DRAWS)
        ),
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
