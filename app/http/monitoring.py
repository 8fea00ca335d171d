"""Counters in Prometheus' text form; no library, three kinds of lines."""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path

METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_HELP = {
    "http_requests_total": "Requests answered.",
    "jobs_total": "Jobs that ended.",
    "jobs_refused_total": "Jobs not taken.",
    "job_seconds": "How long jobs ran.",
}


class Metrics:
    """Counts from any thread.

    Examples
    --------
    >>> metrics = Metrics()
    >>> metrics.count("jobs_total", action="edit", state="done")
    >>> metrics.render({}).splitlines()[-1]
    'groundbrush_jobs_total{action="edit",state="done"} 1'
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[str, Counter[tuple[tuple[str, str], ...]]] = defaultdict(Counter)
        self._seconds: dict[str, list[float]] = {}

    def count(self, name: str, **labels: str) -> None:
        """One more."""
        with self._lock:
            self._counts[name][tuple(labels.items())] += 1

    def request(self, method: str, route: str, status: int) -> None:
        """One more request; methods that nobody uses are counted as one."""
        method = method if method in METHODS else "other"
        self.count("http_requests_total", method=method, route=route, status=str(status))

    def ran(self, action: str, seconds: float) -> None:
        """A job ran for so long."""
        with self._lock:
            kept = self._seconds.setdefault(action, [0.0, 0.0])
            kept[0] += 1
            kept[1] += seconds

    def mean_seconds(self) -> float:
        """Of all jobs; a second before the first."""
        with self._lock:
            times = sum(n for n, _ in self._seconds.values())
            return sum(s for _, s in self._seconds.values()) / times if times else 1.0

    def render(self, gauges: Mapping[str, tuple[str, float]]) -> str:
        """Everything, and the present values of `gauges`: a help text and a value by name."""
        lines: list[str] = []
        for name, (words, value) in gauges.items():
            lines += [*_head(name, words, "gauge"), f"groundbrush_{name} {value:g}"]
        with self._lock:
            if self._seconds:
                lines += _head("job_seconds", _HELP["job_seconds"], "summary")
            for action, (times, total) in sorted(self._seconds.items()):
                label = f'{{action="{action}"}}'
                lines += [
                    f"groundbrush_job_seconds_count{label} {times:g}",
                    f"groundbrush_job_seconds_sum{label} {total:g}",
                ]
            for name, by_label in sorted(self._counts.items()):
                lines += _head(name, _HELP[name], "counter")
                for labels, number in sorted(by_label.items()):
                    inner = ",".join(f'{key}="{_escaped(value)}"' for key, value in labels)
                    lines.append(f"groundbrush_{name}{{{inner}}} {number}")
        return "\n".join(lines) + "\n"


def resident_bytes() -> int:
    """Memory this process takes; 0 where the system does not say."""
    try:
        import os

        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError, AttributeError):
        return 0


def _head(name: str, words: str, kind: str) -> list[str]:
    return [f"# HELP groundbrush_{name} {words}", f"# TYPE groundbrush_{name} {kind}"]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
