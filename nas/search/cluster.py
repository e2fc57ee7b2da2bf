"""Ray, one of the search's own or a cluster that is running, with the evaluator in its object store."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from nas.search.workers import Evaluator
from search_spaces.errors import NasError

LOGGER = logging.getLogger(__name__)
MIB = 2**20
STORE_BYTES = 256 * MIB
STORE_FACTOR = 2
CONNECTIONS = 3


@contextmanager
def connected(evaluator: Evaluator, workers: int, address: str | None) -> Iterator[Any]:
    """The evaluator as an object of Ray's, put once into its store.

    Ray is started here for `workers` processes, unless this process uses it already or `address` names a cluster.
    Raises NasError when Ray cannot start or be reached, and when the evaluator does not fit into the store.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    payload = payload_bytes(evaluator)
    ours = not ray.is_initialized()
    if ours:
        _initialise(workers, address, payload)
    try:
        check_store(payload)
        try:
            reference = ray.put(evaluator)
        except Exception as error:
            raise NasError(f"{payload / MIB:.0f} MiB cannot be shared with the workers: {first_line(error)}") from error
        yield reference
    finally:
        if ours:
            ray.shutdown()


def payload_bytes(evaluator: Evaluator) -> int:
    """Bytes of the arrays in `evaluator`; NasError when it cannot be sent to other processes."""
    from ray import cloudpickle

    buffers: list[Any] = []
    try:
        pickler: Any = cloudpickle
        pickler.dumps(evaluator, protocol=5, buffer_callback=buffers.append)
    except Exception as error:
        raise NasError(f"the evaluation cannot be sent to workers: {error}; use search.workers = 1") from error
    return sum(buffer.raw().nbytes for buffer in buffers)


def _initialise(workers: int, address: str | None, payload: int) -> None:
    import ray

    try:
        if address is not None:
            join(address)
            return
        ray.init(
            address="local",
            num_cpus=workers,
            object_store_memory=STORE_BYTES + STORE_FACTOR * payload,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
        )
    except ImportError as error:
        raise NasError(
            f"search.cluster = {address!r} needs a package that is missing here ({first_line(error)}): "
            "pip install 'nas-explorer[cluster]'"
        ) from error
    except Exception as error:
        ray.shutdown()
        if address is not None:
            raise NasError(
                f"the Ray cluster {address!r} cannot be reached: {first_line(error)}. Start it with "
                "'ray start --head', check search.cluster, or leave it out to search on this machine alone"
            ) from error
        raise NasError(
            f"Ray cannot start with {payload / MIB:.0f} MiB to share: {first_line(error)}. Free memory in /dev/shm, "
            "or use search.workers = 1, which does without Ray"
        ) from error


def join(address: str) -> None:
    """Connect to a running cluster; again when it answered but the process it started for us died at birth.

    The cluster forks that process beside threads of its own, which once in a while goes wrong.
    """
    import ray

    for left in reversed(range(CONNECTIONS)):
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
            return
        except ConnectionAbortedError as error:
            ray.shutdown()
            if not left:
                raise
            LOGGER.debug("%s did not take the connection (%s): trying again", address, first_line(error))


def check_store(payload: int) -> None:
    """Raise NasError when `payload` bytes do not fit into the object store of every node of the running Ray."""
    import ray

    nodes: Callable[[], list[dict[str, Any]]] = ray.nodes
    for node in nodes():
        store = node["Resources"].get("object_store_memory") if node["Alive"] else None
        if store is not None and payload > store:
            raise NasError(
                f"the workers need {payload / MIB:,.0f} MiB of weights and data, but the object store of Ray on "
                f"{node['NodeManagerHostname']} holds {store / MIB:,.0f} MiB. Start Ray there with "
                f"--object-store-memory={STORE_BYTES + STORE_FACTOR * payload}, or use search.workers = 1 without "
                "search.cluster, which does without Ray"
            )


def first_line(error: Exception) -> str:
    """What an error of Ray's says in short: its first line, or the last one of a trace of another process."""
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return (lines[-1] if isinstance(error, RuntimeError) and len(lines) > 1 else lines[0]) if lines else repr(error)
