"""A finished training of a tiny supernet on digits, in a run folder."""

from pathlib import Path

import pytest

from nas.pipeline import Run
from nas.run_folder import RunFolder
from tests.nas.fidelity.worlds import recipe


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run, trained."""
    folder = RunFolder(tmp_path_factory.mktemp("fidelity") / "tiny")
    folder.create(recipe())
    made = Run(folder, recipe())
    made.train()
    return made


@pytest.fixture(scope="session")
def trained(run: Run) -> Path:
    """The folder of the run."""
    return run.path
