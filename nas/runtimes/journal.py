"""The journal of a profile under way: one JSON line per network measured, so an interruption loses one at most."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nas.runtimes.base import Profile
from nas.runtimes.timing import Measurement
from predictors.kernels import Kernel


@dataclass(frozen=True, slots=True)
class Row:
    """One network measured: its fingerprint, its kernels, their times; `seconds` of profiling so far."""

    fingerprint: str
    held_out: bool
    kernels: tuple[Kernel, ...]
    profile: Profile
    seconds: float


class Journal:
    """Rows in memory, and in a file where `path` is given; rows of an equal `identity` found there are kept."""

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self._path = path
        self.rows: list[Row] = []
        header = json.dumps({"identity": dict(identity)}, sort_keys=True)
        if path is None:
            return
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and lines[0] == header:
            self.rows = _read(lines[1:])
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *map(_line, self.rows)]) + "\n")

    def append(self, row: Row) -> None:
        """Keep `row`, on disk too."""
        self.rows.append(row)
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(_line(row) + "\n")

    def close(self) -> None:
        """Remove the file: its rows are in the target now."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)


def _line(row: Row) -> str:
    kernels = [[getattr(kernel, field.name) for field in fields(Kernel)] for kernel in row.kernels]
    return json.dumps(
        {
            "fingerprint": row.fingerprint,
            "held_out": row.held_out,
            "kernels": kernels,
            "latency": asdict(row.profile.latency),
            "kernel_ms": row.profile.kernel_ms,
            "kernels_quiet_share": row.profile.kernels_quiet_share,
            "seconds": row.seconds,
        }
    )


def _read(lines: Sequence[str]) -> list[Row]:
    """The rows of whole lines; a line cut short ends them."""
    rows: list[Row] = []
    for line in lines:
        try:
            data = json.loads(line)
            kernels = tuple(Kernel(*map(_tupled, values)) for values in data["kernels"])
            profile = Profile(
                Measurement(**data["latency"]),
                tuple(data["kernel_ms"]),
                data["kernels_quiet_share"],
            )
            rows.append(Row(data["fingerprint"], data["held_out"], kernels, profile, data["seconds"]))
        except (ValueError, KeyError, TypeError):
            return rows
    return rows


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
