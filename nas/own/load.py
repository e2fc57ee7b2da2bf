"""The user's own network: an exported folder, `file.py:function` or `module:function`."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nas.objects import load_object
from search_spaces.errors import NasError
from search_spaces.operators import Shape

if TYPE_CHECKING:
    from torch import nn

WHAT = "own network"


@dataclass(frozen=True)
class OwnModule:
    """A module of the user's, what it is called, and the shape (channels, *spatial) of one input where that is told."""

    name: str
    module: "nn.Module"
    input_shape: Shape | None = None


def load_own(named: str) -> OwnModule:
    """The module that `named` stands for; a function is called without arguments.

    Raises NasError where there is no such folder, file or function, and where it gives no torch.nn.Module.
    """
    from torch import nn

    folder = Path(named)
    if folder.is_dir():
        return _exported(folder)
    if ":" not in named:
        raise NasError(f"{WHAT} {named!r}: there is no such folder, and 'file.py:function' names a function")
    found: Any = load_object(named, what=WHAT)
    if not isinstance(found, nn.Module) and callable(found):
        found = _called(found, named)
    if not isinstance(found, nn.Module):
        raise NasError(f"{WHAT} {named!r} gives {type(found).__name__}, not a torch.nn.Module")
    return OwnModule(named.rpartition(":")[2], found)


def _called(function: Any, named: str) -> Any:
    """What the user's function returns."""
    try:
        return function()
    except Exception as error:
        raise NasError(
            f"{WHAT} {named!r} fails when called without arguments: {type(error).__name__}: {error}"
        ) from error


def _exported(folder: Path) -> OwnModule:
    from nas.export.folder import MODEL, WEIGHTS, read_about

    about = read_about(folder)
    if not (folder / MODEL).is_file() or not (folder / WEIGHTS).is_file():
        raise NasError(f"{WHAT} {folder}: it lacks {MODEL} or {WEIGHTS}; export it with --format pytorch")
    load: Any = load_object(f"{folder / MODEL}:load", what=WHAT)
    try:
        module = load(folder / WEIGHTS)
        shape = tuple(int(size) for size in about["input_shape"])
    except Exception as error:
        raise NasError(f"{WHAT} {folder} cannot be loaded: {type(error).__name__}: {error}") from error
    return OwnModule(folder.resolve().name, module, shape)
