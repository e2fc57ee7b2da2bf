"""The journal of a profile under way: one JSON line per network measured, so an interruption loses one at most."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from nas.runtimes.base import Profile
from nas.runtimes.timing import Measurement
from predictors.kernels import Kernel


@dataclass(frozen=True, slots=True)
class Row:
    """One network measured: its fingerprint, its kernels, their times; `seconds` of profiling so far.

    `attempts` counts its measurements, of which the least doubtful is kept.
    """

    fingerprint: str
    held_out: bool
    kernels: tuple[Kernel, ...]
    profile: Profile
    seconds: float
    attempts: int = 1


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
        self._write(row)
        self.rows.append(row)

    def _write(self, row: Row) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(_line(row) + "\n")

    def better(self, row: Row, doubt: Callable[[Profile], float]) -> None:
        """Keep `row` instead of the earlier one of the same network, or that one when it is doubted less."""
        place = next(i for i, old in enumerate(self.rows) if old.fingerprint == row.fingerprint)
        old = self.rows[place]
        best = min(old.profile, row.profile, key=doubt)
        row = replace(row, profile=best, attempts=old.attempts + 1)
        self._write(row)
        self.rows[place] = row


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
            "attempts": row.attempts,
        }
    )


def _read(lines: Sequence[str]) -> list[Row]:
    """The rows of whole lines, the last of each network; a line cut short ends them."""
    rows: dict[str, Row] = {}
    for line in lines:
        try:
            data = json.loads(line)
            kernels = tuple(Kernel(*map(_tupled, values)) for values in data["kernels"])
            profile = Profile(
                Measurement(**data["latency"]),
                tuple(data["kernel_ms"]),
                data["kernels_quiet_share"],
            )
            name = data["fingerprint"]
            rows[name] = Row(name, data["held_out"], kernels, profile, data["seconds"], data["attempts"])
        except (ValueError, KeyError, TypeError):
            break
    return list(rows.values())


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
