"""Shared by the tests of runs: one small finished run, and copies of it to spoil."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.nas.small_runs import make_run


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run called `small`, in a `runs` folder; not to be changed."""
    return make_run(tmp_path_factory.mktemp("small_runs"), "small")


@pytest.fixture
def copied_run(finished_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A function from a name to a copy of the finished run below runs/, which the test may spoil; works from there."""
    shutil.copy(finished_run.parent.parent / "space.py", tmp_path)
    monkeypatch.chdir(tmp_path)

    def copy(name: str) -> Path:
        return Path(shutil.copytree(finished_run, tmp_path / "runs" / name))

    return copy
