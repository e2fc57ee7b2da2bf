"""`nas ui`: listens, says where, and serves until Ctrl-C."""

import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from nas.ui.guard import Rules, is_loopback, new_token
from search_spaces.errors import NasError


def serve(
    name: str,
    *,
    search: str | None,
    host: str,
    port: int,
    show: Callable[[str], Any] | None,
    say: Callable[[str], None],
) -> None:
    """Serve the run called `name` until Ctrl-C; the run itself is only read.

    show: is given the address once the port is open. Raises NasError where there is no such run or search, the port
    is taken, or the web library is missing.
    """
    server, listening, rules = prepare(name, search=search, host=host, port=port)
    address = address_of(rules)
    say(f"the page: {address}")
    if rules.token is not None:
        say("whoever has this address sees the run and may export; it goes over the network in the clear")
    if show is not None:
        show(address)
    with suppress(KeyboardInterrupt), listening:
        server.run(sockets=[listening])
    say("closed; the run itself is not touched")


def prepare(name: str, *, search: str | None, host: str, port: int) -> tuple[Any, socket.socket, Rules]:
    """The server, the open port it is to listen on, and its rules. Raises NasError as `serve` does."""
    try:
        import uvicorn
    except ImportError as error:
        raise missing(error) from error
    folder = _folder(name, search)
    from nas.ui.watch import Watch

    try:
        from nas.ui.app import live_app

        listening = _listen(host, port)
        rules = Rules(host, listening.getsockname()[1], None if is_loopback(host) else new_token())
        app = live_app(Watch(folder, search=search), rules, search=search)
    except ImportError as error:
        raise missing(error) from error
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, lifespan="off", proxy_headers=False
    )
    return uvicorn.Server(config), listening, rules


def missing(error: ImportError) -> NasError:
    """The error for a web library that is not installed."""
    return NasError(f"the live page needs a package that is missing here ({error}): pip install 'nas-explorer[ui]'")


def address_of(rules: Rules) -> str:
    """What to open in a browser."""
    host = socket.gethostname() if rules.host in ("0.0.0.0", "::") else rules.host
    place = f"http://{f'[{host}]' if ':' in host else host}:{rules.port}/"
    return place if rules.token is None else f"{place}?token={rules.token}"


def _folder(name: str, search: str | None) -> Path:
    """The run's folder; a run that cannot be read is served all the same, and its page says why."""
    from nas.cli_runs import opened
    from nas.salvage import is_run_like

    try:
        return opened(name, search).path
    except NasError:
        found = next((path for path in (Path(name), Path("runs") / name) if path.is_dir()), None)
        if search is not None or found is None or not is_run_like(found):
            raise
        return found


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise NasError(
            f"cannot listen on {host}, port {port}: {error}. Take another with --port, 0 for any free one"
        ) from error
