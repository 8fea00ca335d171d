"""Takes jobs, keeps their results for a while, and closes in order. It knows nothing of HTTP.

Everything of a job lies in a folder of its own on the disk: what came in, then what came out. In
memory stay plain values, so that neither a long line nor many results need much of it.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...editor.editing.pipeline import Callbacks
from ...editor.errors import GroundbrushError
from ..queue import END_STATES, Job, JobCancelled, JobQueue
from .monitoring import Metrics
from .refusal import Refusal
from .settings import ServeSettings
from .uploads import Kept
from .work import Order, Outcome, do

if TYPE_CHECKING:
    from ...editor.api import Editor

LOG = logging.getLogger("groundbrush.serve")
MEDIA_TYPES = {".png": "image/png", ".json": "application/json"}
Clock = Callable[[], float]


@dataclass(eq=False)
class Record:
    """A job and what is kept of it."""

    id: str
    action: str
    folder: Path
    created: float
    job: Job | None = None
    started: float | None = None
    finished: float | None = None
    settled: bool = False
    read: bool = False
    size: int = 0

    @property
    def state(self) -> str:
        """One of `app.queue.STATES`."""
        return "waiting" if self.job is None else self.job.state


class Desk:
    """All jobs of one server.

    Parameters
    ----------
    editor
        Used by one thread, the worker's.
    settings
        How much is taken and kept.
    clock
        Seconds since 1970; a test's own.
    """

    def __init__(self, editor: Editor, settings: ServeSettings, clock: Clock = time.time) -> None:
        self.editor, self.settings, self.metrics = editor, settings, Metrics()
        self._clock, self._lock = clock, threading.RLock()
        self._jobs = JobQueue(max_waiting=settings.queue, max_per_owner=settings.queue_each)
        self._records: dict[str, Record] = {}
        self._spool = tempfile.TemporaryDirectory(
            prefix="groundbrush-serve-", ignore_cleanup_errors=True
        )
        self._awaited: list[Record] = []
        self.closing = False

    # ------------------------------------------------------------------ taking

    def folder(self) -> Path:
        """A new folder for a job that may be taken."""
        folder = Path(self._spool.name) / secrets.token_urlsafe(12)
        folder.mkdir()
        return folder

    def check_room(self) -> None:
        """Refuse before a body is read where the line is full or the desk closes."""
        if self.closing:
            raise Refusal(
                503,
                "closing",
                "the server is closing; ask again when it is back",
                {"Retry-After": str(max(1, round(self.settings.grace)))},
            )
        if self.counts()["waiting"] >= self.settings.queue:
            raise self._full(f"{self.settings.queue} others are already waiting")

    def submit(
        self, owner: str, order: Order, folder: Path, image: Kept, mask: Kept | None
    ) -> Record:
        """Put a job in line.

        Raises
        ------
        Refusal
            429 when the line is full, 503 when the desk closes.
        """
        record = Record(folder.name, order.action, folder, self._clock())

        def work(callbacks: Callbacks) -> Outcome:
            return self._work(record, order, image, mask, callbacks)

        with self._lock:
            self.check_room()
            try:
                record.job = self._jobs.submit(owner, work)
            except GroundbrushError as error:
                raise self._full(str(error)) from None
            self._records[record.id] = record
        self.sweep()
        return record

    def _full(self, words: str) -> Refusal:
        self.metrics.count("jobs_refused_total", reason="queue_full")
        seconds = self.metrics.mean_seconds() * max(1, self.counts()["waiting"]) / 2
        after = {"Retry-After": str(min(120, max(1, round(seconds))))}
        return Refusal(429, "queue_full", f"{words.partition(';')[0]}; try again later", after)

    def _work(
        self, record: Record, order: Order, image: Kept, mask: Kept | None, callbacks: Callbacks
    ) -> Outcome:
        """In the worker's thread: decode, do, leave only the result's files."""
        with self._lock:  # held while the job is put in line
            job = record.job
        assert job is not None
        record.started = self._clock()
        try:
            picture = image.open(self.settings)
            marked = None if mask is None else mask.open(self.settings)
            out = record.folder / "out"
            out.mkdir()
            made = do(self.editor, order, picture, marked, out, callbacks)
            if job.stopped():  # what has no steps to stop between came to its end
                raise JobCancelled("stopped on request")
            made["files"] = [_file(out / name) for name in made["files"]]
            return made
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
            for kept in filter(None, (image, mask)):
                kept.file.unlink(missing_ok=True)

    # ------------------------------------------------------------------ asking

    def get(self, id: str) -> Record:
        """A job by its id; Refusal 404 where there is none (any more)."""
        self.sweep()
        with self._lock:
            record = self._records.get(id)
        if record is None:
            raise Refusal(
                404,
                "no_job",
                "there is no such job; its result may have been removed "
                "since: they are kept for a while only",
            )
        return record

    def view(self, record: Record) -> dict[str, Any]:
        """As `app.http.schema.Job`."""
        job = record.job
        assert job is not None
        state = job.state  # looked at once: it may end between two looks
        told: dict[str, Any] = {"error": None, "result": None, "finished": None}
        if state in END_STATES:
            self._settle(record)
            told["finished"], record.read = record.finished, True
        if state == "done":
            told["result"] = {
                **job.value(),
                "files": [
                    {**file, "href": f"/v1/jobs/{record.id}/files/{file['name']}"}
                    for file in job.value()["files"]
                ],
            }
        elif state in END_STATES:
            told["error"] = _error(job)
        return {
            "id": record.id,
            "action": record.action,
            "state": state,
            "place": self._jobs.place(job),
            "step": job.step,
            "total": job.total,
            "created": record.created,
            "started": record.started,
            **told,
        }

    def file(self, record: Record, name: str) -> tuple[Path, dict[str, Any]]:
        """A result's file and what it is; Refusal 409 before the job is done, 404 for others."""
        job = record.job
        if job is None or not job.over:
            raise Refusal(409, "not_done", f"the job is {record.state}; ask again when it is done")
        listed = job.value()["files"] if job.state == "done" else []
        for file in listed:
            if file["name"] == name:
                return record.folder / "out" / name, file
        names = ", ".join(file["name"] for file in listed) or "none"
        raise Refusal(404, "no_file", f"the job has no such file; it has {names}")

    def cancel(self, record: Record) -> None:
        """Stop a job: at once where it waits, within a step where it runs; forget a result."""
        assert record.job is not None
        if record.job.over:
            with self._lock:
                self._records.pop(record.id, None)
            shutil.rmtree(record.folder, ignore_errors=True)
            return
        record.job.cancel()
        self._jobs.place(record.job)  # lets those go that wait

    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        with self._lock:
            records = list(self._records.values())
        found = dict.fromkeys(("waiting", "running", "done", "failed", "cancelled"), 0)
        for record in records:
            found[record.state] += 1
        return found

    def metrics_text(self) -> str:
        """For Prometheus."""
        from .monitoring import resident_bytes

        self.sweep()
        counts = self.counts()
        with self._lock:
            size = sum(record.size for record in self._records.values())
        return self.metrics.render(
            {
                "jobs_waiting": ("Jobs in line.", counts["waiting"]),
                "jobs_running": ("Jobs at work.", counts["running"]),
                "results_kept": ("Results that can be fetched.", counts["done"]),
                "results_bytes": ("Disk that they take.", size),
                "resident_bytes": ("Memory of this process.", resident_bytes()),
            }
        )

    # ------------------------------------------------------------------ keeping

    def sweep(self) -> None:
        """Settle what ended; remove results that are too many, too old or too large."""
        with self._lock:
            over = [r for r in self._records.values() if self._settle(r)]
            over.sort(key=lambda record: record.finished or 0.0)
            size, now = sum(record.size for record in over), self._clock()
            gone = []
            for left, record in zip(range(len(over), 0, -1), over, strict=True):
                old = now - (record.finished or now) > self.settings.keep_seconds
                large = size > self.settings.keep_bytes and left > 1
                if not (old or large or left > self.settings.keep):
                    break
                size -= record.size
                gone.append(self._records.pop(record.id))
        for record in gone:
            shutil.rmtree(record.folder, ignore_errors=True)

    def _settle(self, record: Record) -> bool:
        """Note how a job ended, once; whether it has."""
        job = record.job
        if job is None or not job.over:
            return False
        with self._lock:
            if record.settled:
                return True
            record.settled, record.finished = True, record.finished or self._clock()
            if job.state == "done":
                record.size = sum(file["bytes"] for file in job.value()["files"])
            else:
                shutil.rmtree(record.folder, ignore_errors=True)
        self.metrics.count("jobs_total", action=record.action, state=job.state)
        if record.started is not None:
            self.metrics.ran(record.action, record.finished - record.started)
        return True

    # ------------------------------------------------------------------ closing

    def drain(self) -> None:
        """Take no more jobs; those that were taken go on."""
        with self._lock:
            self.closing = True
            self._awaited = [r for r in self._records.values() if r.job and not r.job.over]

    def quiet(self) -> bool:
        """Whether every job that was there when `drain` was called ended and was asked for."""
        return all(r.job is not None and r.job.over and r.read for r in self._awaited)

    def close(self, seconds: float = 10.0) -> None:
        """Stop everything, wait until the worker has let go, and remove all results."""
        self.closing = True
        with self._lock:
            jobs = [r.job for r in self._records.values() if r.job is not None]
        self._jobs.close()
        deadline = time.monotonic() + seconds
        for job in jobs:
            job.wait(max(0.0, deadline - time.monotonic()))
        self._spool.cleanup()


def _file(path: Path) -> dict[str, Any]:
    return {"name": path.name, "media_type": MEDIA_TYPES[path.suffix], "bytes": path.stat().st_size}


def _error(job: Job) -> dict[str, Any]:
    try:
        job.value()
    except JobCancelled as error:
        return {"code": "cancelled", "message": str(error), "details": []}
    except GroundbrushError as error:
        return {"code": "failed", "message": str(error), "details": []}
    raise AssertionError(job.state)
