"""The journal of a profile under way: one JSON line per network measured, so an interruption loses one at most."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
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


ENDED = "the process ended while it was measured"


class Journal:
    """Rows in memory, and in a file where `path` is given; rows of an equal `identity` found there are kept.

    `failed` holds the networks that could not be run, {fingerprint: reason}.
    """

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self._path = path
        self.rows: list[Row] = []
        self.failed: dict[str, str] = {}
        header = json.dumps({"identity": dict(identity)}, sort_keys=True)
        if path is None:
            return
        lines = path.read_text().splitlines() if path.exists() else []
        under_way = _under_way(path)
        if lines and lines[0] == header:
            self.rows, self.failed = _read(lines[1:])
            if under_way.exists():
                self.failed[under_way.read_text()] = ENDED
        under_way.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = [*map(_line, self.rows), *(_failure(*failure) for failure in self.failed.items())]
        path.write_text("\n".join([header, *kept]) + "\n")

    def append(self, row: Row) -> None:
        """Keep `row`, on disk too."""
        self._write(_line(row))
        self.rows.append(row)

    def fail(self, fingerprint: str, reason: str) -> None:
        """Keep that this network could not be run, on disk too."""
        self._write(_failure(fingerprint, reason))
        self.failed[fingerprint] = reason

    @contextmanager
    def trying(self, fingerprint: str) -> Iterator[None]:
        """While this lasts, the end of the whole process is taken for the failure of this network."""
        if self._path is None:
            yield
            return
        under_way = _under_way(self._path)
        under_way.write_text(fingerprint)
        try:
            yield
        finally:
            under_way.unlink()

    def _write(self, line: str) -> None:
        if self._path is not None:
            with self._path.open("a") as file:
                file.write(line + "\n")

    def better(self, row: Row, doubt: Callable[[Profile], float]) -> None:
        """Keep `row` instead of the earlier one of the same network, or that one when it is doubted less."""
        place = next(i for i, old in enumerate(self.rows) if old.fingerprint == row.fingerprint)
        old = self.rows[place]
        best = min(old.profile, row.profile, key=doubt)
        row = replace(row, profile=best, attempts=old.attempts + 1)
        self._write(_line(row))
        self.rows[place] = row


def _under_way(path: Path) -> Path:
    """The file that names the network being measured."""
    return path.with_name(f"{path.name}.trying")


def _failure(fingerprint: str, reason: str) -> str:
    return json.dumps({"fingerprint": fingerprint, "failed": reason})


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
            "energy_mj": row.profile.energy_mj,
            "seconds": row.seconds,
            "attempts": row.attempts,
        }
    )


def _read(lines: Sequence[str]) -> tuple[list[Row], dict[str, str]]:
    """The rows of whole lines, the last of each network, and the failures; a line cut short ends them."""
    rows: dict[str, Row] = {}
    failed: dict[str, str] = {}
    for line in lines:
        try:
            data = json.loads(line)
            if "failed" in data:
                failed[data["fingerprint"]] = data["failed"]
                continue
            kernels = tuple(Kernel(*map(_tupled, values)) for values in data["kernels"])
            profile = Profile(
                Measurement(**data["latency"]),
                tuple(data["kernel_ms"]),
                data["kernels_quiet_share"],
                data["energy_mj"],
            )
            name = data["fingerprint"]
            rows[name] = Row(name, data["held_out"], kernels, profile, data["seconds"], data["attempts"])
        except (ValueError, KeyError, TypeError):
            break
    return list(rows.values()), failed


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
