"""Progress to the caller, and his wish to stop back to the model."""

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


class Watch:
    """Forward steps to `on_step`, and ask `cancelled` before and after each.

    Parameters
    ----------
    on_step : callable, optional
        ``on_step(step, total)``, 1-based.
    cancelled : callable or threading.Event, optional
        Returns True, or is set, when the caller wants to stop.
    on_preview : callable, optional
        ``on_preview(step, total, canvas)`` with an ``(h, w, 3)`` uint8 canvas, about `PREVIEWS`
        times while painting.
    """

    def __init__(
        self,
        on_step: OnStep | None,
        cancelled: CancelledBy | None,
        on_preview: OnPreview | None = None,
    ) -> None:
        self._on_step, self._on_preview = on_step, on_preview
        self.look: Callable[[Any], np.ndarray] | None = None
        if isinstance(cancelled, threading.Event):
            cancelled = cancelled.is_set
        self._cancelled = cancelled
        self.error: BaseException | None = None

    def check(self) -> None:
        """Raise Cancelled if the caller wants to stop."""
        if self._ask(self._cancelled):
            raise Cancelled("Stopped on request; the picture is unchanged.")

    def on_step_end(self, pipe: Any, index: int, _time: Any, tensors: Any) -> dict[str, Any]:
        """diffusers' callback. Setting `pipe._interrupt` would still decode; raising does not."""
        step, total = index + 1, pipe.num_timesteps
        self.check()
        self._ask(self._on_step, step, total)
        due = step < total and step % max(1, total // (PREVIEWS + 1)) == 0
        if due and self._on_preview is not None and self.look is not None:
            self._ask(self._on_preview, step, total, self.look(tensors["latents"]))
        self.check()
        return {}

    def _ask(self, callback: Callable[..., Any] | None, *arguments: Any) -> Any:
        """Call the caller's function, remembering its error as his, not the model's."""
        try:
            return callback(*arguments) if callback is not None else None
        except Exception as error:
            self.error = error
            raise
