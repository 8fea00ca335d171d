"""Listen, serve, and shut down in order: no new jobs, running jobs end, then the server."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import Any

import uvicorn
from prometheus_client import disable_created_metrics
from uvicorn.protocols.http.h11_impl import H11Protocol

from ...editor.api import Editor
from ...editor.errors import GroundbrushError
from .application import create_app
from .job_store import JobStore
from .settings import LOCAL, ServeSettings, check_exposure

_EVERY = 0.1


def serve(
    editor: Editor,
    settings: ServeSettings,
    *,
    host: str = LOCAL[0],
    port: int = 8600,
    proxies: Sequence[str] = (),
    report: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    At the first signal no more jobs are taken; the server ends once those that were taken have
    ended and been polled, at the latest after ``settings.grace`` seconds. A second signal ends it
    at once, the running job within a step. Raises GroundbrushError when it cannot listen there, or
    would let other machines in without a token.

    Parameters
    ----------
    editor, settings : What with, and within which limits.
    host, port : Where to listen; port 0 takes a free one.
    proxies : Addresses of reverse proxies with a trusted X-Forwarded-For.
    report : Called with the address once it listens, and with what closing waits for.
    """
    check_exposure(host, settings)
    listener = _listen(host, port)
    disable_created_metrics()  # a timestamp beside every counter
    app = create_app(editor, settings)
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        proxy_headers=bool(proxies),
        forwarded_allow_ips=list(proxies),
        timeout_keep_alive=30,
        timeout_graceful_shutdown=5,
        http=partial(  # type: ignore[arg-type]  # it is called as a class is
            Connection, settings=settings, proxies=frozenset(proxies)
        ),
        ws="none",
    )
    say = report or (lambda words: None)
    bound = listener.getsockname()
    shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    say(f"serving http://{shown}:{bound[1]} with preset {editor.preset.name}; Ctrl-C stops it")
    try:
        _Server(config, app.state.store, settings.grace, say).run(sockets=[listener])
    finally:
        app.state.store.close()


class Connection(H11Protocol):
    """One connection, closed if its next request does not begin in time.

    Where there are too many connections, of one address or in all, the one that has waited longest
    without a request makes room; if all have requests, the new one is refused. `proxies` are
    addresses that many clients share.
    """

    def __init__(
        self, *args: Any, settings: ServeSettings, proxies: Collection[str] = (), **options: Any
    ) -> None:
        super().__init__(*args, **options)
        self._settings, self._proxies = settings, proxies
        self._timer: asyncio.TimerHandle | None = None
        self._since = 0.0

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    @property
    def address(self) -> str:
        """The client's address, without its port."""
        return self.client[0] if self.client else ""

    def connection_made(self, transport: Any) -> None:
        """Count it, and make room for it."""
        super().connection_made(transport)
        others = [
            one for one in self.connections if one is not self and isinstance(one, Connection)
        ]
        same = [one for one in others if one.address == self.address]
        each = self._settings.connections_each
        crowd = same if len(same) >= each and self.address not in self._proxies else others
        if crowd is same or len(others) >= self._settings.connections:
            idle = [one for one in crowd if not one.busy]
            min(idle, key=lambda one: one._since, default=self).drop()
        self._await_request()

    def data_received(self, data: bytes) -> None:
        """Bytes came; they end the waiting only if they complete a request's headers."""
        super().data_received(data)
        if self.busy and self._timer is not None:
            self._timer.cancel()

    def on_response_complete(self) -> None:
        """The next request may begin."""
        super().on_response_complete()
        if not self.busy:
            self._await_request()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client or the timer closed it."""
        super().connection_lost(exc)
        if self._timer is not None:
            self._timer.cancel()

    def drop(self) -> None:
        """Close it at once, and count it no more."""
        self.connections.discard(self)
        self.transport.abort()

    def _await_request(self) -> None:
        self._since = self.loop.time()
        self._timer = self.loop.call_later(self._settings.header_seconds, self.transport.abort)


class _Server(uvicorn.Server):
    """Gives the jobs that were taken some time before it ends."""

    def __init__(
        self, config: uvicorn.Config, store: JobStore, grace: float, say: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._store, self._grace, self._say = store, grace, say

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal came."""
        if self._store.closing or self._grace <= 0:
            self._store.closing = True
            self.should_exit = True
            return
        # not in the signal handler, which may have interrupted a holder of the store's lock
        self._store.closing = True
        threading.Thread(target=self._drain, daemon=True, name="drain").start()

    def _drain(self) -> None:
        self._store.drain()
        if not self._store.drained():
            self._say(
                f"closing: waiting up to {self._grace:g} s for the jobs that were taken; "
                "Ctrl-C again ends it at once"
            )
        until = time.monotonic() + self._grace
        while not self._store.drained() and time.monotonic() < until and not self.should_exit:
            time.sleep(_EVERY)
        self.should_exit = True


def _listen(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=256)
    except (OSError, OverflowError) as error:
        words = getattr(error, "strerror", None) or str(error)
        raise GroundbrushError(
            f"cannot listen on {host}:{port} ({words}); expected an address of this machine and a "
            "free port; choose another with --port"
        ) from error
