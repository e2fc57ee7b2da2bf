"""Neural architecture search: from a search space and a piece of hardware to trained, exported networks.

    import nas
    run = nas.run(space, task="digits", objectives=("error", "latency_ms"), limits={"weight_bytes": 65536})
    run.front, run.report(), run.export()

Heavy libraries are imported where they are used; `import nas` loads none of them.
"""

from typing import TYPE_CHECKING, Any

from search_spaces.errors import NasError

if TYPE_CHECKING:
    from nas.api import open_run, run
    from nas.pipeline import Run

__all__ = ["NasError", "Run", "open_run", "run"]


def __getattr__(name: str) -> Any:
    if name in ("run", "open_run"):
        from nas import api

        return getattr(api, name)
    if name == "Run":
        from nas.pipeline import Run

        return Run
    raise AttributeError(f"module 'nas' has no attribute {name!r}")
