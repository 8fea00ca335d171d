"""One worker thread for many clients, in turns, with progress and cancelling.

It knows neither browsers nor HTTP: an owner is a string that distinguishes clients.

>>> queue = JobQueue()
>>> job = queue.submit("ann", lambda callbacks: 6 * 7)
>>> job.wait(10), job.state, job.value()
(True, 'done', 42)
>>> queue.close()
"""

from __future__ import annotations

import math
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from itertools import zip_longest
from typing import Any

import numpy as np

from ..editor.editing.pipeline import Callbacks
from ..editor.errors import GroundbrushError, one_line

END_STATES = ("done", "failed", "cancelled")
MAX_WAITING = 32
MAX_PER_OWNER = 4
OWNER_TIMEOUT = 10.0
"""Seconds an owner may be gone before its jobs are stopped: a page may be reloading."""

Work = Callable[[Callbacks], Any]
IsAlive = Callable[[], bool]


class JobCancelled(GroundbrushError):
    """The job was stopped on request; nothing was changed."""


class Job:
    """Queued work and its progress. Made by `JobQueue.submit`; read from any thread.

    Attributes
    ----------
    state : One of `STATES`.
    step, total : Denoising steps done and to do; 0, 0 before the first.
    painting : Number of the present painting, from 1: each variant, retry and plan step is one.
    preview : ``(H, W, 3)`` uint8, the picture so far, or None.
    """

    def __init__(
        self,
        owner: str,
        work: Work,
        is_alive: IsAlive | None,
        clock: Callable[[], float],
        seconds: float = math.inf,
    ) -> None:
        self.owner, self.state = owner, "waiting"
        self.step = self.total = self.painting = 0
        self.preview: np.ndarray | None = None
        self._work: Work | None = work
        self._is_alive, self._clock, self._last_alive = is_alive, clock, clock()
        self._latest = self._last_alive  # when the last step was done
        self._stop, self._end = threading.Event(), threading.Event()
        self._seconds, self._deadline, self._late = seconds, math.inf, False
        self._result: Any = None
        self._begun: tuple[float, int] | None = None  # time and step of this painting's first
        self._failure: str | None = None  # not the error: its traceback would keep every picture

    @property
    def over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.state in END_STATES  # not the event, which is set a moment later

    @property
    def seconds_a_step(self) -> float | None:
        """Seconds that a step of this painting takes; None before the second."""
        if self._begun is None or self.step <= self._begun[1]:
            return None
        return (self._latest - self._begun[0]) / (self.step - self._begun[1])

    @property
    def seconds_left(self) -> float | None:
        """Seconds until this painting is done, as its steps so far suggest; None before that."""
        pace = self.seconds_a_step
        since = self._clock() - self._latest
        return None if pace is None else max(0.0, pace * (self.total - self.step) - since)

    @property
    def stopping(self) -> bool:
        """Whether it was cancelled and still runs."""
        return self._stop.is_set() and not self.over

    def cancel(self) -> None:
        """Stop it: at once while it waits, after the present step or part while it runs."""
        self._stop.set()

    def wait(self, seconds: float | None = None) -> bool:
        """Wait until it is over, at most so long; returns whether it is."""
        return self._end.wait(seconds)

    def value(self) -> Any:
        """What the work returned.

        Raises GroundbrushError: the error of the work, in one line; `JobCancelled` if it was
        stopped; also while it is not over.
        """
        if not self.over:
            raise GroundbrushError(f"the work is {self.state}; wait() for it first")
        if self.state == "cancelled":
            raise JobCancelled("stopped on request; the picture is unchanged")
        if self._failure is not None:
            raise GroundbrushError(self._failure)
        return self._result

    def stopped(self) -> bool:
        """Whether it has to stop: cancelled, its owner is gone, or its time is over."""
        if self._clock() > self._deadline and not self._stop.is_set():
            self._late = True
            self._stop.set()
        if self._is_alive is not None:
            now = self._clock()
            if self._is_alive():
                self._last_alive = now
            elif now - self._last_alive > OWNER_TIMEOUT:
                self._stop.set()
        return self._stop.is_set()

    def run(self) -> None:
        """Do the work in the calling thread; `JobQueue` calls it."""
        if self.stopped():
            self.finish("cancelled")
            return
        self.state, self._deadline = "running", self._clock() + self._seconds
        assert self._work is not None
        try:
            callbacks = Callbacks(self._on_step, self.stopped, self._on_preview)
            with callbacks.watched():
                self._result = self._work(callbacks)
        except BaseException as error:  # noqa: BLE001 - the worker must outlive every failure
            self._failure = _message(error)
            if self._late:
                self._failure = (
                    f"the work took longer than {self._seconds:g} seconds and was stopped; allow "
                    "it more time, or request less: a smaller picture, fewer variants or steps"
                )
            _clear_frames(error)
            stopped = self._stop.is_set() and not self._late
            self.finish("cancelled" if stopped else "failed")
        else:
            self.finish("done")

    def finish(self, state: str) -> None:
        """Set the last state and release everything but the result."""
        self.preview = self._work = None
        self.state = state  # set after the result, since other threads read it at any time
        self._end.set()

    def _on_step(self, step: int, total: int) -> None:
        self._latest = self._clock()
        if step <= self.step or not self.painting:
            self.painting += 1
            self._begun = (self._latest, step)
        self.step, self.total = step, total

    def _on_preview(self, step: int, total: int, image: np.ndarray) -> None:
        self.preview = image


