"""Listens, serves, and closes in order: no new jobs, those that were taken end, then it ends."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import uvicorn

from ...editor.errors import GroundbrushError
from .application import create_app
from .job_store import Desk
from .settings import LOCAL, ServeSettings, check_exposure

if TYPE_CHECKING:
    from ...editor.api import Editor

_EVERY = 0.1
_CONNECTIONS = 1000


def serve(
    editor: Editor,
    settings: ServeSettings,
    *,
    host: str = LOCAL[0],
    port: int = 8600,
    proxies: Sequence[str] = (),
    tell: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    At the first signal no more jobs are taken; the server ends once those that were taken have
    ended and been asked for, at the latest after ``settings.grace`` seconds. A second signal ends
    it at once, the running job within a step.

    Parameters
    ----------
    editor, settings
        What with, and within which limits.
    host, port
        Where to listen; port 0 takes a free one.
    proxies
        Addresses of reverse proxies whose X-Forwarded-For is believed.
    tell
        Called with the address once it listens, and with what closing waits for.

    Raises
    ------
    GroundbrushError
        When it cannot listen there, or would let other machines in without a token.
    """
    check_exposure(host, settings)
    listener = _listen(host, port)
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
        limit_concurrency=_CONNECTIONS,
    )
    say = tell or (lambda words: None)
    bound = listener.getsockname()
    shown = f"[{bound[0]}]" if ":" in bound[0] else bound[0]
    say(f"serving http://{shown}:{bound[1]} with preset {editor.preset.name}; Ctrl-C stops it")
    try:
        _Server(config, app.state.desk, settings.grace, say).run(sockets=[listener])
    finally:
        app.state.desk.close()


class _Server(uvicorn.Server):
    """Gives the jobs that were taken some time before it ends."""

    def __init__(
        self, config: uvicorn.Config, desk: Desk, grace: float, say: Callable[[str], None]
    ) -> None:
        super().__init__(config)
        self._desk, self._grace, self._say = desk, grace, say

    def handle_exit(self, sig: int, frame: Any) -> None:
        """A signal came."""
        if self._desk.closing or self._grace <= 0:
            self._desk.closing = True
            self.should_exit = True
            return
        # not in the signal's handler, which may have interrupted whoever holds the desk's lock
        self._desk.closing = True
        threading.Thread(target=self._drain, daemon=True, name="drain").start()

    def _drain(self) -> None:
        self._desk.drain()
        if not self._desk.quiet():
            self._say(
                f"closing: waiting up to {self._grace:g} s for the jobs that were taken; "
                "Ctrl-C again ends it at once"
            )
        until = time.monotonic() + self._grace
        while not self._desk.quiet() and time.monotonic() < until and not self.should_exit:
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
