"""Queues jobs, keeps their results for a while, and closes in order.

Each job has a directory for its inputs, then its results; memory holds only plain values.
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from ...editor.api import Editor
from ...editor.editing.pipeline import Callbacks
from ...editor.errors import GroundbrushError
from ..queue import END_STATES, Job, JobCancelled, JobQueue
from .actions import JobSpec, run_job
from .errors import ApiError
from .metrics import Metrics
from .schema import ErrorInfo, JobResult, JobStatus, ResultFile
from .settings import ServeSettings
from .stored_images import StoredImage

LOG = logging.getLogger("groundbrush.serve")
MEDIA_TYPES = {".png": "image/png", ".json": "application/json"}


@dataclass(eq=False)
class JobRecord:
    """A job with its directory and times; `fetched` once its end was sent to a client.

    `asked` is the digest of the request, to compare repeated requests with the same `key`.
    """

    id: str
    action: str
    folder: Path
    created: float
    job: Job = field(init=False)
    started: float | None = None
    finished: float | None = None
    settled: bool = False
    fetched: bool = False
    size: int = 0
    key: str | None = None
    asked: str = ""
    webhooks: set[str] = field(default_factory=set)

    @property
    def state(self) -> str:
        """One of `app.queue.STATES`."""
        return self.job.state

    @property
    def over(self) -> bool:
        """Whether it is done, failed or cancelled."""
        return self.job.over


class JobStore:
    """All jobs of one server.

    Parameters
    ----------
    editor : Used by the worker thread only.
    settings : How much is taken and kept.
    clock : Seconds since 1970.
    """

    def __init__(
        self, editor: Editor, settings: ServeSettings, clock: Callable[[], float] = time.time
    ) -> None:
        self.editor, self.settings, self.metrics = editor, settings, Metrics()
        self.closing = False
        self._clock, self._lock = clock, threading.RLock()
        self._queue = JobQueue(settings.queue, settings.queue_each)
        self._records: dict[str, JobRecord] = {}
        self._awaited: list[JobRecord] = []
        self._ran = 0, 0.0  # number of jobs, and their seconds
        self._spool = tempfile.TemporaryDirectory(
            prefix="groundbrush-serve-", ignore_cleanup_errors=True
        )
        for name, help, state in (
            ("jobs_waiting", "Jobs that wait.", "waiting"),
            ("jobs_running", "Jobs at work.", "running"),
            ("results_kept", "Results that can be fetched.", "done"),
        ):
            self.metrics.gauge(name, help, lambda state=state: self.counts()[state])
        size = lambda: sum(record.size for record in list(self._records.values()))  # noqa: E731
        self.metrics.gauge("results_bytes", "Disk that results take.", size)

    def new_folder(self) -> Path:
        """A new directory for a job; its name becomes the job's id."""
        folder = Path(self._spool.name) / secrets.token_urlsafe(12)
        folder.mkdir()
        return folder

    def check_capacity(self) -> None:
        """Raise `ApiError` 429 if the queue is full, 503 if the server is closing."""
        if self.closing:
            raise ApiError(
                503,
                "closing",
                "the server is closing; repeat the request when it is back",
                {"Retry-After": str(max(1, round(self.settings.grace)))},
            )
        if self.counts()["waiting"] >= self.settings.queue:
            raise self._queue_full(f"{self.settings.queue} others are already waiting")

    def known(
        self, owner: str, action: str, key: str | None, asked: str | None = None
    ) -> JobRecord | None:
        """The job that an owner submitted under an Idempotency-Key; None if there is none.

        Raises `ApiError` 422 if its action or its digest `asked` differs.
        """
        for record in self.jobs(owner) if key else ():
            if record.key == key:
                if record.action != action or asked not in (None, record.asked):
                    message = "the key was used for another request; expected a new one"
                    raise ApiError(422, "unprocessable", message)
                return record
        return None

    def jobs(self, owner: str) -> list[JobRecord]:
        """All jobs of an owner, the newest first."""
        with self._lock:
            records = [r for r in self._records.values() if r.job.owner == owner]
        return sorted(records, key=lambda record: record.created, reverse=True)

    def submit(
        self,
        owner: str,
        spec: JobSpec,
        folder: Path,
        image: StoredImage,
        key: str | None = None,
        seconds: float | None = None,
    ) -> JobRecord:
        """Queue a job, or return the one under the same key; raises as `check_capacity`.

        `seconds` is the longest that it may run, within the server's own limit.
        """
        asked = hashlib.sha256(spec.body.model_dump_json().encode()).hexdigest()
        record = JobRecord(folder.name, spec.action, folder, self._clock(), key=key, asked=asked)
        most = self.settings.job_seconds
        seconds = most if seconds is None else min(seconds, most)

        def work(callbacks: Callbacks) -> JobResult:
            return self._run(record, spec, image, callbacks)

        with self._lock:
            if (same := self.known(owner, spec.action, key, asked)) is not None:
                shutil.rmtree(folder, ignore_errors=True)
                return same
            self.check_capacity()
            try:
                record.job = self._queue.submit(owner, work, seconds=seconds)
            except GroundbrushError as error:
                raise self._queue_full(str(error)) from None
            self._records[record.id] = record
        self.sweep()
        return record

    def _queue_full(self, reason: str) -> ApiError:
        self.metrics.queue_full.inc()
        jobs, total = self._ran
        mean = total / jobs if jobs else 1.0
        seconds = mean * max(1, self.counts()["waiting"]) / 2
        headers = {"Retry-After": str(min(120, max(1, round(seconds))))}
        message = f"{reason.partition(';')[0]}; try again later"
        return ApiError(429, "queue_full", message, headers)

    def _run(
        self, record: JobRecord, spec: JobSpec, image: StoredImage, callbacks: Callbacks
    ) -> JobResult:
        """Decode, edit, and leave only the result's files. Runs in the worker thread."""
        with self._lock:  # `submit` holds it until the record has its job
            job = record.job
        record.started = self._clock()
        out = record.folder / "out"
        out.mkdir()
        try:
            picture = image.open(self.settings.max_pixels)
            result = run_job(self.editor, spec, picture, out, callbacks)
            if job.stopped():  # work without steps ran to its end
                raise JobCancelled("stopped on request")
            result.files = [_result_file(record, path) for path in sorted(out.iterdir())]
            return result
        except GroundbrushError:
            raise
        except Exception as error:
            if job.stopped():
                raise
            LOG.exception("job %s failed", record.id)
            raise GroundbrushError(
                f"the server failed ({type(error).__name__}); its log says more under {record.id}"
            ) from error
        finally:
            record.finished = self._clock()
            image.file.unlink(missing_ok=True)

    def get(self, id: str) -> JobRecord:
        """A job by its id; `ApiError` 404 if there is none."""
        self.sweep()
        with self._lock:
            record = self._records.get(id)
        if record is None:
            message = "there is no such job; its result may have been removed since: they are kept "
            raise ApiError(404, "no_job", f"{message}for a while only")
        return record

    def status(self, record: JobRecord) -> JobStatus:
        """The job as clients see it."""
        job = record.job
        state = job.state  # read once, since it may change
        result = error = None
        if state in END_STATES:
            self._settle(record)
            record.fetched = True
            try:
                result = job.value()
            except GroundbrushError as failure:
                code = "cancelled" if state == "cancelled" else "failed"
                error = ErrorInfo(code=code, message=str(failure))
        return JobStatus(
            id=record.id,
            action=record.action,
            state=state,  # type: ignore[arg-type]
            place=self._queue.place(job),
            step=job.step,
            total=job.total,
            created=record.created,
            started=record.started,
            finished=record.finished if state in END_STATES else None,
            error=error,
            result=result,
        )

    def file(self, record: JobRecord, name: str) -> tuple[Path, ResultFile]:
        """A result's file; `ApiError` 409 before the job is over, 404 if there is none."""
        if not record.over:
            raise ApiError(
                409, "not_done", f"the job is {record.state}; repeat the request when it is done"
            )
        files = record.job.value().files if record.state == "done" else []
        for file in files:
            if file.name == name:
                return record.folder / "out" / name, file
        names = ", ".join(file.name for file in files) or "none"
        raise ApiError(404, "no_file", f"the job has no such file; it has {names}")

    def cancel(self, record: JobRecord) -> None:
        """Stop a job: at once while it waits, within a step while it runs; remove a result."""
        if record.over:
            with self._lock:
                self._records.pop(record.id, None)
            shutil.rmtree(record.folder, ignore_errors=True)
            return
        record.job.cancel()
        self._queue.place(record.job)  # drops it if it waits

    def counts(self) -> Counter[str]:
        """Number of jobs by state."""
        with self._lock:
            return Counter(record.state for record in self._records.values())

    def sweep(self) -> None:
        """Note jobs that ended; remove results that are too many, too old or too large."""
        with self._lock:
            over = [record for record in self._records.values() if self._settle(record)]
            over.sort(key=lambda record: record.finished or 0.0)
            size, now = sum(record.size for record in over), self._clock()
            removed = []
            for left, record in zip(range(len(over), 0, -1), over, strict=True):
                old = now - (record.finished or now) > self.settings.keep_seconds
                large = size > self.settings.keep_bytes and left > 1
                if not (old or large or left > self.settings.keep):
                    break
                size -= record.size
                removed.append(self._records.pop(record.id))
        for record in removed:
            shutil.rmtree(record.folder, ignore_errors=True)

    def _settle(self, record: JobRecord) -> bool:
        """Record the end of a job, once; returns whether it has ended."""
        job = record.job
        if not job.over:
            return False
        with self._lock:
            if record.settled:
                return True
            record.settled, record.finished = True, record.finished or self._clock()
            if job.state == "done":
                record.size = sum(file.bytes for file in job.value().files)
            else:
                shutil.rmtree(record.folder, ignore_errors=True)
            seconds = None if record.started is None else record.finished - record.started
            if seconds is not None:
                self._ran = self._ran[0] + 1, self._ran[1] + seconds
        self.metrics.job_ended(record.action, job.state, seconds)
        return True

    def drain(self) -> None:
        """Take no more jobs; those already taken continue."""
        with self._lock:
            self.closing = True
            self._awaited = [r for r in self._records.values() if not r.over]

    def drained(self) -> bool:
        """Whether every job that `drain` found has ended and its end was fetched."""
        return all(record.over and record.fetched for record in self._awaited)

    def close(self, seconds: float = 10.0) -> None:
        """Stop all jobs, wait for the worker, and remove all results."""
        self.closing = True
        with self._lock:
            jobs = [record.job for record in self._records.values()]
        self._queue.close()
        deadline = time.monotonic() + seconds
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
        self._spool.cleanup()


def _result_file(record: JobRecord, path: Path) -> ResultFile:
    return ResultFile(
        name=path.name,
        media_type=MEDIA_TYPES[path.suffix],
        bytes=path.stat().st_size,
        href=f"/v1/jobs/{record.id}/files/{path.name}",
    )
