"""Spaces that the report's tests share."""

from search_spaces import SearchSpace
from search_spaces.catalog import mobile


def small_space() -> SearchSpace:
    """A mobile space that compiles in no time."""
    return mobile(
        (3, 32, 32),
        10,
        resolutions=(24, 32),
        widths=((16, 24), (32, 48)),
        depths=((1, 2), (1, 2)),
        strides=(1, 2),
        kernels=(3, 5),
        expands=(2, 4),
        group_sizes=(1, 8),
        sparsities=(0.0, 0.5),
    )
