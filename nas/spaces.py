"""Spaces by name: the catalogue, a user's file or module, or the declarative form."""

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from nas.objects import load_object
from search_spaces import NasError, SearchSpace, Stage, stagewise
from search_spaces.catalog import CATALOG
from search_spaces.errors import unknown_name


def load_space(
    name: str | None,
    *,
    input_shape: tuple[int, ...],
    classes: int,
    options: Mapping[str, Any],
    stages: Sequence[Mapping[str, Any]] = (),
) -> SearchSpace:
    """The space called `name`, or that of `stages`, for inputs (channels, *spatial) and `classes` outputs.

    A user's object may be a `SearchSpace`, a space function `(net, pick)`, or a builder
    `(input_shape, classes, **options)` returning a `SearchSpace`.

    Raises NasError for unknown names and for options that the builder does not take or refuses.
    """
    if name is None:
        return _call(
            stagewise,
            "stagewise",
            input_shape,
            classes,
            {**options, "stages": [Stage.from_table(table) for table in stages]},
        )
    if ":" not in name:
        if name not in CATALOG:
            raise unknown_name("space", name, CATALOG)
        return _call(CATALOG[name], name, input_shape, classes, options)
    found = load_object(name, what="space")
    if isinstance(found, SearchSpace):
        return found
    if not callable(found):
        raise NasError(f"space {name!r} is a {type(found).__name__}; give a space, a space function or a builder")
    if list(inspect.signature(found).parameters)[:2] == ["net", "pick"]:
        return SearchSpace(found)
    return _call(found, name, input_shape, classes, options)


def _call(
    builder: Any, name: str, input_shape: tuple[int, ...], classes: int, options: Mapping[str, Any]
) -> SearchSpace:
    parameters = inspect.signature(builder).parameters
    known = list(parameters)[2:]
    for option in options:
        if option not in known:
            raise unknown_name(f"option of space {name!r}", option, known)
    try:
        space = builder(input_shape, classes, **options)
    except (TypeError, ValueError) as error:
        raise NasError(f"space {name!r} does not accept its options: {error}") from error
    if not isinstance(space, SearchSpace):
        raise NasError(f"space {name!r} returned a {type(space).__name__}, not a SearchSpace")
    return space
