"""An exported folder works where this project cannot be imported."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_an_exported_network_is_used_without_the_project(tmp_path: Path) -> None:
    folder = tmp_path / "network"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    export = [sys.executable, str(HERE / "take_home_export.py"), str(folder)]
    subprocess.run(export, cwd=HERE.parents[2], env=environment, check=True)
    use = [sys.executable, "-I", str(HERE / "take_home_use.py"), str(folder)]
    done = subprocess.run(use, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("taken home: answers off by")


def test_the_project_is_out_of_reach_there(tmp_path: Path) -> None:
    (tmp_path / "model.py").write_text("import search_spaces\n")
    (tmp_path / "expected.json").write_text("{}")
    use = [sys.executable, "-I", str(HERE / "take_home_use.py"), str(tmp_path)]
    done = subprocess.run(use, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "an exported network must not import search_spaces" in done.stderr