def _message(error: BaseException) -> str:
    if isinstance(error, GroundbrushError):
        return str(error)
    return f"the work failed: {type(error).__name__}: {one_line(error)}"


def _clear_frames(error: BaseException) -> None:
    """Release the local variables of every frame that an error and its causes came through.

    An error that a frame refers to forms a cycle with its traceback: the pictures in these frames
    would stay until the garbage collector runs.
    """
    chain, seen = [error], set()
    while chain:
        one = chain.pop()
        if id(one) not in seen:
            seen.add(id(one))
            traceback.clear_frames(one.__traceback__)
            chain += filter(None, (one.__cause__, one.__context__))


class JobQueue:
    """Jobs for one worker thread; owners take turns, one job each.

    Parameters
    ----------
    max_waiting : Most jobs that wait; further ones are refused.
    max_per_owner : The same for each owner.
    clock : Monotonic seconds.
    """

    def __init__(
        self,
        max_waiting: int = MAX_WAITING,
        max_per_owner: int = MAX_PER_OWNER,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._max_waiting, self._max_per_owner, self._clock = max_waiting, max_per_owner, clock
        self._waiting: dict[str, deque[Job]] = {}  # by owner; its keys are in the order of turns
        self._changed = threading.Condition()
        self._running: Job | None = None
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(
        self, owner: str, work: Work, is_alive: IsAlive | None = None, seconds: float = math.inf
    ) -> Job:
        """Add a job.

        Raises GroundbrushError if too many jobs wait, or the queue is closed.

        Parameters
        ----------
        owner : The client that takes a turn.
        work : Called in the worker thread with `editor.editing.pipeline.Callbacks` to pass on.
        is_alive : Called now and then, from any thread: whether the owner still waits for the job.
        seconds : The longest that it may run; it then fails within a step.
        """
        with self._changed:
            self._drop_stopped()
            waiting = sum(map(len, self._waiting.values()))
            own = len(self._waiting.get(owner, ()))
            if self._closed:
                raise GroundbrushError("the editor is closing; start it again")
            if waiting >= self._max_waiting or own >= self._max_per_owner:
                many = f"{own} of yours" if own >= self._max_per_owner else f"{waiting} others"
                raise GroundbrushError(f"{many} are already waiting; try again when some are done")
            job = Job(owner, work, is_alive, self._clock, seconds)
            self._waiting.setdefault(owner, deque()).append(job)
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, daemon=True, name="painter")
                self._thread.start()
            self._changed.notify()
        return job

    def place(self, job: Job) -> int:
        """Number of jobs served before this one: 0 if it runs or is over."""
        with self._changed:
            self._drop_stopped()
            order = self._in_order()
            return order.index(job) + (self._running is not None) if job in order else 0

    @property
    def idle(self) -> bool:
        """Whether nothing runs or waits."""
        with self._changed:
            self._drop_stopped()
            return self._running is None and not self._waiting

    def others_wait(self, owner: str) -> bool:
        """Whether jobs of another owner are waiting."""
        with self._changed:
            return any(name != owner for name in self._waiting)

    def close(self) -> None:
        """Stop all jobs and end the thread."""
        with self._changed:
            self._closed = True
            for job in (*self._in_order(), *filter(None, [self._running])):
                job.cancel()
            self._drop_stopped()
            self._changed.notify_all()

    def _in_order(self) -> list[Job]:
        """The waiting jobs as they will be served: each owner's first, then each one's second."""
        rounds = zip_longest(*self._waiting.values())
        return [job for turn in rounds for job in turn if job is not None]

    def _drop_stopped(self) -> None:
        for owner, jobs in list(self._waiting.items()):
            for job in [job for job in jobs if job.stopped()]:
                jobs.remove(job)
                job.finish("cancelled")
            if not jobs:
                del self._waiting[owner]

    def _next(self) -> Job | None:
        """Wait for a job; its owner becomes the last in turn. None if closed."""
        with self._changed:
            while True:
                self._drop_stopped()
                if self._waiting:
                    owner = next(iter(self._waiting))
                    jobs = self._waiting.pop(owner)
                    self._running = jobs.popleft()
                    if jobs:
                        self._waiting[owner] = jobs
                    return self._running
                if self._closed:
                    return None
                self._changed.wait()

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            job.run()
            del job  # while it waits for the next one it would keep this one's result
            with self._changed:
                self._running = None
