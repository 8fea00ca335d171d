"""The progress of a batch, and a progress bar for it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO, cast


@dataclass(frozen=True)
class BatchProgress:
    """The progress of one stage of a run: ``finding``, ``painting``, or ``checking`` (a dry run).

    `seconds` include the loading of models; `counts` are rows that this run finished, by status.
    """

    stage: str
    done: int
    total: int
    seconds: float
    counts: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for people.

        >>> print(BatchProgress("painting", 12, 40, 240.0, {"done": 11, "failed": 1}))
        painting 12 of 40, 3.0 a minute, 9 min 20 s left; 1 failed
        """
        rate = self.done / self.seconds if self.seconds > 0 else 0.0
        seconds = round((self.total - self.done) / rate) if rate > 0 else 0
        minutes, hours = seconds // 60 % 60, seconds // 3600
        if hours:
            left = f"{hours} h {minutes} min"
        else:
            left = f"{minutes} min {seconds % 60} s" if minutes else f"{seconds} s"
        speed = f"{rate * 60:.1f} a minute" if rate < 2 else f"{rate:.1f} a second"
        others = [f"{n} {status}" for status, n in sorted(self.counts.items()) if status != "done"]
        more = f"; {', '.join(others)}" if others else ""
        return f"{self.stage} {self.done} of {self.total}, {speed}, {left} left{more}"


OnBatchProgress = Callable[[BatchProgress], None]


class BatchProgressBar:
    """Shows progress on one line of a terminal, or `every` so many seconds in a log."""

    def __init__(self, stream: TextIO | None = None, every: float = 30.0) -> None:
        self._stream = stream or sys.stderr
        self._every = 0.2 if self._stream.isatty() else every
        self._stage, self._bar = "", cast(Any, None)

    def __call__(self, progress: BatchProgress) -> None:
        """Show it, unless the line was written a moment ago."""
        from tqdm import tqdm

        if progress.stage != self._stage:
            options = {"total": progress.total, "bar_format": "{desc}", "desc": str(progress)}
            self._bar = tqdm(file=self._stream, mininterval=self._every, miniters=1, **options)
            self._stage = progress.stage
        self._bar.set_description_str(str(progress), refresh=False)
        self._bar.update(progress.done - self._bar.n)
        if progress.done == progress.total:
            self._bar.close()
            self._stage = ""
