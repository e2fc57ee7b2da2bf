"""A bundle of small networks, and what its script measured of them on this machine."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from nas.runtimes.bundle import Bundle, read_bundle, write_bundle
from search_spaces.catalog.mobile import mobile

NETWORKS = 12


def run_script(folder: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run the script of the bundle in `folder` by a Python that knows nothing of this project."""
    return subprocess.run(
        [sys.executable, "-I", str(folder / "measure.py"), "--seconds", "0.01", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="package")
def bundle_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle on disk."""
    folder = tmp_path_factory.mktemp("remote") / "bundle"
    write_bundle(folder, [mobile((1, 8, 8), 10)], networks=NETWORKS, rng=np.random.default_rng(0))
    return folder


@pytest.fixture(scope="package")
def bundle(bundle_folder: Path) -> Bundle:
    """The same, read."""
    return read_bundle(bundle_folder)


@pytest.fixture(scope="package")
def results(bundle_folder: Path) -> Path:
    """The script's results on this machine."""
    done = run_script(bundle_folder)
    assert done.returncode == 0, done.stderr
    assert f"{NETWORKS} of {NETWORKS} networks measured" in done.stdout
    return bundle_folder / "results.csv"


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Plain cells as a CSV file."""
    return "\n".join(",".join(map(str, row)) for row in (columns, *rows)) + "\n"
