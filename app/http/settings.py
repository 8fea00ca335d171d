"""Limits and access of the server, validated; it serves nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from ...editor.errors import GroundbrushError
from ...editor.values import Number, Whole, schema

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Names by which only this machine reaches itself."""
MIN_TOKEN = 16
MAX_JSON_BYTES = 1_100_000
"""Longest JSON of a request: a recipe (a million bytes) and what is around it."""


Count = Annotated[int, Whole(1, 10**12)]
Seconds = Annotated[float, Number(0, 10**7)]


@schema("server settings")
class ServeSettings:
    """Limits and permissions of one server.

    Attributes
    ----------
    root : Pictures may be named by paths inside this folder; None: only uploads.
    token : Required as ``Authorization: Bearer TOKEN``; None: anyone who reaches the port has
        access.
    hosts : Names that the Host header may have, without port; ``*`` for any. It is what keeps a web
        page that was opened on this machine from sending requests under a name of its own.
    max_bytes : Of one request with its pictures.
    max_pixels : Of one picture, read from its header before anything is decoded.
    queue, queue_each : Most jobs that wait, in all and of one address.
    webhooks : Origins, such as ``https://hooks.example``, that a job's end may be posted to.
    job_seconds : The longest that a job may run.
    keep, keep_seconds, keep_bytes : Most results kept, for how long, and how much of the disk they
        take.
    uploads : Pictures decoded and checked at the same time, each once its request is whole.
    upload_seconds, stall_seconds : The longest that a request's body may take, and that it may
        pause.
    header_seconds : The longest that a connection may be open before the headers of its next
        request are whole.
    connections, connections_each : Most connections, in all and of one address; those without a
        request make room first.
    grace : Seconds that jobs have to end after a signal to stop.
    """

    root: Path | None = None
    token: str | None = None
    hosts: tuple[str, ...] = LOCAL
    max_bytes: Count = 50_000_000
    max_pixels: Count = 40_000_000
    queue: Count = 32
    queue_each: Count = 8
    webhooks: tuple[str, ...] = ()
    job_seconds: Seconds = 3600.0
    keep: Count = 200
    keep_seconds: Seconds = 3600.0
    keep_bytes: Count = 2_000_000_000
    uploads: Count = 4
    upload_seconds: Seconds = 60.0
    stall_seconds: Seconds = 10.0
    header_seconds: Seconds = 15.0
    connections: Count = 500
    connections_each: Count = 100
    grace: Seconds = 30.0

    def __post_init__(self) -> None:
        for origin in self.webhooks:
            try:
                parts = urlsplit(origin)
                wrong = not parts.hostname or parts.port == 0
                wrong |= origin not in (f"http://{parts.netloc}", f"https://{parts.netloc}")
            except ValueError:  # a port or an address of IPv6 that is none
                wrong = True
            if wrong:
                raise GroundbrushError(
                    f"the webhook origin {origin!r} is none; expected a scheme and a name in lower "
                    "case, and nothing behind them, such as https://hooks.example"
                )
        if self.root is not None:
            real = Path(os.path.realpath(self.root))
            if not real.is_dir():
                raise GroundbrushError(
                    f"root {str(self.root)!r} is no folder; expected one that holds pictures"
                )
            object.__setattr__(self, "root", real)
        if self.token is not None and (
            len(self.token) < MIN_TOKEN
            or not self.token.isascii()
            or not self.token.isprintable()
            or " " in self.token
        ):
            raise GroundbrushError(
                f"the token is too short or holds blanks; expected at least {MIN_TOKEN} plain "
                "characters, such as `openssl rand -hex 24` gives"
            )


def read_token(path: Path | None) -> str | None:
    """The token in a file or in GROUNDBRUSH_TOKEN; None where there is neither.

    Not an option of the command: those can be read by everyone on the machine.
    """
    if path is None:
        return os.environ.get("GROUNDBRUSH_TOKEN") or None
    try:
        return path.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GroundbrushError(
            f"the token file {str(path)!r} cannot be read ({type(error).__name__}); expected one "
            "line of text"
        ) from error


def check_exposure(host: str, settings: ServeSettings) -> None:
    """Refuse to listen to other machines without a token."""
    if host not in LOCAL and settings.token is None:
        raise GroundbrushError(
            f"host {host!r} lets other machines in and no token is set; expected one: give "
            "--token-file FILE or set GROUNDBRUSH_TOKEN, or listen on 127.0.0.1"
        )
