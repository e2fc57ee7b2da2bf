"""Who may ask the server for what: names it answers to, a token beyond this machine, no orders from other sites.

* A page of another site can make a browser send requests here, and by rebinding its own name to this address it can
  also read the answers. So the Host header must be an address, or a name of this machine.
* Whoever else reaches the port needs the token, once in the address, then in a cookie.
* What changes anything must come from the page itself: by Origin and Sec-Fetch-Site where the browser tells them, and
  with a second token that only the page can read.
"""

import ipaddress
import secrets
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

TOKEN_BYTES = 32
ORDER_HEADER = "x-nas-token"
HEADERS = {
    "content-security-policy": "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


def new_token() -> str:
    """A random token of 256 bits."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on `host`."""
    address = _address(host)
    return host == "localhost" if address is None else address.is_loopback


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return None


def _same(given: str, expected: str) -> bool:
    """Whether two tokens are equal, in a time that does not tell how much of them is."""
    return secrets.compare_digest(given.encode(), expected.encode())


@dataclass(frozen=True)
class Rules:
    """Who is let in.

    host: where the server listens. token: what everybody must know; `None` where only this machine reaches it.
    order: what a request that changes anything must carry in the header x-nas-token.
    """

    host: str
    port: int
    token: str | None = None
    order: str = field(default_factory=new_token)

    @property
    def cookie(self) -> str:
        """Name of the cookie; cookies are shared by all ports of a machine."""
        return f"nas-{self.port}"

    def answers_to(self, host: str) -> bool:
        """Whether `host`, of a request's Host header, is this server: an address that reaches it or its own name."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").lower()
        except ValueError:
            return False
        address = _address(name)
        if address is not None:
            return address.is_loopback or not is_loopback(self.host)
        if name == "localhost":
            return True
        return not is_loopback(self.host) and name in {self.host.lower(), socket.gethostname().lower()}

    def is_known(self, cookies: dict[str, str]) -> bool:
        """Whether the cookie holds the token, or none is needed."""
        return self.token is None or _same(cookies.get(self.cookie, ""), self.token)

    def is_own_order(self, headers: dict[str, str]) -> bool:
        """Whether a request that changes something comes from this server's own page."""
        origin, site = headers.get("origin"), headers.get("sec-fetch-site")
        if origin is not None and origin.partition("://")[2] != headers.get("host"):
            return False
        if site is not None and site != "same-origin":
            return False
        return _same(headers.get(ORDER_HEADER, ""), self.order)


class Guard:
    """Stands before an application and turns away what the rules do not allow; every answer gets safe headers."""

    def __init__(self, app: App, *, rules: Rules) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}

        async def safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {key.lower() for key, _ in message["headers"]}
                extra = [(key.encode(), value.encode()) for key, value in HEADERS.items() if key.encode() not in there]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        answer = self._refusal(scope, headers)
        if answer is None:
            await self.app(scope, receive, safely)
            return
        status, words, more = answer
        body = words.encode()
        start = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode()), *more]
        await safely({"type": "http.response.start", "status": status, "headers": start})
        await safely({"type": "http.response.body", "body": body})

    def _refusal(self, scope: Message, headers: dict[str, str]) -> tuple[int, str, list[tuple[bytes, bytes]]] | None:
        """Status, words and headers of the answer to a request that goes no further; `None` for one that does."""
        rules = self.rules
        if not rules.answers_to(headers.get("host", "")):
            return 403, "This server does not answer to that name.\n", []
        given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get("token")
        if rules.token is not None and given is not None and scope["path"] == "/":
            if not _same(given, rules.token):
                return 403, "Wrong token: open the address that `nas ui` printed.\n", []
            cookie = f"{rules.cookie}={rules.token}; Path=/; HttpOnly; SameSite=Strict"
            return 303, "", [(b"location", b"/"), (b"set-cookie", cookie.encode())]
        if not rules.is_known(_cookies(headers.get("cookie", ""))):
            return 403, "A token is needed: open the address that `nas ui` printed.\n", []
        if scope["method"] not in ("GET", "HEAD") and not rules.is_own_order(headers):
            return 403, "Only this server's own page may ask for that.\n", []
        return None


def _cookies(header: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for part in header.split(";"):
        key, equals, value = part.strip().partition("=")
        if equals:
            found.setdefault(key, value)
    return found
