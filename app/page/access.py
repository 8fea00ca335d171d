"""Keeps other sites from reaching, framing or extending the page."""

from __future__ import annotations

from typing import Any

from starlette.datastructures import Headers, MutableHeaders

from ..origins import host_name, is_address, origin_host

POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "connect-src 'self' data: blob: ws://{host} wss://{host}; worker-src 'self' blob:; "
    "frame-src 'self' blob: data:; frame-ancestors 'none'; object-src 'none'; base-uri 'self'; "
    "form-action 'self'"
)
"""Streamlit's own code needs what is unsafe here; nothing may come from, or go to, elsewhere."""


class PageAccess:
    """Refuses requests and WebSockets under foreign names, and adds security headers.

    A site with a name that leads to this machine (DNS rebinding) would otherwise be the page's own
    origin. Addresses are no such names.
    """

    def __init__(self, app: Any, hosts: tuple[str, ...] = ()) -> None:
        self._app, self._hosts = app, {"localhost", *hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request or WebSocket."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host, origin = headers.get("host", "").lower(), headers.get("origin")
        name = host_name(host)
        allowed = name in self._hosts or is_address(name)
        if not allowed or (origin is not None and origin_host(origin) != host):
            await _refuse(scope, receive, send)
            return

        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(scope=message)
                added["Content-Security-Policy"] = POLICY.format(host=host)
                added["X-Frame-Options"] = "DENY"
                added["X-Content-Type-Options"] = "nosniff"
                added["Referrer-Policy"] = "no-referrer"
            await send(message)

        await self._app(scope, receive, send_with_headers)


async def _refuse(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008})  # before it is accepted: 403
        return
    text = (
        b"This page was requested under a name that is not its own, or by a page of another "
        b"address. Open it as localhost or by its address; `groundbrush app --allow-host NAME` "
        b"adds a name.\n"
    )
    kind = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 400, "headers": kind})
    await send({"type": "http.response.body", "body": text})
