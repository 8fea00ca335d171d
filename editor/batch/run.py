"""A batch from beginning to end: check, lock, read the journal, find, paint, publish.

A row is finished once its record is in the journal; its files are on disk before that. A run that
was killed is continued from the journal's last record.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError
from ..files import as_path, atomic_write
from ..journal import Journal, JournalError, Record, read_journal
from .checking import check_out, check_rows, inspect_rows, refuse
from .engine import Engine, Load, LocalEngine
from .errors import BatchProblem, BatchStopped, batch_stopped, refusals, stops_everything
from .lock import FolderLock
from .manifest import Manifest
from .results import (
    BatchProgress,
    FailureReason,
    FoundFacts,
    OnBatchProgress,
    PictureFacts,
    RowResult,
    failure_reasons,
)
from .review import write_review
from .row_work import RowDone, RowTask, finish_found, status_when_found
from .rows import GATES, BatchRow
from .state import FoundRecord, RunRecord, State, preset_digest
from .workspace import Workspace

RESULTS, REVIEW_SHEET = "results.jsonl", "review.html"
SUFFIXES = ("png", "webp", "jpg")
MakeEngine = Callable[[Load, Workspace], Engine]


@dataclass(frozen=True)
class BatchJob:
    """What to do, and where to write.

    Attributes
    ----------
    manifest : The rows.
    out : Folder of results.
    gate : For rows that are not clearly found: ``hold`` them for a person, ``skip`` them or
        ``paint`` the best guess.
    suffix : Of painted pictures: png, webp or jpg (lossy).
    resume : Continue the batch in the folder; what is finished and still in the manifest stays.
    retry_failed : The same, and do failed rows again.
    """

    manifest: Manifest
    out: Path
    gate: str = "hold"
    suffix: str = "png"
    resume: bool = False
    retry_failed: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", as_path(self.out))
        if self.gate not in GATES:
            raise GroundbrushError(f"gate {self.gate!r} given; expected one of {', '.join(GATES)}")
        if self.suffix not in SUFFIXES:
            raise GroundbrushError(
                f"format {self.suffix!r} given; expected one of {', '.join(SUFFIXES)}"
            )

    @property
    def workspace(self) -> Workspace:
        """Where it reads and writes."""
        return Workspace(self.manifest.root, self.out, self.suffix, self.gate)

    @property
    def continues(self) -> bool:
        """Whether it continues an earlier run."""
        return self.resume or self.retry_failed


@dataclass(frozen=True)
class BatchReport:
    """What a batch came to.

    `counts` (rows by status) and `reasons` (of failures) are of the whole manifest; `worked` is how
    many rows this run did, and `notes` say what it skipped, repaired or took over.
    """

    counts: Mapping[str, int]
    worked: int
    results: Path
    review: Path
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    reasons: tuple[FailureReason, ...] = ()


@dataclass(frozen=True)
class DryRun:
    """What a run would do.

    `actions` counts rows to do by action, `finished` rows that are finished already, `find` phrases
    to find; `notes` say what was skipped or could not be checked.
    """

    actions: Mapping[str, int]
    finished: int
    find: int
    notes: tuple[str, ...] = ()


def run_batch(
    job: BatchJob,
    load: Load,
    *,
    on_progress: OnBatchProgress | None = None,
    engine: MakeEngine = LocalEngine,
) -> BatchReport:
    """Do a batch, or continue one. Rows that fail stop nothing: they are counted in the report.

    Raises ManifestError for rows that cannot be done as they are; no model was loaded then. Raises
    BatchStopped if no row could be done any more, such as for a full disk; what is finished is
    kept. Raises GroundbrushError if another process uses the folder, it holds another batch, or a
    model cannot be loaded.

    Parameters
    ----------
    load : Makes an editor, such as ``lambda: Editor.load("miniature")``; called once or twice.
    on_progress : Called after each row.
    engine : Makes what does the work.
    """
    started = time.perf_counter()
    editor, manifest, workspace = load(), job.manifest, job.workspace
    earlier = (workspace.work / "journal").exists()
    if manifest.problems or not earlier:  # refused before anything is written
        refuse(manifest, check_rows(editor, manifest, manifest.rows, workspace))
    check_out(job.out)
    if not earlier:
        _check_free(job, earlier, workspace.files_by_row())
    with FolderLock(workspace.work / "lock") as lock:
        journal = Journal(workspace.work / "journal")
        notes = [*manifest.notes, *filter(None, [lock.took_over]), *journal.notes]
        if job.resume and not journal.records:
            notes.append(f"there was no batch in {str(job.out)!r} to continue: this is a new one")
        existing = workspace.files_by_row()
        _check_free(job, bool(journal.records), existing)
        state = State(workspace, preset_digest(editor.preset), job.retry_failed)
        state.take(journal.records)
        journal.records.clear()
        job = dataclasses.replace(job, manifest=state.named_as_before(manifest))
        left = [row for row in job.manifest.rows if not state.finished(job.manifest, row)]
        if earlier:
            refuse(job.manifest, check_rows(editor, job.manifest, left, workspace))
        lock.begin()
        if workspace.sweep():  # nothing is changed before all that can refuse the run
            notes.append("files that were not written whole were removed")
        working = engine(load, workspace)
        run = _Run(job, state, journal, working, on_progress, existing)
        begun = RunRecord(preset=editor.preset.name, rows=len(job.manifest.rows), left=len(left))
        run.write(begun.model_dump())
        try:
            with contextlib.closing(working):
                run.work(left)
        except BaseException:
            with contextlib.suppress(GroundbrushError, OSError):  # the first error is reported
                _publish(job, state)
            raise
        counts, reasons = _publish(job, state)
        files, notes = (job.out / RESULTS, job.out / REVIEW_SHEET), [*notes, *working.notes]
        seconds = time.perf_counter() - started
        return BatchReport(counts, len(left), *files, tuple(notes), seconds, reasons)


def dry_run(job: BatchJob, load: Load, *, on_progress: OnBatchProgress | None = None) -> DryRun:
    """Check everything that can be checked without a model, and say what a run would do.

    More than `run_batch` checks before it begins: pictures are read whole, and words to find,
    boxes, masks and formats are checked, each of which would fail its row alone. Nothing is
    written.

    `on_progress` is called after each picture, with the stage ``checking``. Raises ManifestError
    with every problem and its row.
    """
    editor, manifest, workspace = load(), job.manifest, job.workspace
    state = State(workspace, preset_digest(editor.preset), job.retry_failed)
    records: list[Record] = []
    with contextlib.suppress(OSError):
        records = list(read_journal(workspace.work / "journal"))
    if job.continues:
        state.take(records)
    manifest = state.named_as_before(manifest)
    left = [row for row in manifest.rows if not state.finished(manifest, row)]
    free = partial(_check_free, job, bool(records), workspace.files_by_row())
    unusable = refusals([partial(check_out, job.out), free])
    problems, notes = inspect_rows(editor, manifest, left, job.suffix, on_progress)
    refused = check_rows(editor, manifest, left, workspace)
    refuse(manifest, [*map(BatchProblem, unusable), *refused, *problems])
    keys = {
        state.key(row) for row in left if row.grounds and state.grounding(manifest, row) is None
    }
    return DryRun(
        Counter(row.action for row in left),
        len(manifest.rows) - len(left),
        len(keys),
        (*manifest.notes, *notes),
    )


@dataclass(eq=False)
class _Run:
    """One run over the rows that are left."""

    job: BatchJob
    state: State
    journal: Journal
    engine: Engine
    on_progress: OnBatchProgress | None
    existing: dict[str, set[str]]
    counts: Counter[str] = field(default_factory=Counter)

    def work(self, left: Sequence[BatchRow]) -> None:
        """Find everything, then paint everything."""
        found = self._find([row for row in left if row.grounds])
        others = [RowTask(row) for row in left if not row.grounds]
        tasks = sorted([*found, *others], key=lambda task: task.row.number)
        progress = self._progress("painting", len(tasks))

        def finish(done: RowDone) -> None:
            assert done.result is not None
            self._commit(done.task.row, done.result, done.picture)
            progress()

        self.engine.paint(tasks, finish)

    def write(self, record: Record) -> None:
        """Append a record to the journal."""
        try:
            self.journal.append(record)
        except JournalError as error:
            raise BatchStopped(str(error)) from error

    def _find(self, rows: Sequence[BatchRow]) -> list[RowTask]:
        """Find every phrase once; finish rows that are not painted; the tasks of the others."""
        by_key: dict[str, list[BatchRow]] = {}
        for row in rows:
            by_key.setdefault(self.state.key(row), []).append(row)
        tasks: list[RowTask] = []
        wanted: dict[str, list[RowTask]] = {}  # by picture, so that each is encoded once
        for key, same in by_key.items():
            facts = self.state.grounding(self.job.manifest, same[0])
            if facts is not None:
                tasks += self._found(same, key, facts)
            else:
                wanted.setdefault(same[0].image, []).append(RowTask(same[0], key))
        progress = self._progress("finding", sum(map(len, wanted.values())))
        for done in self.engine.find([task for same in wanted.values() for task in same]):
            key = str(done.task.key)
            if done.facts is not None:
                self.write(FoundRecord(key=key, facts=done.facts).model_dump())
                rows = by_key[key]
                if done.result is not None:
                    self._commit(done.task.row, done.result, done.picture)
                    rows = [row for row in rows if row.number != done.task.row.number]
                tasks += self._found(rows, key, done.facts)
            else:
                assert done.result is not None
                for row in by_key[key]:
                    why = done.result.model_dump(include={"error", "reason"})
                    self._commit(row, RowResult.of(row, "failed", **why), done.picture)
            progress()
        return tasks

    def _found(self, rows: Sequence[BatchRow], key: str, facts: FoundFacts) -> list[RowTask]:
        """Finish rows that are not painted; the tasks of the others."""
        workspace, tasks = self.state.workspace, []
        for row in rows:
            status = status_when_found(row, workspace, facts)
            if status is None:
                tasks.append(RowTask(row, key, facts))
                continue
            try:
                result = finish_found(workspace, row, key, facts, status)
            except Exception as error:  # noqa: BLE001 - the other rows continue after any error
                if stops_everything(error, workspace.root):
                    raise batch_stopped(row.number, row.name, error) from error
                result = RowResult.failure(row, "find", error)
            self._commit(row, result, facts.picture)
        return tasks

    def _commit(self, row: BatchRow, result: RowResult, picture: PictureFacts | None) -> None:
        """Make a row's result final: its files are on disk, now the journal says so."""
        try:
            for name in self.existing.pop(row.name, set()) - set(result.files.values()):
                # of an earlier request of this name
                (self.state.workspace.out / name).unlink(missing_ok=True)
            record = self.state.record(row, result, picture)
        except OSError as error:
            raise batch_stopped(row.number, row.name, error) from error
        self.write(record.model_dump())
        self.state.keep(record)
        self.counts[result.status] += 1

    def _progress(self, stage: str, total: int) -> Callable[[], None]:
        done = 0

        def step() -> None:
            nonlocal done
            done += 1
            if self.on_progress is not None:
                self.on_progress(BatchProgress(stage, done, total, dict(self.counts)))

        return step


