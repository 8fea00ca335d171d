"""Progress to the caller, and his wish to stop back to the model."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from inpaint.errors import Cancelled

OnStep = Callable[[int, int], None]
CancelledBy = Callable[[], bool] | threading.Event


class Watch:
    """Forward steps to `on_step`, and ask `cancelled` before and after each.

    Parameters
    ----------
    on_step : callable, optional
        ``on_step(step, total)``, 1-based.
    cancelled : callable or threading.Event, optional
        Returns True, or is set, when the caller wants to stop.
    """

    def __init__(self, on_step: OnStep | None, cancelled: CancelledBy | None) -> None:
        self._on_step = on_step
        if isinstance(cancelled, threading.Event):
            cancelled = cancelled.is_set
        self._cancelled = cancelled
        self.error: BaseException | None = None

    def check(self) -> None:
        """Raise Cancelled if the caller wants to stop."""
        if self._ask(self._cancelled):
            raise Cancelled("Stopped on request; the picture is unchanged.")

    def on_step_end(self, pipe: Any, index: int, _time: Any, _tensors: Any) -> dict[str, Any]:
        """diffusers' callback. Setting `pipe._interrupt` would still decode; raising does not."""
        self.check()
        self._ask(self._on_step, index + 1, pipe.num_timesteps)
        self.check()
        return {}

    def _ask(self, callback: Callable[..., Any] | None, *arguments: int) -> Any:
        """Call the caller's function, remembering its error as his, not the model's."""
        try:
            return callback(*arguments) if callback is not None else None
        except Exception as error:
            self.error = error
            raise
