"""The live page of a real run over real HTTP: what it serves, what it refuses, and that it only reads."""

import http.client
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nas.ui.guard import Rules
from search_spaces import NasError

pytest.importorskip("starlette", reason="the extra ui is not installed")
pytest.importorskip("uvicorn", reason="the extra ui is not installed")

from nas.ui.serve import address_of, prepare

Copied = Callable[[str], Path]


@dataclass
class Served:
    """A server under test and the rules it was given."""

    rules: Rules

    def ask(
        self, path: str, *, method: str = "GET", body: str | None = None, headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of the answer to a request, whose path is sent as it is."""
        connection = http.client.HTTPConnection("127.0.0.1", self.rules.port, timeout=900)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
        finally:
            connection.close()

    def json(self, path: str) -> Any:
        """The JSON that a path gives."""
        status, _, body = self.ask(path)
        assert status == 200, body
        return json.loads(body)

    def order(self, identity: str, headers: dict[str, str] | None = None) -> tuple[int, dict[str, Any] | bytes]:
        """Ask for the export of an architecture as the page does, but for `headers`."""
        own = {
            "content-type": "application/json",
            "origin": f"http://127.0.0.1:{self.rules.port}",
            "sec-fetch-site": "same-origin",
            "x-nas-token": self.rules.order,
            **(headers or {}),
        }
        status, told, body = self.ask("/export", method="POST", body=json.dumps({"id": identity}), headers=own)
        return status, json.loads(body) if "json" in told.get("content-type", "") else body


@pytest.fixture
def serves() -> Iterator[Callable[..., Served]]:
    """A function that serves a run folder on a free port until the end of the test."""
    servers: list[tuple[Any, threading.Thread]] = []

    def start(folder: Path, *, host: str = "127.0.0.1") -> Served:
        server, listening, rules = prepare(str(folder), search=None, host=host, port=0)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return Served(rules)

    yield start
    for server, thread in servers:
        server.should_exit = True
        thread.join(30)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_page_and_its_data_are_served_and_nothing_is_written(
    copied_run: Copied, serves: Callable[..., Served]
) -> None:
    folder = copied_run("small")
    before = contents(folder)
    served = serves(folder)
    status, headers, body = served.ask("/")
    assert status == 200
    assert b"plotly" in body
    assert headers["content-type"].startswith("text/html")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    data = served.json("/data")
    assert {"model", "parts"} <= data.keys()
    ids = [entry["id"] for entry in json.loads((folder / "searches/search/front.json").read_text())["architectures"]]
    assert [entry["id"] for entry in data["model"]["front"]] == ids
    assert served.json("/status")["words"] == "Nothing is under way."
    assert served.json(f"/architecture/{ids[0]}")["operators"]
    assert served.ask("/architecture/0000")[0] == 404
    assert contents(folder) == before


def test_data_is_sent_again_only_when_something_was_written(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("small")
    search = folder / "searches" / "search"
    kept = {name: (search / name).read_bytes() for name in ("front.json", "evaluations.json")}
    for name in kept:
        (search / name).unlink()
    served = serves(folder)
    _, headers, body = served.ask("/data")
    first = json.loads(body)
    again, _, nothing = served.ask("/data", headers={"if-none-match": headers["etag"]})
    assert (again, nothing) == (304, b"")
    assert served.json("/status")["version"] == headers["etag"].strip('"')
    for name, content in kept.items():
        (search / name).write_bytes(content)
    status, later, body = served.ask("/data", headers={"if-none-match": headers["etag"]})
    assert status == 200
    assert later["etag"] != headers["etag"]
    assert "has not ended" in json.dumps(first["parts"])
    assert "has not ended" not in json.dumps(json.loads(body)["parts"])


def test_what_takes_long_follows_once_the_search_has_ended(copied_run: Copied, serves: Callable[..., Served]) -> None:
    served = serves(copied_run("small"))
    assert served.json("/data")["model"]["architectures"]["of"] == {}
    waited = 0.0
    while not (found := served.json("/data")["model"]["architectures"]["of"]) and waited < 120:
        time.sleep(0.1)
        waited += 0.1
    assert found


def test_paths_outside_the_exports_are_refused(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("small")
    (folder / "exports" / "link").symlink_to("/etc")
    served = serves(folder)
    for path in (
        "/exports/../recipe.toml",
        "/exports/..%2frecipe.toml",
        "/exports/%2e%2e/recipe.toml",
        "/exports/%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2f%2e%2e%2fetc/passwd",
        "/exports//etc/passwd",
        "/exports/%2fetc%2fpasswd",
        "/exports/link/passwd",
        "/exports/%00",
    ):
        status, _, body = served.ask(path)
        assert status in (403, 404), path
        assert b"root:" not in body
        assert b"[search]" not in body


def test_exported_files_are_listed_and_sent_as_files(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("small")
    (export,) = (folder / "exports").iterdir()
    served = serves(folder)
    _, _, listing = served.ask(f"/exports/{export.name}/")
    assert b"model.py" in listing
    status, headers, body = served.ask(f"/exports/{export.name}/model.py")
    assert (status, body) == (200, (export / "model.py").read_bytes())
    assert headers["content-disposition"].startswith("attachment")


def test_other_names_of_this_address_are_refused(copied_run: Copied, serves: Callable[..., Served]) -> None:
    served = serves(copied_run("small"))
    port = served.rules.port
    for host in ("evil.example", f"evil.example:{port}", "127.0.0.1.evil.example"):
        status, _, body = served.ask("/data", headers={"host": host})
        assert (status, body) == (403, b"This server does not answer to that name.\n")
    assert served.ask("/status", headers={"host": f"localhost:{port}"})[0] == 200


def test_orders_of_other_sites_are_refused(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("small")
    shutil.rmtree(folder / "exports")
    served = serves(folder)
    identity = served.json("/data")["model"]["front"][0]["id"]
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"x-nas-token": "guessed"},
        {"x-nas-token": ""},
    ):
        assert served.order(identity, headers)[0] == 403
    assert served.ask("/export")[0] == 405
    assert served.ask("/data", method="DELETE", headers={"x-nas-token": served.rules.order})[0] == 405
    assert not (folder / "exports").exists()


def test_the_page_exports(copied_run: Copied, serves: Callable[..., Served], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied_run("small")
    shutil.rmtree(folder / "exports")
    root = str(Path(__file__).resolve().parents[3])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]))
    served = serves(folder)
    assert served.json("/session") == {"order": served.rules.order}
    identity = served.json("/data")["model"]["front"][0]["id"]
    status, told = served.order(identity)
    assert (status, told) == (200, {"words": told["words"], "folder": f"exports/{identity}/"})  # type: ignore[index]
    assert (folder / "exports" / identity / "model.py").is_file()
    assert served.order("0123456789abcdef")[0] == 404
    assert served.order("--help")[0] == 404
    assert served.order("x" * 5000)[0] == 404


def test_beyond_this_machine_a_token_is_needed(copied_run: Copied, serves: Callable[..., Served]) -> None:
    served = serves(copied_run("small"), host="0.0.0.0")
    token = served.rules.token
    assert token is not None
    assert address_of(served.rules).endswith(f":{served.rules.port}/?token={token}")
    for path in ("/", "/data", "/status", "/session", "/exports/", "/?token=wrong", f"/?token={token[:-1]}"):
        assert served.ask(path)[0] == 403, path
    status, headers, _ = served.ask(f"/?token={token}")
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    known = {"cookie": cookie.partition(";")[0]}
    assert served.ask("/status", headers=known)[0] == 200
    assert served.ask("/status", headers={"cookie": f"{served.rules.cookie}=wrong"})[0] == 403
    assert served.order("00000000", known | {"origin": "http://evil.example"})[0] == 403


def test_a_run_that_cannot_be_read_is_served_with_the_reason(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("torn")
    (folder / "recipe.toml").write_text("[search]\nolder_key = 3\n")
    served = serves(folder)
    status, _, body = served.ask("/")
    assert status == 200
    assert b"can only be shown in part" in body
    assert "older_key" in json.dumps(served.json("/data")["parts"])


def test_a_run_that_has_only_begun_is_served(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("begun")
    shutil.rmtree(folder / "searches")
    served = serves(folder)
    assert served.ask("/")[0] == 200
    assert "nothing is evaluated yet" in json.dumps(served.json("/data")["parts"])


def test_a_taken_port_and_an_unknown_run_are_told(copied_run: Copied, serves: Callable[..., Served]) -> None:
    folder = copied_run("small")
    port = serves(folder).rules.port
    with pytest.raises(NasError, match=f"cannot listen on 127.0.0.1, port {port}: .*--port, 0 for any free one"):
        prepare(str(folder), search=None, host="127.0.0.1", port=port)
    with pytest.raises(NasError, match="there is no run 'nothing'"):
        prepare("nothing", search=None, host="127.0.0.1", port=0)
    with pytest.raises(NasError, match="unknown search"):
        prepare(str(folder), search="other", host="127.0.0.1", port=0)
