"""Shared by all tests: one thread each, and where real data is found."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")
os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def rng() -> np.random.Generator:
    """A generator with a fixed seed, fresh for each test."""
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def same_draws() -> None:
    """Torch's global generator starts each test from the same seed."""
    if "torch" in sys.modules:
        sys.modules["torch"].manual_seed(0)


@pytest.fixture
def own_imports() -> Iterator[None]:
    """What the test adds to `sys.path` and imports as `model` (an exported network's file) ends with it."""
    path = list(sys.path)
    sys.modules.pop("model", None)
    yield
    sys.path[:] = path
    sys.modules.pop("model", None)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the source tree."""
    return ROOT


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder of real measurements and images named by NAS_DATA; skips when it is unset."""
    named = os.environ.get("NAS_DATA")
    if not named:
        pytest.skip("NAS_DATA is not set: it names the folder of real measurements and images")
    return Path(named)
