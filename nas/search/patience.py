"""Waiting for a storage that is away for a while: a locked SQLite file, a PostgreSQL server that restarts."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

LOGGER = logging.getLogger(__name__)
PATIENCE_SECONDS = 600.0
RETRY_SECONDS = 1.0
T = TypeVar("T")


def patiently(action: Callable[[], T], place: str) -> T:
    """What `action` gives, tried again each second for ten minutes while the storage `place` is away.

    `action` must do no harm when it is done again after its answer got lost. Any other error is raised at once.
    """
    begun: float | None = None
    while True:
        try:
            done = action()
        except Exception as error:
            now = time.monotonic()
            if not may_pass(error) or (begun is not None and now - begun > PATIENCE_SECONDS):
                raise
            if begun is None:
                begun = now
                LOGGER.warning(
                    "the study %s cannot be used now (%s); trying again for %.0f minutes",
                    place,
                    innermost(error),
                    PATIENCE_SECONDS / 60,
                )
        else:
            if begun is not None:
                LOGGER.warning("the study %s is back after %.0f s", place, time.monotonic() - begun)
            return done
        time.sleep(RETRY_SECONDS)


def may_pass(error: BaseException) -> bool:
    """Whether an error tells of a storage that is away, not of one that is broken or full."""
    return any(_is_away(one) for one in _chain(error))


def innermost(error: BaseException) -> str:
    """The first line of the message that the storage itself gave."""
    lines = str(list(_chain(error))[-1]).strip().splitlines()
    return lines[0] if lines else repr(error)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An error and what caused it, the cause last."""
    while error is not None:
        yield error
        inner = getattr(error, "orig", None) or error.__cause__
        error = inner if isinstance(inner, BaseException) else None


def _is_away(error: BaseException) -> bool:
    kind, text = type(error), str(error).lower()
    if kind.__module__.startswith("psycopg"):
        return any(one.__name__ in ("OperationalError", "InterfaceError") for one in kind.__mro__)
    return kind.__module__ == "sqlite3" and ("locked" in text or "busy" in text)
