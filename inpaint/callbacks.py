"""Progress, preview and cancellation callbacks of one painting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import Cancelled

OnStep = Callable[[int, int], None]
OnPreview = Callable[[int, int, np.ndarray], None]
CancelledBy = Callable[[], bool] | threading.Event
PREVIEWS = 4
"""About how many previews a painting gives."""


class Progress:
    """Forward a pipeline's steps to the caller, and check for cancellation around each.

    Parameters
    ----------
    on_step : callable, optional
        ``on_step(step, total)``, 1-based.
    cancelled : callable or threading.Event, optional
        Returns True, or is set, to stop.
    on_preview : callable, optional
        ``on_preview(step, total, canvas)`` with an ``(h, w, 3)`` uint8 canvas.

    Attributes
    ----------
    decode : callable, optional
        Latents to canvas; previews need it.
    error : Exception, optional
        Raised by a callback, not by the model.
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
