"""Post a job's JSON to an address of the client's choice, among the origins that are allowed."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import logging
import socket
import threading
from urllib.parse import SplitResult, urlsplit

from .errors import ApiError
from .job_store import JobRecord, JobStore
from .settings import ServeSettings

LOG = logging.getLogger("groundbrush.serve")
_SECONDS = 5.0
_PAUSES = (0.0, 1.0, 5.0)
_POLL_SECONDS = 0.2


def check_webhook(url: str, settings: ServeSettings) -> SplitResult:
    """Return an address in its parts.

    Raises ApiError: 403 for one of an origin that the server does not allow, and for anything else.
    """
    try:
        parts = urlsplit(url)
        origin, _ = f"{parts.scheme}://{parts.netloc}".lower(), parts.port
    except ValueError:
        origin = ""
    plain = url.isascii() and url.isprintable() and " " not in url
    if not plain or origin not in settings.webhooks:
        message = (
            "the webhook is of an origin that this server does not allow; expected an address of "
            "one given to --allow-webhook ORIGIN, such as https://hooks.example"
        )
        raise ApiError(403, "webhook", message)
    return parts


async def notify(url: str, store: JobStore, record: JobRecord) -> None:
    """Wait for a job's end and post its JSON; three attempts, then a warning in the log."""
    while not record.over:
        await asyncio.sleep(_POLL_SECONDS)
    body = store.status(record).model_dump_json().encode()
    parts, token = check_webhook(url, store.settings), store.settings.token
    for pause in _PAUSES:
        await asyncio.sleep(pause)
        try:
            # not the threads of requests, which slow receivers would take
            status = await asyncio.to_thread(_post, parts, body, token)
        except (OSError, http.client.HTTPException) as error:
            status = type(error).__name__
        if status in range(200, 300):
            return
    LOG.warning("the webhook of job %s was not accepted: %s", record.id, status)


def _post(parts: SplitResult, body: bytes, token: str | None) -> int:
    """The answer's status. http.client follows no redirect, which would lead anywhere."""
    secure = parts.scheme == "https"
    connect = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = connect(parts.hostname or "", parts.port, timeout=_SECONDS)
    headers = {"Content-Type": "application/json"}
    if token is not None:
        signature = hmac.new(token.encode(), body, hashlib.sha256).hexdigest()
        headers["X-Groundbrush-Signature"] = f"sha256={signature}"
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    connection.connect()
    # the timeout is of each read only, and a receiver may send a byte now and then
    end = threading.Timer(_SECONDS, connection.sock.shutdown, [socket.SHUT_RDWR])
    end.start()
    try:
        connection.request("POST", path, body, headers)
        return connection.getresponse().status
    finally:
        end.cancel()
        connection.close()
