"""Where a study is kept: SQLite, a journal file or PostgreSQL; files are checked before use and locked while in use."""

import json
import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from nas.search.postgres import open_postgres, postgres_url
from search_spaces.errors import NasError
from search_spaces.files import write_json

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

StorageKind = Literal["sqlite", "journal", "postgresql"]
FILE_NAMES: dict[StorageKind, str] = {"sqlite": "study.db", "journal": "study.journal", "postgresql": "study.json"}
LOCAL: dict[str, StorageKind] = {"sqlite": "sqlite", "journal": "journal"}
LOCK_SECONDS = 10.0


def kind_of(storage: str) -> StorageKind:
    """What `storage` is: "sqlite", "journal", or the URL of a PostgreSQL database; NasError when none of them."""
    if storage in LOCAL:
        return LOCAL[storage]
    if storage.startswith("postgres"):
        postgres_url(storage)
        return "postgresql"
    raise NasError(f"no such storage: {storage!r}; there are sqlite, journal and postgresql://USER@HOST:PORT/DATABASE")


def study_file(folder: Path, storage: str) -> Path:
    """The file in `folder` that holds the study, or says which study of a PostgreSQL database it is."""
    return folder / FILE_NAMES[kind_of(storage)]


def is_recorded(folder: Path) -> bool:
    """Whether a search was begun in `folder`."""
    return any((folder / name).exists() for name in FILE_NAMES.values())


def open_storage(folder: Path, storage: str) -> "BaseStorage":
    """The Optuna storage for `folder`, made when absent; NasError when its file is damaged, which is left as it is."""
    folder.mkdir(parents=True, exist_ok=True)
    kind, path = kind_of(storage), study_file(folder, storage)
    if kind == "postgresql":
        return open_postgres(storage)
    if kind == "sqlite":
        from optuna.storages import RDBStorage

        _check_sqlite(path)
        return _guarded(path, lambda: RDBStorage("sqlite://", engine_kwargs={"creator": lambda: _connect(path)}))
    from optuna.storages import JournalStorage

    from nas.search.journal import QuickJournal

    _mend_journal(path)
    return _guarded(path, lambda: JournalStorage(QuickJournal(path)))


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
    connection = sqlite3.connect(path.resolve(), timeout=LOCK_SECONDS, check_same_thread=False)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    return connection


def _guarded(path: Path, make: "Callable[[], BaseStorage]") -> "BaseStorage":
    try:
        return make()
    except Exception as error:
        raise damaged(path, str(error)) from error


def damaged(place: Path | str, why: str) -> NasError:
    """The error for a study that cannot be read; place: its file, or the database and its name there."""
    first = why.strip().splitlines()[0] if why.strip() else "unreadable"
    advice = (
        "Check the database, then continue with --resume"
        if str(place).startswith("postgres")
        else f"Restore it from a backup, or move it away (mv {place} {place}.bad) to search again from the start, or "
        "choose another --name"
    )
    return NasError(f"the study {place} cannot be read: {first}. Nothing was changed. {advice}")


def study_place(folder: Path, storage: str, name: str) -> tuple[str, str]:
    """The name of the study `name` in its storage, and where that is, in words.

    In a database that other searches share, the name has a part that only this folder knows.
    """
    path = study_file(folder, storage)
    if kind_of(storage) != "postgresql":
        return name, str(path)
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = folder / f".{uuid.uuid4().hex}.tmp"
        write_json(draft, {"storage": storage, "study": f"{name}-{uuid.uuid4().hex[:8]}"})
        with suppress(FileExistsError):
            os.link(draft, path)
        draft.unlink()
    noted = json.loads(path.read_text())
    if noted["storage"] != storage:
        raise NasError(
            f"the search in {folder} is recorded in {noted['storage']}, not in {storage}: restore search.storage, or "
            f"write the new place into {path} when the database has moved, or choose another --name"
        )
    return str(noted["study"]), f"{storage}#{noted['study']}"


def _check_sqlite(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.resolve()))}?mode=ro", uri=True, timeout=LOCK_SECONDS)
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
def locked(folder: Path, storage: str = "sqlite") -> Iterator[None]:
    """Hold `folder` for this process; NasError when another process holds it. Given back when the process dies.

    Drivers that share a PostgreSQL study may share the folder too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if kind_of(storage) == "postgresql":
        yield
        return
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
