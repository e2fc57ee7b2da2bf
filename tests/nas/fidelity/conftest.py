"""A finished training of a tiny supernet on digits, in a run folder."""

from pathlib import Path

import pytest

from nas.pipeline import Run
from nas.recipe import Recipe, recipe_from
from nas.run_folder import RunFolder


def recipe() -> Recipe:
    return recipe_from(
        {
            "name": "tiny",
            "space": {
                "name": "mobile",
                "options": {
                    "resolutions": [8],
                    "stem_width": 8,
                    "widths": [[8, 12, 16], [16, 24]],
                    "depths": [[1, 2], [1]],
                    "strides": [1, 2],
                    "kernels": [1, 3],
                    "expands": [1, 2],
                    "group_sizes": [1],
                    "dilations": [1],
                    "sparsities": [0.0],
                },
            },
            "task": {"data": "digits", "limit": 500, "validation_share": 0.4},
            "supernet": {"epochs": 2, "batch_size": 50, "precision": "fp32"},
            "search": {"objectives": ["error", "macs"], "workers": 1, "recalibration_batches": 1},
        }
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the run."""
    folder = RunFolder(tmp_path_factory.mktemp("fidelity") / "tiny")
    folder.create(recipe())
    Run(folder, recipe()).train()
    return folder.path


@pytest.fixture
def run(trained: Path) -> Run:
    """The run, opened."""
    return Run(RunFolder(trained), recipe())