def _check_free(job: BatchJob, begun: bool, existing: Mapping[str, set[str]]) -> None:
    """Refuse a folder with another batch, or with files that are not a batch's."""
    if begun:
        if job.continues:
            return
        raise GroundbrushError(
            f"{str(job.out)!r} holds a batch that was begun; --resume continues it; choose "
            "another --out for another one"
        )
    names = [n for row in job.manifest.rows for n in sorted(existing.get(row.name, ()))]
    names += [name for name in (RESULTS, REVIEW_SHEET) if (job.out / name).exists()]
    if names:
        raise GroundbrushError(
            f"{str(job.out)!r} holds {names[0]!r} already, which is not of this batch and would be "
            "overwritten; choose another --out, or move it away"
        )


def _publish(job: BatchJob, state: State) -> tuple[Counter[str], tuple[FailureReason, ...]]:
    """Write the results and the review sheet of the whole manifest.

    Returns rows by status, and why some failed.
    """
    counts: Counter[str] = Counter()
    failed: list[tuple[int, str]] = []

    def write(file: Any) -> None:
        for result in state.results(job.manifest):
            counts[result.status] += 1
            if result.status == "failed":
                failed.append((result.row, str(result.reason)))
            file.write(json.dumps(result.model_dump(), ensure_ascii=False).encode() + b"\n")

    atomic_write(job.out / RESULTS, write)
    name = os.path.basename(str(job.manifest.source))
    write_review(job.out / REVIEW_SHEET, name, state.results(job.manifest), counts)
    return counts, failure_reasons(failed)
