"""Host, Origin and token of every request, before anything of its body is read."""

from __future__ import annotations

import hashlib
import hmac

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..origins import host_name, origin_host
from .errors import ApiError
from .metrics import Metrics
from .settings import ServeSettings

OPEN_PATHS = ("/health", "/ready")
"""Paths that need no token."""
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; sandbox",
}


class AccessMiddleware:
    """Refuses foreign hosts, cross-origin pages and wrong tokens; counts every request.

    Plain ASGI: a `BaseHTTPMiddleware` would buffer. Starlette's `TrustedHostMiddleware` answers in
    plain text and cannot read the IPv6 host ``[::1]:8600``.
    """

    def __init__(self, app: ASGIApp, settings: ServeSettings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status, inner = 500, scope

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message.setdefault("headers", [])
                MutableHeaders(scope=message).update(SECURITY_HEADERS)
            elif scope["method"] == "HEAD" and message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        try:
            self._check(Headers(scope=scope), scope["path"])
            # HEAD is answered as GET, without the body
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            inner = {**scope, "method": method}
            await self._app(inner, receive, send_with_headers)
        except ApiError as error:
            await error.response()(scope, receive, send_with_headers)
        finally:
            route = getattr(inner.get("route"), "path", "other")
            self._metrics.request(scope["method"], route, status)

    def _check(self, headers: Headers, path: str) -> None:
        host, origin = headers.get("host", ""), headers.get("origin", "")
        hosts = self._settings.hosts
        if "*" not in hosts and host_name(host) not in hosts:
            raise ApiError(
                400,
                "bad_host",
                f"the request is for {host!a}; expected one of {', '.join(hosts)}; "
                "--allow-host NAME adds a name",
            )
        if origin and origin_host(origin) != host.lower():
            raise ApiError(
                403,
                "cross_origin",
                f"the request is from a page of {origin!a}, not of this server; expected a program "
                "or a page of the same name and port",
            )
        token = self._settings.token
        if token is None or path in OPEN_PATHS:
            return
        scheme, _, given = headers.get("authorization", "").partition(" ")
        # digests, since a comparison of unequal lengths would reveal the length
        digests = (hashlib.sha256(text.encode()).digest() for text in (given.strip(), token))
        if scheme.lower() != "bearer" or not hmac.compare_digest(*digests):
            raise ApiError(
                401,
                "unauthorized",
                "no token or a wrong one; expected the header 'Authorization: Bearer TOKEN'",
                {"WWW-Authenticate": "Bearer"},
            )
