"""What every request passes first: its Host, its Origin, its token; and what is counted of it.

Plain ASGI, so that nothing of a refused request's body is read.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from .monitoring import Metrics
from .refusal import Refusal
from .settings import ServeSettings

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
OPEN = ("/health",)
"""Paths that ask for no token."""
_ALWAYS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
]


class Door:
    """Lets a request in, or answers it."""

    def __init__(self, app: App, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One connection's request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500

        async def told(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), *_ALWAYS]
            await send(message)

        try:
            self._check(scope)
            await self._app(scope, receive, told)
        except Refusal as refusal:
            await answer(refusal, told)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(scope["method"], route, status)

    def _check(self, scope: MutableMapping[str, Any]) -> None:
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        name = host_name(host)
        if "*" not in self._settings.hosts and name not in self._settings.hosts:
            raise Refusal(
                400,
                "bad_host",
                f"the request is for {host!a}; expected one of "
                f"{', '.join(self._settings.hosts)}; --allow-host NAME adds a name",
            )
        origin = headers.get(b"origin", b"").decode("latin-1")
        if origin and urlsplit(origin).netloc.lower() != host.lower():
            raise Refusal(
                403,
                "cross_origin",
                f"a page of {origin!a} asked, which is not this server's; "
                "expected a program, or a page of the same name and port",
            )
        if self._settings.token is not None and scope["path"] not in OPEN:
            self._check_token(headers.get(b"authorization", b""))

    def _check_token(self, given: bytes) -> None:
        kind, _, token = given.partition(b" ")
        # digests: a comparison of unlike lengths would tell the length
        same = hmac.compare_digest(
            hashlib.sha256(token.strip()).digest(),
            hashlib.sha256(str(self._settings.token).encode()).digest(),
        )
        if kind.lower() != b"bearer" or not same:
            raise Refusal(
                401,
                "unauthorized",
                "no token or a wrong one; expected the header 'Authorization: Bearer TOKEN'",
                {"WWW-Authenticate": "Bearer"},
            )


def host_name(host: str) -> str:
    """A Host header's name, lower case and without its port.

    Examples
    --------
    >>> host_name("LocalHost:8600"), host_name("[::1]:8600"), host_name("example.org")
    ('localhost', '::1', 'example.org')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0].lower()
    return host.partition(":")[0].lower()


async def answer(refusal: Refusal, send: Send) -> None:
    """Send a refusal as the response."""
    headers = {
        "Content-Type": "application/json",
        "Content-Length": str(len(refusal.raw)),
        **refusal.headers,
    }
    raw = [(k.lower().encode("latin-1"), v.encode("latin-1")) for k, v in headers.items()]
    await send({"type": "http.response.start", "status": refusal.status, "headers": raw})
    await send({"type": "http.response.body", "body": refusal.raw})
