"""A study in PostgreSQL: several drivers may work on it, and each sees which of the others are alive."""

import logging
import secrets
import threading
from typing import TYPE_CHECKING

from nas.search.patience import innermost
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy.engine import URL, Connection, Engine

LOGGER = logging.getLogger(__name__)
SETUP_LOCK = 0x6E6173
PULSE_SECONDS = 5.0
SETTLING_SECONDS = 20
CONNECT_SECONDS = 10
KEEPALIVE = {"keepalives_idle": 20, "keepalives_interval": 10, "keepalives_count": 3}
SERVER_KEEPALIVE = "-c tcp_keepalives_idle=20 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3"


def postgres_url(storage: str) -> "URL":
    """The URL of the database `storage`; NasError when it is not one, or holds a password."""
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        url = make_url(storage)
    except (ArgumentError, ValueError):
        url = None
    if url is None or url.get_backend_name() not in ("postgresql", "postgres") or not url.database:
        raise NasError(f"{storage!r} is no database: it must look like postgresql://USER@HOST:PORT/DATABASE")
    if url.password is not None:
        raise NasError(
            f"the storage {url.render_as_string(hide_password=True)} holds a password, which would be written into "
            "the run's folder: leave it out and set PGPASSWORD, or write it into ~/.pgpass"
        )
    return url.set(drivername="postgresql+psycopg")


def open_postgres(storage: str) -> "RDBStorage":
    """The tables of Optuna in the database `storage`, made when absent; NasError when it cannot be reached."""
    from optuna.storages import RDBStorage
    from sqlalchemy import create_engine, text

    url = postgres_url(storage)
    try:
        import psycopg  # noqa: F401
    except ImportError as error:
        raise NasError(
            f"PostgreSQL needs the package psycopg, which is missing here ({error}): "
            "pip install 'nas-explorer[cluster]', or choose search.storage = \"sqlite\""
        ) from error
    arguments = {"connect_timeout": CONNECT_SECONDS, **KEEPALIVE, "options": SERVER_KEEPALIVE}
    try:
        engine = create_engine(url, connect_args=arguments)
        with engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SETUP_LOCK})
            opened = RDBStorage(
                url.render_as_string(hide_password=False), engine_kwargs={"connect_args": dict(arguments)}
            )
        engine.dispose()
    except Exception as error:
        raise NasError(
            f"the database {storage} cannot be used: {innermost(error)}. Check that it runs, that the database "
            "exists, and that PGPASSWORD or ~/.pgpass holds the password"
        ) from error
    return opened


class Presence:
    """Shows to the other drivers of a study that this one lives, and tells which of them do.

    A driver holds an advisory lock on a connection of its own, which the server drops when the driver dies; after an
    outage of the server it takes the lock again.
    """

    def __init__(self, engine: "Engine", study: int) -> None:
        self.token = secrets.randbelow(2**31 - 1) + 1
        self._engine, self._study = engine, study
        self._connection: Connection | None = None
        self._stop = threading.Event()
        self._hold()
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)
        self._thread.start()

    def alive(self) -> frozenset[int] | None:
        """The tokens of the drivers that live; `None` just after the server started, when nobody can know."""
        from sqlalchemy import text

        with self._engine.connect() as connection:
            young = connection.execute(
                text("SELECT now() - pg_postmaster_start_time() < make_interval(secs => :seconds)"),
                {"seconds": SETTLING_SECONDS},
            ).scalar_one()
            held = connection.execute(
                text(
                    "SELECT objid FROM pg_locks WHERE locktype = 'advisory' AND objsubid = 2 AND granted "
                    "AND classid = CAST(CAST(:study AS integer) AS oid) "
                    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
                ),
                {"study": self._study},
            ).scalars()
            tokens = frozenset(map(int, held))
        return None if young else tokens | {self.token}

    def close(self) -> None:
        """Be gone."""
        self._stop.set()
        self._thread.join()
        self._drop()

    def _hold(self) -> None:
        from sqlalchemy import text

        self._connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        parameters = {"study": self._study, "token": self.token}
        self._connection.execute(text("SELECT pg_advisory_lock(:study, :token)"), parameters)

    def _keep(self) -> None:
        from sqlalchemy import text

        while not self._stop.wait(PULSE_SECONDS):
            try:
                if self._connection is None:
                    self._hold()
                else:
                    self._connection.execute(text("SELECT 1"))
            except Exception as error:
                LOGGER.debug("the presence of this driver is not known to the database: %s", innermost(error))
                self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.invalidate()
                connection.close()
            except Exception as error:
                LOGGER.debug("a connection could not be closed: %s", innermost(error))
