"""Progress, preview and cancellation callbacks of one painting."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any

import numpy as np

from .errors import Cancelled

OnStep = Callable[[int, int], None]
"""Called with the step, 1-based, and the number of steps."""
OnPreview = Callable[[int, int, np.ndarray], None]
"""Called with the step, the number of steps and the picture as it is then."""
CancelledBy = Callable[[], bool] | threading.Event
"""Returns True, or is set, to stop."""
PREVIEWS = 4
"""About how many previews a painting gives."""


_watched: ContextVar[Callable[[], bool] | None] = ContextVar("cancelled", default=None)


@contextlib.contextmanager
def watch_cancelled(cancelled: CancelledBy | None) -> Iterator[None]:
    """Let `check_cancelled` stop what this thread does, also where no callback is handed on."""
    is_set = cancelled.is_set if isinstance(cancelled, threading.Event) else cancelled
    token = _watched.set(is_set)
    try:
        yield
    finally:
        _watched.reset(token)


def check_cancelled() -> None:
    """Raise `Cancelled` if the caller of `watch_cancelled` wants to stop.

    Called between the parts of slow work without steps: mask operations, blending, saving.
    """
    is_set = _watched.get()
    if is_set is not None and is_set():
        raise Cancelled("Stopped on request; the picture is unchanged.")


class Progress:
    """Forward a pipeline's steps to the caller's callbacks, and check for cancellation around each.

    Attributes
    ----------
    decode : Latents to ``(h, w, 3)`` uint8 canvas; previews need it.
    error : Raised by a callback, not by the model.
    """

    def __init__(
        self,
        on_step: OnStep | None,
        cancelled: CancelledBy | None,
        on_preview: OnPreview | None = None,
    ) -> None:
        self._on_step, self._on_preview = on_step, on_preview
        self._cancelled = cancelled.is_set if isinstance(cancelled, threading.Event) else cancelled
        self.decode: Callable[[Any], np.ndarray] | None = None
        self.error: BaseException | None = None

    def check_cancelled(self) -> None:
        """Raise Cancelled if the caller wants to stop."""
        if self._call(self._cancelled):
            raise Cancelled("Stopped on request; the picture is unchanged.")

    def on_step_end(self, pipe: Any, index: int, _time: Any, tensors: Any) -> dict[str, Any]:
        """Handle diffusers' callback. `pipe._interrupt` would still decode; raising does not."""
        step, total = index + 1, pipe.num_timesteps
        self.check_cancelled()
        self._call(self._on_step, step, total)
        due = step < total and step % max(1, total // (PREVIEWS + 1)) == 0
        if due and self._on_preview is not None and self.decode is not None:
            self._call(self._on_preview, step, total, self.decode(tensors["latents"]))
        self.check_cancelled()
        return {}

    def _call(self, callback: Callable[..., Any] | None, *arguments: Any) -> Any:
        try:
            return callback(*arguments) if callback is not None else None
        except Exception as error:
            self.error = error
            raise
