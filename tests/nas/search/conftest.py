"""The tiny world, made once."""

import pytest

from tests.nas.search.worlds import World


@pytest.fixture(scope="session")
def world() -> World:
    """A space of 819 picks and 258 networks in which every figure is known."""
    return World()
