"""Objects of the user's own, named as "module:name" or "file.py:name"."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from search_spaces.errors import NasError, unknown_name


def load_object(path: str, *, what: str) -> Any:
    """Return the object that `path` ("module:name" or "file.py:name") names; `what` is for error messages.

    A file's module stays out of `sys.modules`, so that its functions travel to workers by value.

    Raises NasError when the file, the module or the name is missing, or the code fails on import.
    """
    place, _, name = path.rpartition(":")
    if not place or not name.isidentifier():
        raise NasError(f"{what} {path!r} must look like 'file.py:name' or 'module:name'")
    module = _from_file(Path(place), what) if place.endswith(".py") else _from_name(place, what)
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise unknown_name(f"{what} in {place}", name, public)
    return getattr(module, name)


def _from_file(path: Path, what: str) -> ModuleType:
    if not path.is_file():
        raise NasError(f"{what}: there is no file {str(path)!r}")
    name = f"_nas_user_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path.resolve())
    if spec is None or spec.loader is None:
        raise NasError(f"{what}: {str(path)!r} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise NasError(f"{what}: {path} fails with {type(error).__name__}: {error}") from error
    finally:
        del sys.modules[name]
    return module


def _from_name(name: str, what: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NasError(f"{what}: module {name!r} cannot be imported: {error}") from error
