"""A PostgreSQL server of its own, in a temporary folder, for as long as it is needed."""

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from search_spaces.errors import NasError

SYSTEM_USERS = ("postgres", "nobody")
PLACES = "/usr/lib/postgresql"
ROLE = "nas"


@dataclass(frozen=True)
class Server:
    """A server whose data lie in `folder` and which listens on `port` of this machine only."""

    program: str
    folder: Path
    port: int
    user: str | None

    @property
    def url(self) -> str:
        """What `search.storage` must be to use it."""
        return f"postgresql://{ROLE}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, also after `stop`, and wait until it answers."""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c max_connections=50"
        self.control("start", "-w", "-l", str(self.folder / "log.txt"), "-o", options)

    def stop(self, *, mode: str = "fast") -> None:
        """Stop it; mode "immediate" is as good as a crash."""
        self.control("stop", "-w", "-m", mode)

    def control(self, *arguments: str) -> None:
        """Call pg_ctl, as another user where this one is root, whom PostgreSQL refuses."""
        done = subprocess.run(
            [self.program, "-s", "-D", str(self.folder / "data"), *arguments],
            user=self.user,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        if done.returncode:
            raise NasError(f"pg_ctl {arguments[0]} failed: {done.stderr.strip()}")


def pg_ctl() -> str | None:
    """The program that starts servers; `None` where PostgreSQL is not installed."""
    found = shutil.which("pg_ctl")
    if found is not None:
        return str(Path(found).resolve())
    debian = sorted(Path(PLACES).glob("*/bin/pg_ctl"))
    return str(debian[-1]) if debian else None


def why_not() -> str | None:
    """Why there can be no server here; `None` when there can."""
    if pg_ctl() is None:
        return "PostgreSQL is not installed (apt-get install postgresql)"
    try:
        import psycopg  # noqa: F401
    except ImportError:
        return "the package psycopg is not installed (pip install 'nas-explorer[cluster]')"
    if os.geteuid() == 0 and _other_user() is None:
        return "PostgreSQL does not run as root, and there is no other user to run it as"
    return None


@contextmanager
def postgres_server() -> Iterator[Server]:
    """A fresh server, stopped and removed at the end; NasError where there can be none."""
    program, reason = pg_ctl(), why_not()
    if program is None or reason is not None:
        raise NasError(reason or "PostgreSQL is not installed")
    with tempfile.TemporaryDirectory(prefix="nas-postgres-", ignore_cleanup_errors=True) as name:
        user = _other_user() if os.geteuid() == 0 else None
        if user is not None:
            shutil.chown(name, user)
        server = Server(program, Path(name), _free_port(), user)
        server.control("initdb", "-o", f"--auth=trust --no-sync --username={ROLE}")
        server.start()
        try:
            yield server
        finally:
            server.stop(mode="immediate")


def _other_user() -> str | None:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in SYSTEM_USERS if name in known), None)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
