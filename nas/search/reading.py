"""Looking into a study that somebody else is writing: nothing is locked, mended or made."""

import json
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nas.search.patience import innermost
from nas.search.postgres import CONNECT_SECONDS, postgres_url
from nas.search.record import Key
from nas.search.storage import FILE_NAMES, close_storage, kind_of, study_file
from nas.search.study import HEADER, Header, Recorded, is_proposal, recorded_of
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from optuna import Study
    from optuna.storages import BaseStorage

WAL, SECONDS = "-wal", 2.0


@dataclass(frozen=True)
class StudyRead:
    """What a study held when it was read: what it is about, its trials, and when the last of them ended (local time).

    recorded: by proposer and number; those without an outcome are being evaluated, or were when their driver died.
    """

    header: Header
    recorded: tuple[Recorded, ...]
    last_ended: datetime | None


def study_stamp(folder: Path) -> tuple[tuple[str, int, int], ...]:
    """Name, time and size of the files of the study in `folder`: another value when something was written."""
    names = [name + end for name in FILE_NAMES.values() for end in ("", WAL)]
    found = []
    for name in names:
        try:
            stat = (folder / name).stat()
        except OSError:
            continue
        if stat.st_size:
            found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)


def read_study(folder: Path, *, storage: str, name: str) -> StudyRead | None:
    """The study called `name` in `folder`; `None` where there is none yet, or it is only being made.

    Raises NasError for one that cannot be read.
    """
    import optuna

    if not study_stamp(folder):
        return None
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        with _opened(folder, storage) as opened:
            full = _full_name(folder, storage, name)
            if full not in {one.study_name for one in opened.get_all_studies()}:
                return None
            return _read(optuna.load_study(study_name=full, storage=opened))
    except NasError:
        raise
    except Exception as error:
        if "no such table" in str(error):
            return None
        raise NasError(
            f"the study {study_file(folder, storage)} cannot be read now: {innermost(error)}. Nothing was changed"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)


def _read(study: "Study") -> StudyRead | None:
    written = study.user_attrs.get(HEADER)
    if written is None:
        return None
    header = Header.from_json(written)
    found: dict[Key, Recorded] = {}
    ended: list[datetime] = []
    for trial in study.get_trials(deepcopy=False):
        if not is_proposal(trial):
            continue
        recorded = recorded_of(trial, header)
        known = found.get(recorded.proposal.key)
        if known is None or known.values is None:
            found[recorded.proposal.key] = recorded
        if trial.datetime_complete is not None:
            ended.append(trial.datetime_complete)
    return StudyRead(header, tuple(found[key] for key in sorted(found)), max(ended, default=None))


def _full_name(folder: Path, storage: str, name: str) -> str:
    if kind_of(storage) != "postgresql":
        return name
    return str(json.loads(study_file(folder, storage).read_text())["study"])


@contextmanager
def _opened(folder: Path, storage: str) -> "Iterator[BaseStorage]":
    opened = _storage(folder, storage)
    try:
        yield opened
    finally:
        close_storage(opened)


def _storage(folder: Path, storage: str) -> "BaseStorage":
    """The storage for reading; of SQLite without its log, when nobody has it open, so that no log is made."""
    kind, path = kind_of(storage), study_file(folder, storage)
    if kind == "postgresql":
        return _postgres(storage)
    if kind == "journal":
        from optuna.storages import JournalStorage

        from nas.search.journal import QuickJournal

        return JournalStorage(QuickJournal(path))
    from optuna.storages import RDBStorage

    settled = "" if path.with_name(path.name + WAL).exists() else "&immutable=1"
    address = f"file:{quote(str(path.resolve()))}?mode=ro{settled}"

    def connect() -> sqlite3.Connection:
        return sqlite3.connect(address, uri=True, timeout=SECONDS, check_same_thread=False)

    engine: dict[str, Any] = {"creator": connect}
    return RDBStorage("sqlite://", engine_kwargs=engine, skip_table_creation=True)


def _postgres(storage: str) -> "BaseStorage":
    """The tables in a database, over connections that may not write."""
    from optuna.storages import RDBStorage

    arguments = {"connect_timeout": CONNECT_SECONDS, "options": "-c default_transaction_read_only=on"}
    address = postgres_url(storage).render_as_string(hide_password=False)
    return RDBStorage(address, engine_kwargs={"connect_args": arguments}, skip_table_creation=True)
