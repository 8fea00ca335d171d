"""The progress of a batch, and printing it."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TextIO


@dataclass(frozen=True)
class BatchProgress:
    """The progress of one stage of a run.

    Attributes
    ----------
    stage
        ``finding`` or ``painting``; ``checking`` in a dry run.
    done, total
        Of this stage in this run.
    seconds
        Since the stage began, including the loading of its models.
    counts
        Rows that this run finished, by status.
    """

    stage: str
    done: int
    total: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)

    @property
    def rate(self) -> float:
        """Done per second."""
        return self.done / self.seconds if self.seconds > 0 else 0.0

    @property
    def left(self) -> float:
        """Seconds left in this stage at this rate."""
        return (self.total - self.done) / self.rate if self.rate > 0 else 0.0

    def __str__(self) -> str:
        """One line for people.

        Examples
        --------
        >>> print(BatchProgress("painting", 12, 40, 240.0, {"done": 11, "failed": 1}))
        painting 12 of 40, 3.0 a minute, 9 min 20 s left; 1 failed
        """
        minutely = self.rate * 60
        rate = f"{minutely:.1f} a minute" if minutely < 120 else f"{self.rate:.1f} a second"
        others = [f"{n} {status}" for status, n in sorted(self.counts.items()) if status != "done"]
        more = f"; {', '.join(others)}" if others else ""
        left = _duration(self.left)
        return f"{self.stage} {self.done} of {self.total}, {rate}, {left} left{more}"


OnBatchProgress = Callable[[BatchProgress], None]


class ProgressPrinter:
    """Prints progress on one line of a terminal, or as a line now and then in a log.

    Parameters
    ----------
    stream
        stderr by default.
    every
        Seconds between two lines of a log; a terminal is updated at most five times a second.
    clock
        Gives seconds.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        every: float = 30.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._terminal = self._stream.isatty()
        self._every, self._clock = (0.2 if self._terminal else every), clock
        self._last: tuple[str, float] = ("", 0.0)
        self._width = 0

    def __call__(self, progress: BatchProgress) -> None:
        """Print it, unless the last line is too recent."""
        now, last = self._clock(), progress.done == progress.total
        if not last and self._last[0] == progress.stage and now - self._last[1] < self._every:
            return
        self._last = (progress.stage, now)
        words = str(progress)
        if self._terminal:
            pad = " " * max(0, self._width - len(words))
            self._stream.write(f"\r{words}{pad}" + "\n" * last)
            self._width = 0 if last else len(words)
        else:
            self._stream.write(f"{words}\n")
        self._stream.flush()


def _duration(seconds: float) -> str:
    """A duration in its two largest units."""
    total = round(seconds)
    hours, minutes, rest = total // 3600, total // 60 % 60, total % 60
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
