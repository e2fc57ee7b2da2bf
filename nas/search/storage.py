"""The files a study is kept in: SQLite or a journal; checked before they are touched, locked while in use."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from search_spaces.errors import NasError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

StorageKind = Literal["sqlite", "journal"]
FILE_NAMES: dict[StorageKind, str] = {"sqlite": "study.db", "journal": "study.journal"}
WAIT_SECONDS = 60.0


def open_storage(folder: Path, kind: StorageKind) -> "BaseStorage":
    """The Optuna storage in `folder`, made when absent; NasError when its file is damaged, which is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE_NAMES[kind]
    if kind == "sqlite":
        from optuna.storages import RDBStorage

        _check_sqlite(path)
        return _guarded(path, lambda: RDBStorage("sqlite://", engine_kwargs={"creator": lambda: _connect(path)}))
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    _mend_journal(path)
    return _guarded(path, lambda: JournalStorage(JournalFileBackend(str(path))))


def close_storage(storage: "BaseStorage") -> None:
    """Close the files of `storage`; SQLite then has everything in its one file."""
    storage.remove_session()
    engine = getattr(storage, "engine", None)
    if engine is not None:
        engine.dispose()


def _connect(path: Path) -> sqlite3.Connection:
    """A connection whose commits survive the death of the process without waiting for the disk each time.

    With a write-ahead log and synchronous NORMAL a loss of power may cost the last commits, never the database.
    """
    connection = sqlite3.connect(path.resolve(), timeout=WAIT_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _guarded(path: Path, make: "Callable[[], BaseStorage]") -> "BaseStorage":
    try:
        return make()
    except Exception as error:
        raise damaged(path, str(error)) from error


def damaged(path: Path, why: str) -> NasError:
    """The error for a study that cannot be read."""
    first = why.strip().splitlines()[0] if why.strip() else "unreadable"
    return NasError(
        f"the study {path} cannot be read: {first}. Nothing was changed. Restore it from a backup, or move it away "
        f"(mv {path} {path}.bad) to search again from the start, or choose another --name"
    )


def _check_sqlite(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=WAIT_SECONDS)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("SELECT count(*) FROM studies").fetchone()
        finally:
            connection.close()
    except sqlite3.DatabaseError as error:
        if "no such table" in str(error):
            _only_ours(path)
            return
        raise damaged(path, str(error)) from error
    if verdict != "ok":
        raise damaged(path, str(verdict))


def _only_ours(path: Path) -> None:
    """Accept a database whose tables were still being made; refuse one that holds something else."""
    connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        filled = [name for name in tables if connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()]
    finally:
        connection.close()
    if set(filled) - {"version_info", "alembic_version"}:
        raise damaged(path, f"it is a database without studies (tables {', '.join(tables)})")


def _mend_journal(path: Path) -> None:
    """Drop a last line that a killed process left half written, and its lock; both were work in flight."""
    path.with_name(path.name + ".lock").unlink(missing_ok=True)
    if not path.exists():
        return
    data = path.read_bytes()
    if data and not data.endswith(b"\n"):
        os.truncate(path, data.rfind(b"\n") + 1)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold `folder` for this process; NasError when another process holds it. Given back when the process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield
        return
    with (folder / ".lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise NasError(
                f"another process is searching in {folder}: wait for it, stop it, or choose another --name"
            ) from None
        yield
