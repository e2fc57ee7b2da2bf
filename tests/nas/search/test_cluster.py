"""A running Ray cluster instead of Ray of the search's own: by address, by ray://, with a node lost, too small."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nas.search.cluster import CONNECTIONS, join
from nas.search.driver import SearchResult, search
from nas.search.problem import Settings
from search_spaces.errors import NasError
from tests.nas.search.test_driver import core
from tests.nas.search.worlds import Formula, World

ROOT = Path(__file__).resolve().parents[3]
PYTHONPATH = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
SETTINGS = Settings(evaluations=20, random_evaluations=0, lag=4, workers=1, storage="journal", proposer="evolution")
STORE_BYTES = 80 * 2**20


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory: pytest.TempPathFactory) -> SearchResult:
    return search(world.problem(), SETTINGS, tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[Any, int]]:
    """A cluster of one node with one processor and a small store, and the port of its clients."""
    from ray.cluster_utils import Cluster

    port = free_port()
    node = {"num_cpus": 1, "object_store_memory": STORE_BYTES, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", PYTHONPATH)  # workers that no process of ours started find the tests too
        made = Cluster(initialize_head=True, head_node_args={**node, "ray_client_server_port": port})
    yield made, port
    made.shutdown()


def test_a_lost_node_costs_nothing(cluster: tuple[Any, int], world: World, whole: SearchResult, tmp_path: Path) -> None:
    made, _ = cluster
    extra = made.add_node(num_cpus=1, object_store_memory=STORE_BYTES)
    log = tmp_path / "log"

    def lose() -> None:
        while not log.exists() or len({line.split()[0] for line in log.read_text().splitlines()}) < 2:
            time.sleep(0.05)
        made.remove_node(extra, allow_graceful=False)

    loser = threading.Thread(target=lose)
    loser.start()
    problem = world.problem(evaluator=Formula(seconds=0.2, log=log))
    result = search(problem, replace(SETTINGS, workers=2, address=made.address), tmp_path / "search")
    loser.join()
    assert core(result) == core(whole)


def test_a_client_of_a_cluster(cluster: tuple[Any, int], world: World, whole: SearchResult, tmp_path: Path) -> None:
    pytest.importorskip("grpc")
    address = f"ray://127.0.0.1:{cluster[1]}"
    result = search(world.problem(), replace(SETTINGS, address=address), tmp_path)
    assert core(result) == core(whole)


def test_a_connection_that_dies_at_birth_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[str] = []

    def init(address: str, log_to_driver: bool, logging_level: int) -> None:
        tried.append(address)
        if len(tried) <= dying:
            raise ConnectionAbortedError("Initialization failure from server")

    monkeypatch.setattr("ray.init", init)
    dying = CONNECTIONS - 1
    join("ray://here:1")
    assert tried == ["ray://here:1"] * CONNECTIONS
    dying, tried = CONNECTIONS, []
    with pytest.raises(ConnectionAbortedError):
        join("ray://here:1")
    assert len(tried) == CONNECTIONS


RECIPE = """
[space]
name = "own.py:stack"
[search]
evaluate = "own.py:evaluate"
objectives = ["error", "macs"]
evaluations = 3
random_evaluations = 0
"""
OWN = """
import numpy as np
import search_spaces as ss
from tests.nas.search.worlds import stack
WEIGHTS = np.ones(25_000_000, dtype=np.float32)
def evaluate(arch):
    return {"error": float(WEIGHTS[0])}
"""


def test_a_store_too_small_for_the_weights_is_named(cluster: tuple[Any, int], tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    (tmp_path / "own.py").write_text(OWN)
    command = [sys.executable, "-m", "nas", "run", "recipe.toml", "--set", f"search.cluster={cluster[0].address}"]
    environment = {**os.environ, "PYTHONPATH": PYTHONPATH}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    said = " ".join(done.stderr.split())
    assert "the workers need 95 MiB of weights and data, but the object store of Ray on" in said
    assert "holds 80 MiB. Start Ray there with --object-store-memory=" in said
    assert "Traceback" not in said


def test_a_cluster_that_is_not_there(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray.util.client.worker.INITIAL_TIMEOUT_SEC", 0.1)
    with pytest.raises(NasError, match=r"the Ray cluster 'ray://127.0.0.1:9' cannot be reached|needs a package"):
        search(world.problem(), replace(SETTINGS, address="ray://127.0.0.1:9"), tmp_path / "search")
