"""The tiny world, made once, and a PostgreSQL server."""

from collections.abc import Iterator

import pytest

from benchmarks.postgres import Server, postgres_server, why_not
from tests.nas.search.worlds import World


@pytest.fixture(scope="session")
def world() -> World:
    """A space of 819 picks and 258 networks in which every figure is known."""
    return World()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A server of its own; tests that need it are skipped where there can be none."""
    reason = why_not()
    if reason is not None:
        pytest.skip(reason)
    with postgres_server() as server:
        yield server
