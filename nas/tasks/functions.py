"""A user's own function, named "module:function" or "file.py:function"."""

import importlib
import importlib.util
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nas.tasks.split import derived_seed
from search_spaces.errors import NasError, unknown_name

_NAMED = re.compile(r"(?P<place>.+):(?P<function>[^\W\d]\w*)")


def is_function_name(text: str) -> bool:
    """Tell whether `text` looks like "module:function" or "file.py:function"."""
    return _NAMED.fullmatch(text) is not None


def load_function(text: str) -> Callable[..., Any]:
    """Import what "module:function" or "file.py:function" names.

    Modules in the current folder are found too. Raises `NasError` for a missing file, module or
    function, and for one that fails while it is imported.
    """
    match = _NAMED.fullmatch(text)
    if match is None:
        raise NasError(f"{text!r} is no 'module:function' or 'file.py:function'")
    place, name = match["place"], match["function"]
    try:
        module = _from_file(Path(place)) if place.endswith(".py") else _from_module(place)
    except NasError:
        raise
    except Exception as error:
        raise NasError(f"cannot import {place!r} of {text!r}: {type(error).__name__}: {error}") from error
    function = getattr(module, name, None)
    if not callable(function):
        known = [key for key, value in vars(module).items() if callable(value) and key[0] != "_"]
        raise unknown_name(f"function in {place}", name, known)
    found: Callable[..., Any] = function
    return found


def _from_module(name: str) -> Any:
    with _importable(Path.cwd()):
        return importlib.import_module(name)


def _from_file(path: Path) -> Any:
    if not path.is_file():
        raise NasError(f"there is no file {str(path)!r}")
    name = f"{path.stem}_{derived_seed(str(path.resolve())):x}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise NasError(f"{str(path)!r} cannot be imported as Python")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _importable(path.resolve().parent):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
