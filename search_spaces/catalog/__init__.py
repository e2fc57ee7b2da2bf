"""Ready-made spaces: builders that take the task's input shape and number of classes."""

from collections.abc import Callable

from search_spaces.catalog.mobile import mobile
from search_spaces.space import SearchSpace

CATALOG: dict[str, Callable[..., SearchSpace]] = {
    "mobile": mobile,
}

__all__ = ["CATALOG", "mobile"]
