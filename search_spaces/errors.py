"""Errors a user can cause; the command line prints their message and exits with code 2."""

import difflib
from collections.abc import Iterable


class NasError(Exception):
    """Something the user can mend: the message says what, where, the legal range and what to do."""


class InvalidArchitecture(NasError):
    """An architecture that the space does not allow, with the reason."""


class SpaceError(NasError):
    """A space that cannot be used: contradictory choices, no valid architecture, broken shapes."""


class ShapeError(SpaceError):
    """An operator received tensors that it cannot take."""


def unknown_name(kind: str, name: str, known: Iterable[str]) -> NasError:
    """Return the error for a misspelt `name`, listing near matches before all known names."""
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=3)
    hint = f"did you mean {' or '.join(repr(n) for n in near)}? " if near else ""
    return NasError(f"unknown {kind} {name!r}: {hint}known: {', '.join(names)}")
