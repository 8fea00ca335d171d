"""Prometheus metrics of one server."""

from __future__ import annotations

from collections.abc import Callable

import psutil
from prometheus_client import CollectorRegistry, Counter, Gauge, Summary, generate_latest

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")
NAMESPACE = "groundbrush"


class Metrics:
    """Counters and gauges in a registry of their own, safe from any thread.

    >>> metrics = Metrics()
    >>> metrics.job_ended("edit", "done", seconds=2.0)
    >>> b'groundbrush_job_seconds_sum{action="edit"} 2.0' in metrics.text()
    True
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        common = {"namespace": NAMESPACE, "registry": self.registry}
        labels = ("method", "route", "status")
        self._requests = Counter("http_requests", "Requests answered.", labels, **common)
        self._jobs = Counter("jobs", "Jobs that ended.", ("action", "state"), **common)
        refused = Counter("jobs_refused", "Jobs not taken.", ("reason",), **common)
        self.queue_full = refused.labels("queue_full")  # shown as 0 before the first
        self._seconds = Summary("job_seconds", "How long jobs ran.", ("action",), **common)
        process = psutil.Process()
        self.gauge("resident_bytes", "Memory of this process.", lambda: process.memory_info().rss)

    def gauge(self, name: str, help: str, value: Callable[[], float]) -> None:
        """Add a gauge that is measured when the metrics are read."""
        gauge = Gauge(name, help, namespace=NAMESPACE, registry=self.registry)
        gauge.set_function(value)

    def request(self, method: str, route: str, status: int) -> None:
        """Count a request; methods that HTTP does not know are counted as one."""
        self._requests.labels(method if method in METHODS else "other", route, status).inc()

    def job_ended(self, action: str, state: str, seconds: float | None) -> None:
        """Count a job that ended; `seconds` is None if it never ran."""
        self._jobs.labels(action, state).inc()
        if seconds is not None:
            self._seconds.labels(action).observe(seconds)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
