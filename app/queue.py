"""Many people, one model: a worker thread, a fair line, and the wish to stop.

It knows nothing of browsers: whoever asks for work gives it a name to be told apart by, and may say
whether he is still there.

>>> jobs = Jobs()
>>> job = jobs.submit("ann", lambda callbacks: 6 * 7)
>>> job.wait(10), job.state, job.value()
(True, 'done', 42)
>>> jobs.close()
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from ..editor.editing.pipeline import Callbacks
from ..editor.errors import GroundbrushError, one_line

ENDS = ("done", "failed", "cancelled")
STATES = ("waiting", "running", *ENDS)
MAX_WAITING = 32
MAX_EACH = 4
PATIENCE = 10.0
"""Seconds for which someone may be gone before his work is stopped: a page may be reloading."""

Work = Callable[[Callbacks], Any]
Alive = Callable[[], bool]


class JobCancelled(GroundbrushError):
    """The work was stopped on request; nothing was changed."""


class Job:
    """One piece of work and how far it is. Made by `Jobs.submit`; read from any thread.

    Attributes
    ----------
    owner
        Who asked for it.
    state
        One of `STATES`.
    step, total
        Denoising steps done and to do; 0, 0 before the first.
    painting
        Which painting that is, from 1: variants, retries and a plan's steps are one each.
    preview
        ``(H, W, 3)`` uint8 of the picture as it would be now, or None.
    """

    def __init__(
        self, owner: str, work: Work, alive: Alive | None, clock: Callable[[], float]
    ) -> None:
        self.owner, self.state = owner, "waiting"
        self.step = self.total = self.painting = 0
        self.preview: np.ndarray | None = None
        self._work, self._alive, self._clock = work, alive, clock
        self._seen: float = clock()
        self._stop, self._over = threading.Event(), threading.Event()
        self._result: Any = None
        self._error: BaseException | None = None

    @property
    def over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in ENDS  # not the event, which is set a moment later

    @property
    def stopping(self) -> bool:
        """Whether it is to stop and has not yet."""
        return self._stop.is_set() and not self.over

    def cancel(self) -> None:
        """Stop it: at once where it waits, after the present step where it runs."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over, at most so long; tells whether it is."""
        return self._over.wait(seconds)

    def value(self) -> Any:
        """What the work gave.

        Raises
        ------
        GroundbrushError
            What the work raised, in one line; `JobCancelled` where it was stopped, and also where
            it is not over yet.
        """
        if not self.over:
            raise GroundbrushError(f"the work is {self.state}; wait() for it first")
        if self.state == "cancelled":
            raise JobCancelled("stopped on request; the picture is unchanged")
        if isinstance(self._error, GroundbrushError):
            raise self._error
        if self._error is not None:
            raise GroundbrushError(
                f"the work failed: {type(self._error).__name__}: {one_line(self._error)}"
            ) from self._error
        return self._result

    def stopped(self) -> bool:
        """Whether it is to stop: on request, or because nobody waits for it any more."""
        if self._alive is not None:
            now = self._clock()
            if self._alive():
                self._seen = now
            elif now - self._seen > PATIENCE:
                self._stop.set()
        return self._stop.is_set()

    def run(self) -> None:
        """Do the work in the calling thread; `Jobs` calls it."""
        if self.stopped():
            self.finish("cancelled")
            return
        self.state = "running"
        try:
            self._result = self._work(Callbacks(self._on_step, self.stopped, self._on_preview))
        except BaseException as error:  # noqa: BLE001 - the worker must outlive every failure
            self._error = error
            self.finish("cancelled" if self._stop.is_set() else "failed")
        else:
            self.finish("done")

    def finish(self, state: str) -> None:
        """Set the last state and let those go who wait."""
        self.preview = None
        self.state = state  # what value() gives is there by now: others look at any time
        self._over.set()

    def _on_step(self, step: int, total: int) -> None:
        self.painting += step <= self.step or not self.painting
        self.step, self.total = step, total

    def _on_preview(self, step: int, total: int, image: np.ndarray) -> None:
        self.preview = image


class Jobs:
    """A line of work for one worker thread, in turns by owner.

    Whoever asks for many things is served one of them, then everyone else one of theirs.

    Parameters
    ----------
    max_waiting
        Longest line; further work is refused in words.
    max_each
        Most that one owner may have waiting.
    clock
        Seconds that only grow; a test's own.
    """

    def __init__(
        self,
        max_waiting: int = MAX_WAITING,
        max_each: int = MAX_EACH,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_waiting, self._max_each, self._clock = max_waiting, max_each, clock
        self._lines: dict[str, deque[Job]] = {}  # the order of its keys is the order of turns
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, owner: str, work: Work, alive: Alive | None = None) -> Job:
        """Put work in line.

        Parameters
        ----------
        owner
            Whose turn it takes.
        work
            Called in the worker thread with `editor.editing.pipeline.Callbacks` to pass on.
        alive
            Asked now and then, from the worker thread, whether the owner is still there.

        Raises
        ------
        GroundbrushError
            When the line is full.
        """
        with self._changed:
            self._drop_stopped()
            waiting = sum(map(len, self._lines.values()))
            mine = len(self._lines.get(owner, ()))
            if self._closed:
                raise GroundbrushError("the editor is closing; start it again")
            if waiting >= self._max_waiting or mine >= self._max_each:
                many = f"{mine} of yours" if mine >= self._max_each else f"{waiting} others"
                raise GroundbrushError(f"{many} are already waiting; try again when some are done")
            job = Job(owner, work, alive, self._clock)
            self._lines.setdefault(owner, deque()).append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True, name="painter")
                self._thread.start()
            self._changed.notify()
        return job

    def place(self, job: Job) -> int:
        """How many are served before a job: 0 where it runs or is over."""
        with self._changed:
            self._drop_stopped()
            for number, other in enumerate(self._order(), 1 if self._running else 0):
                if other is job:
                    return number
        return 0

    def cancel_all(self, owner: str) -> None:
        """Stop everything of one owner."""
        with self._changed:
            for job in (*self._lines.get(owner, ()), *([self._running] if self._running else ())):
                if job.owner == owner:
                    job.cancel()
            self._drop_stopped()

    def close(self) -> None:
        """Stop everything and end the thread."""
        with self._changed:
            self._closed = True
            for job in [*self._order(), *([self._running] if self._running else [])]:
                job.cancel()
            self._drop_stopped()
            self._changed.notify_all()

    def _order(self) -> list[Job]:
        """Everyone in line as they will be served: each owner's first, then each one's second."""
        lines = [list(line) for line in self._lines.values()]
        return [
            line[k]
            for k in range(max(map(len, lines), default=0))
            for line in lines
            if k < len(line)
        ]

    def _drop_stopped(self) -> None:
        for owner, line in list(self._lines.items()):
            for job in [j for j in line if j.stopped()]:
                line.remove(job)
                job.finish("cancelled")
            if not line:
                del self._lines[owner]

    def _next(self) -> Job | None:
        """Wait for work; whoever is served goes to the end of the turns. None when closed."""
        with self._changed:
            while True:
                self._drop_stopped()
                if self._lines:
                    owner = next(iter(self._lines))
                    line = self._lines.pop(owner)
                    self._running = line.popleft()
                    if line:
                        self._lines[owner] = line
                    return self._running
                if self._closed:
                    return None
                self._changed.wait()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            with self._changed:
                self._running = None
