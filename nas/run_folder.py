"""The folder of one run: what it was asked for, on which machine, and how far it got."""

import json
import platform
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from nas.recipe import Recipe, load_recipe
from nas.runtimes.machine import machine_fingerprint
from search_spaces.errors import NasError
from search_spaces.files import write_json, write_text

PACKAGES = ("torch", "optuna", "ray", "onnxruntime", "scikit-learn", "numpy", "networkx", "plotly")


@dataclass(frozen=True)
class RunFolder:
    """Paths and small state files of a run; everything is written whole."""

    path: Path

    @property
    def supernet(self) -> Path:
        """Weights and trainer state."""
        return self.path / "supernet"

    @property
    def target(self) -> Path:
        """The frozen target file."""
        return self.path / "target.json"

    def target_of(self, name: str) -> Path:
        """The frozen file of one of several targets."""
        return self.path / "targets" / f"{name}.json"

    @property
    def report(self) -> Path:
        """The report page."""
        return self.path / "report.html"

    @property
    def exports(self) -> Path:
        """One folder per exported architecture."""
        return self.path / "exports"

    def search(self, name: str) -> Path:
        """Study and front of the search called `name`."""
        return self.path / "searches" / name

    def create(self, recipe: Recipe) -> None:
        """Write the resolved recipe and the environment; refuse a folder that is in use."""
        if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
            raise NasError(f"{self.path} exists: continue it with --resume, or choose another folder with --name")
        self.path.mkdir(parents=True, exist_ok=True)
        write_json(self.path / "environment.json", environment(recipe))
        write_text(self.path / "recipe.toml", recipe.to_toml())

    def recipe(self) -> Recipe:
        """The resolved recipe; NasError when this is no run folder."""
        path = self.path / "recipe.toml"
        if not path.is_file():
            raise NasError(f"{self.path} is not a run: it has no recipe.toml; `nas run RECIPE` makes one")
        return load_recipe(path)

    def state(self) -> dict[str, Any]:
        """What is known of each stage: {"train": {"seconds": 12.5, "state": "done"}, ...}."""
        return dict(read_json(self.path / "stages.json", default={}))

    def environment(self) -> dict[str, Any]:
        """Versions, machine, seeds and revision as recorded at the start."""
        return dict(read_json(self.path / "environment.json", default={}))

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Record how long the stage `name` took, added up over resumes, and whether it ended."""
        started, outcome = time.monotonic(), "stopped"
        try:
            yield
            outcome = "done"
        finally:
            state = self.state()
            spent = state.get(name, {}).get("seconds", 0.0) + time.monotonic() - started
            state[name] = {"seconds": round(spent, 2), "state": outcome}
            write_json(self.path / "stages.json", state)


def read_json(path: Path, *, default: Any) -> Any:
    """Content of a JSON file, `default` where there is none; NasError when it is not JSON."""
    if not path.is_file():
        return default
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise NasError(
            f"{path} is damaged ({error}); move it away and run again with --resume to have it made anew"
        ) from error


def environment(recipe: Recipe) -> Mapping[str, Any]:
    """Versions, machine, seeds and source revision."""
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "machine": machine_fingerprint(),
        "seeds": {"supernet": recipe.supernet.seed, "search": recipe.search.seed},
        "revision": _revision(),
        "command": sys.argv[1:],
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    """Source revision of this project when it runs from a checkout."""
    import subprocess

    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return None
    done = subprocess.run(
        ["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or None
