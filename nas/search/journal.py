"""A journal file that only one driver writes: each line reaches the operating system at once, not yet the disk."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from optuna.storages.journal import BaseJournalBackend, JournalFileBackend


class QuickJournal(BaseJournalBackend):
    """Optuna's journal file without a lock and without waiting for the disk at every line.

    The folder of a search is locked as a whole. What is written survives the death of the process; a loss of power
    may cost the last lines, never the rest.
    """

    def __init__(self, path: Path) -> None:
        self._reader = JournalFileBackend(str(path))
        self._path = path

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        """The entries from `log_number_from` on."""
        return self._reader.read_logs(log_number_from)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        """Add entries, one line of JSON each."""
        text = "".join(json.dumps(log, separators=(",", ":")) + "\n" for log in logs)
        with self._path.open("ab") as file:
            file.write(text.encode())
