"""Open sessions by an id, so that a reloaded page finds its own again. It knows no browser.

>>> store = SessionStore()
>>> store.put("a1", {"find": "the cup"})
>>> store.get("a1")
{'find': 'the cup'}
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

DAY = 86_400.0
MAX_STORED = 100
MAX_STORED_BYTES = 2_000_000_000


def new_id() -> str:
    """An id that cannot be guessed: it alone gives access to a session."""
    return secrets.token_urlsafe(16)


@dataclass
class _Stored:
    values: Mapping[str, Any] = field(default_factory=dict)
    size: int = 0
    used: float = 0.0
    viewers: set[str] = field(default_factory=set)


class SessionStore:
    """Values by session id, kept in memory for some `seconds` after their last use.

    Beyond `max_bytes` of all together, by the sizes that `put` is given, the longest unused are
    dropped first; the last one put is always kept.
    """

    def __init__(
        self,
        seconds: float = DAY,
        max_bytes: int = MAX_STORED_BYTES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seconds, self._max_bytes, self._clock = seconds, max_bytes, clock
        self._stored: dict[str, _Stored] = {}  # the longest unused first
        self._lock = threading.Lock()

    def put(self, session_id: str, values: Mapping[str, Any], size: int = 0) -> None:
        """Keep a session's values, of about `size` bytes."""
        with self._lock:
            kept = self._stored.pop(session_id, None) or _Stored()
            kept.values, kept.size, kept.used = dict(values), size, self._clock()
            self._stored[session_id] = kept
            self._drop()

    def get(self, session_id: str) -> dict[str, Any] | None:
        """Return a session's values; None if there is no such session, or no longer."""
        with self._lock:
            self._drop()
            kept = self._stored.pop(session_id, None)
            if kept is None:
                return None
            kept.used = self._clock()
            self._stored[session_id] = kept
            return dict(kept.values)

    def add_viewer(self, session_id: str, viewer: str) -> None:
        """Remember that a page shows a session that has been put."""
        with self._lock:
            if session_id in self._stored:
                self._stored[session_id].viewers.add(viewer)

    def is_viewed(self, session_id: str, is_active: Callable[[str], bool]) -> bool:
        """Return whether any page that shows a session is active; forgets those that are not."""
        with self._lock:
            kept = self._stored.get(session_id)
            if kept is None:
                return False
            kept.viewers = {viewer for viewer in kept.viewers if is_active(viewer)}
            return bool(kept.viewers)

    def _drop(self) -> None:
        oldest = self._clock() - self._seconds
        total = sum(kept.size for kept in self._stored.values())
        for name, kept in list(self._stored.items())[:-1]:
            many = len(self._stored) > MAX_STORED or total > self._max_bytes
            if many or kept.used < oldest:
                total -= self._stored.pop(name).size
        last = next(reversed(self._stored), None)
        if last is not None and self._stored[last].used < oldest:
            del self._stored[last]
