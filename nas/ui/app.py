"""The server's answers: the page, what is new on it, one architecture, exported files, and one order: to export."""

import asyncio
import json
import re
import sys
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from nas.ui.guard import Guard, Rules
from nas.ui.watch import Watch
from search_spaces.errors import NasError

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

SCRIPTS = ("live.js",)
IDENTITY = re.compile(r"[0-9a-f]{4,64}")
MOST_ORDER_BYTES = 1024
EXPORT_SECONDS = 900.0
FRESH = {"cache-control": "no-cache"}


def live_app(watch: Watch, rules: Rules, *, search: str | None = None) -> Guard:
    """The application behind its guard; exports are made by a process of their own."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    answers = _Answers(watch, rules, search)
    routes = [
        Route("/", answers.page),
        Route("/session", answers.session),
        Route("/status", answers.status),
        Route("/data", answers.data),
        Route("/architecture/{identity}", answers.architecture),
        Route("/exports/{path:path}", answers.exports),
        Route("/export", answers.export, methods=["POST"]),
    ]
    return Guard(Starlette(routes=routes), rules=rules)


class _Answers:
    """One method per address."""

    def __init__(self, watch: Watch, rules: Rules, search: str | None) -> None:
        self.watch, self.rules, self.search = watch, rules, search
        self.exporting = asyncio.Lock()
        self._payload: tuple[str, bytes] = ("", b"")

    async def page(self, request: "Request") -> "Response":
        """The whole page, as it would be written to a file, with the script that keeps it up to date."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import HTMLResponse

        from nas.report.html import page

        def made() -> str:
            return page(self.watch.seen().data, scripts=SCRIPTS)

        return HTMLResponse(await run_in_threadpool(made), headers={"cache-control": "no-store"})

    async def session(self, request: "Request") -> "Response":
        """What the page must send with an order; no other site can read this."""
        from starlette.responses import JSONResponse

        return JSONResponse({"order": self.rules.order}, headers={"cache-control": "no-store"})

    async def status(self, request: "Request") -> "Response":
        """What the run does now, and which version of its data is the newest."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse

        now = await run_in_threadpool(self.watch.doing)
        version = await run_in_threadpool(self.watch.version)
        told = {"words": now.text(), "busy": bool(now.title) and not now.is_silent, "share": now.share}
        return JSONResponse({**told, "left": now.left, "version": version}, headers=FRESH)

    async def data(self, request: "Request") -> "Response":
        """What may change on the page; nothing where the asker's ETag is that of the newest version."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import Response

        version, body = await run_in_threadpool(self._made)
        headers = {**FRESH, "etag": f'"{version}"'}
        if f'"{version}"' in request.headers.get("if-none-match", ""):
            return Response(status_code=304, headers=headers)
        return Response(body, media_type="application/json", headers=headers)

    def _made(self) -> tuple[str, bytes]:
        from nas.report.html import payload

        seen = self.watch.seen()
        if self._payload[0] != seen.version:
            text = json.dumps(payload(seen.data), separators=(",", ":"), allow_nan=False)
            self._payload = (seen.version, text.encode())
        return self._payload

    async def architecture(self, request: "Request") -> "Response":
        """Operators and diagram of one evaluated architecture."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import JSONResponse

        try:
            found = await run_in_threadpool(self.watch.architecture, request.path_params["identity"])
        except NasError as error:
            return JSONResponse({"error": str(error)}, status_code=404)
        return JSONResponse(found, headers=FRESH)

    async def exports(self, request: "Request") -> "Response":
        """A file of an exported network, or the list of what a folder of them holds; nothing else of the disk."""
        from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse

        root = (self.watch.folder / "exports").resolve()
        path = inside(root, request.path_params["path"])
        if path is None:
            return PlainTextResponse("That is outside the run's exports.\n", status_code=403)
        if path.is_dir():
            return HTMLResponse(_listing(path, root))
        if not path.is_file():
            return PlainTextResponse("There is no such file.\n", status_code=404)
        return FileResponse(path, filename=path.name, media_type="application/octet-stream")

    async def export(self, request: "Request") -> "Response":
        """Export one architecture, in a process of its own that yields to the search."""
        from starlette.responses import JSONResponse

        identity = await _ordered(request)
        if identity is None or not self.watch.knows(identity):
            return JSONResponse({"error": "no such architecture"}, status_code=404)
        if self.exporting.locked():
            return JSONResponse({"error": "another export is under way: try again after it"}, status_code=409)
        async with self.exporting:
            status, words = await self._exported(identity)
        if status:
            return JSONResponse({"error": words}, status_code=422)
        return JSONResponse({"words": words, "folder": f"exports/{identity}/"})

    async def _exported(self, identity: str) -> tuple[int, str]:
        """Exit status and last words of `nas export`."""
        command = [sys.executable, "-m", "nas", "export", str(self.watch.folder), "--arch", identity]
        command += ["--search", self.search] if self.search else []
        process = await asyncio.create_subprocess_exec(
            *_gently(command), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
        )
        try:
            out, err = await asyncio.wait_for(process.communicate(), EXPORT_SECONDS)
        except (TimeoutError, asyncio.CancelledError) as error:
            process.kill()
            if isinstance(error, asyncio.CancelledError):
                raise
            return 1, f"it took more than {EXPORT_SECONDS:.0f} s and was stopped"
        lines = (err if process.returncode else out).decode(errors="replace").strip().splitlines()
        last = lines[-1].removeprefix("nas: ") if lines else "no word from nas export"
        return process.returncode or 0, last if process.returncode else f"Exported to {last}"


def _gently(command: list[str]) -> list[str]:
    """The command at the lowest priority, where the system has `nice`."""
    import shutil

    nice = shutil.which("nice")
    return [nice, "-n", "19", *command] if nice else command


async def _ordered(request: "Request") -> str | None:
    """The id that an order to export names; `None` where it is no such order."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > MOST_ORDER_BYTES:
            return None
    try:
        order: Any = json.loads(body)
        identity = order["id"]
    except (ValueError, TypeError, KeyError):
        return None
    return identity if isinstance(identity, str) and IDENTITY.fullmatch(identity) else None


def inside(root: Path, name: str) -> Path | None:
    """The file called `name` below `root`, links followed; `None` where that leads out of it."""
    try:
        path = (root / name).resolve()
    except (OSError, ValueError):
        return None
    return path if path == root or path.is_relative_to(root) else None


def _listing(folder: Path, root: Path) -> str:
    here = "" if folder == root else f"{folder.relative_to(root)}/"
    names = sorted(f"{path.name}/" if path.is_dir() else path.name for path in folder.iterdir())
    links = "".join(
        f'<li><a href="/exports/{quote(here + name)}">{escape(name)}</a></li>' for name in names if name[0] != "."
    )
    title = escape(f"exports/{here}")
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><h1>{title}</h1><ul>{links}</ul>'
    )
