"""The batch's sentence: check -> lock -> read the journal -> find -> paint -> publish.

A row is finished when its record is in the journal; its files are on the disk before that. What a
killed run left is taken up where the journal ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import GroundbrushError, one_line
from ..files import as_path, atomic_write
from ..journal import Journal, JournalError, Record, read_journal
from .engine import Engine, Load, LocalEngine, Task
from .errors import BatchStopped, Problem, refusals, stops_everything
from .inspection import inspect_rows
from .lock import FolderLock
from .manifest import Manifest
from .outcome import Reason, Reasons, Result, failure, result_of
from .preflight import check_out, check_rows, refuse, row_problems
from .progress import OnProgress, Progress
from .review import write_review
from .rows import GATES, Row
from .state import State, own_files, preset_digest, sweep
from .work import Place, finish_found, passes

WORK = ".batch"
"""Folder in the output folder of what is kept between runs."""
RESULTS, REVIEW_SHEET = "results.jsonl", "review.html"
SUFFIXES = ("png", "webp", "jpg")
MakeEngine = Callable[[Load, Place], Engine]


@dataclass(frozen=True)
class Job:
    """What to do, and where to.

    Attributes
    ----------
    manifest
        The rows.
    out
        Folder of results.
    gate
        What becomes of rows that are not plainly found: ``hold`` them for a person, ``skip`` them
        or ``paint`` the best guess.
    suffix
        Of painted pictures: png, webp or jpg (lossy).
    resume
        Go on with the batch that the folder holds; what is finished and still asked for stays.
    retry_failed
        With that, do failed rows again.
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
    def place(self) -> Place:
        """Where it reads and writes."""
        return Place(self.manifest.root, self.out, self.out / WORK, self.suffix, self.gate)


@dataclass(frozen=True)
class BatchReport:
    """What a batch came to.

    Attributes
    ----------
    counts
        Rows by status, of the whole manifest.
    worked
        How many rows this run did.
    results, review
        The files.
    notes
        What was passed over, repaired or taken over.
    seconds
        That this run took.
    reasons
        Why rows of the whole manifest failed, the most frequent first.
    """

    counts: Mapping[str, int]
    worked: int
    results: Path
    review: Path
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class Outlook:
    """What a run would do.

    Attributes
    ----------
    actions
        Rows by action.
    finished
        Rows that are finished already.
    find
        Phrases to look for.
    notes
        What was passed over, or could not be checked.
    """

    actions: Mapping[str, int]
    finished: int
    find: int
    notes: tuple[str, ...] = ()


def run_batch(
    job: Job, load: Load, *, on_progress: OnProgress | None = None, engine: MakeEngine = LocalEngine
) -> BatchReport:
    """Do a batch, or go on with one.

    Parameters
    ----------
    job
        What and where.
    load
        Makes an editor, such as ``lambda: Editor.load("miniature")``; called once or twice.
    on_progress
        Called with a `Progress` after each row.
    engine
        Makes what does the work.

    Returns
    -------
    BatchReport
        Rows that failed are in its counts, and their errors in the results; they stop nothing.

    Raises
    ------
    ManifestError
        For rows that cannot be done as they are; nothing was loaded then.
    BatchStopped
        When no row could be done any more, such as for a full disk; what is finished is kept.
    GroundbrushError
        When another process uses the folder, it holds another batch, or a model cannot be loaded.
    """
    started = time.perf_counter()
    editor = load()
    place = job.place
    if job.manifest.problems:  # refused before anything is written, with what else is wrong
        check_rows(editor, job.manifest, job.manifest.rows, job.out)
    check_out(job.out)
    with FolderLock(place.work / "lock") as lock:
        journal = Journal(place.work / "journal")
        notes = [*job.manifest.notes, *filter(None, [lock.took_over]), *journal.notes]
        if job.resume and not journal.records:
            notes.append(f"there was no batch in {str(job.out)!r} to go on with: this is a new one")
        existing = own_files(place.out)
        _check_free(job, bool(journal.records), existing)
        if sweep(place):
            notes.append("files that were not written whole were removed")
        state = State(place, preset_digest(editor.preset), job.retry_failed)
        state.take(journal.records)
        journal.records.clear()
        left = [row for row in job.manifest.rows if not state.finished(job.manifest, row)]
        check_rows(editor, job.manifest, left, job.out)
        _write(
            journal,
            {
                "event": "run",
                "version": 1,
                "preset": editor.preset.name,
                "rows": len(job.manifest.rows),
                "left": len(left),
            },
        )
        crew = engine(load, place)
        run = _Run(job, state, journal, crew, on_progress, existing)
        try:
            with contextlib.closing(crew):
                run.work(left)
        except BaseException:
            # What went wrong is told, not that the sheet of what was done cannot be written then.
            with contextlib.suppress(GroundbrushError, OSError):
                _publish(job, state)
            raise
        counts, reasons = _publish(job, state)
        return BatchReport(
            counts,
            len(left),
            job.out / RESULTS,
            job.out / REVIEW_SHEET,
            (*notes, *crew.notes),
            time.perf_counter() - started,
            reasons,
        )


def examine(job: Job, load: Load, *, on_progress: OnProgress | None = None) -> Outlook:
    """Check everything that is known without a model and tell what a run would do.

    More than a run checks before it begins: pictures are read whole, and words to look for, places
    and formats are held against them, which a run leaves to the row's turn. Nothing is written.

    Parameters
    ----------
    job, load
        As for `run_batch`; the editor loads no model.
    on_progress
        Called with a `Progress` of stage ``checking`` after each picture.

    Raises
    ------
    ManifestError
        With every problem and its row.
    """
    editor, manifest = load(), job.manifest
    state = State(job.place, preset_digest(editor.preset), job.retry_failed)
    records = _kept(job)
    if job.resume or job.retry_failed:
        state.take(records)
    left = [row for row in manifest.rows if not state.finished(manifest, row)]
    unusable = refusals(
        [partial(check_out, job.out), partial(_check_free, job, bool(records), own_files(job.out))]
    )
    seen = inspect_rows(editor, manifest, left, job.suffix, on_progress)
    refuse(
        manifest,
        [*map(Problem, unusable), *row_problems(editor, manifest, left, job.out), *seen.problems],
    )
    keys = {
        state.key(row) for row in left if row.grounds and state.grounding(manifest, row) is None
    }
    return Outlook(
        Counter(row.action for row in left),
        len(manifest.rows) - len(left),
        len(keys),
        (*manifest.notes, *seen.notes),
    )


def _kept(job: Job) -> list[Record]:
    """The journal's records; none if there is no journal that can be read."""
    with contextlib.suppress(OSError):
        return list(read_journal(job.place.work / "journal"))
    return []


def _write(journal: Journal, record: Record) -> None:
    try:
        journal.append(record)
    except JournalError as error:
        raise BatchStopped(str(error)) from error


@dataclass(eq=False)
class _Run:
    """One run over the rows that are left."""

    job: Job
    state: State
    journal: Journal
    engine: Engine
    on_progress: OnProgress | None
    existing: dict[str, set[str]]
    counts: Counter[str] = field(default_factory=Counter)

    def work(self, left: Sequence[Row]) -> None:
        """Find everything, then paint everything."""
        open_rows = self._find([row for row in left if row.grounds])
        others = [Task(row) for row in left if not row.grounds]
        tasks = sorted([*open_rows, *others], key=lambda task: task.row.number)
        progress = self._progress("painting", len(tasks))
        for done in self.engine.paint(tasks):
            assert done.result is not None
            self._commit(done.task.row, done.result, done.picture)
            progress()

    def _find(self, rows: Sequence[Row]) -> list[Task]:
        """Find every phrase once; rows that this finishes are finished; the others' tasks."""
        by_key: dict[str, list[Row]] = {}
        for row in rows:
            by_key.setdefault(self.state.key(row), []).append(row)
        tasks: list[Task] = []
        wanted: dict[str, list[Task]] = {}  # by picture, so that each is read by the models once
        for key, same in by_key.items():
            facts = self.state.grounding(self.job.manifest, same[0])
            if facts is not None:
                tasks += self._found(same, key, facts)
            else:
                wanted.setdefault(same[0].image, []).append(Task(same[0], key))
        progress = self._progress("finding", sum(map(len, wanted.values())))
        for done in self.engine.find([task for tasks in wanted.values() for task in tasks]):
            key = str(done.task.key)
            if done.facts is not None:
                _write(self.journal, {"event": "found", "key": key, "facts": dict(done.facts)})
                rows = by_key[key]
                if done.result is not None:
                    self._commit(done.task.row, done.result, done.picture)
                    rows = [row for row in rows if row.number != done.task.row.number]
                tasks += self._found(rows, key, done.facts)
            else:
                assert done.result is not None
                why = {name: done.result[name] for name in ("error", "reason")}
                for row in by_key[key]:
                    self._commit(row, result_of(row, "failed", **why), done.picture)
            progress()
        return tasks

    def _found(self, rows: Sequence[Row], key: str, facts: Mapping[str, Any]) -> list[Task]:
        """Finish the rows that are not to be painted; tasks of the others."""
        tasks = []
        for row in rows:
            status = passes(row, self.state.place, facts)
            if status is None:
                tasks.append(Task(row, key, facts))
                continue
            try:
                result = finish_found(self.state.place, row, key, facts, status)
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
                if stops_everything(error):
                    raise _stopped(row, error) from error
                result = failure(row, "find", error)
            self._commit(row, result, facts["picture"])
        return tasks

    def _commit(self, row: Row, result: Result, picture: Mapping[str, Any] | None) -> None:
        """Make a row's result final: its files are there, now the journal says so."""
        place = self.state.place
        try:
            for name in self.existing.pop(row.name, set()) - set(result["files"].values()):
                (place.out / name).unlink(missing_ok=True)  # of another request of this name
            record = self.state.record(row, result, picture)
        except OSError as error:
            raise _stopped(row, error) from error
        _write(self.journal, record)
        self.state.take([record])
        self.counts[result["status"]] += 1

    def _progress(self, stage: str, total: int) -> Callable[[], None]:
        started, done = time.perf_counter(), 0

        def step() -> None:
            nonlocal done
            done += 1
            if self.on_progress is not None:
                seconds = time.perf_counter() - started
                self.on_progress(Progress(stage, done, total, seconds, dict(self.counts)))

        return step


def _check_free(job: Job, begun: bool, existing: Mapping[str, set[str]]) -> None:
    """Refuse a folder with a batch that is not to be gone on with, or with files of others."""
    if begun:
        if job.resume or job.retry_failed:
            return
        raise GroundbrushError(
            f"{str(job.out)!r} holds a batch that was begun; --resume goes on with it; choose "
            "another --out for another one"
        )
    names = [n for row in job.manifest.rows for n in sorted(existing.get(row.name, ()))]
    names += [name for name in (RESULTS, REVIEW_SHEET) if (job.out / name).exists()]
    taken = next(iter(names), None)
    if taken is not None:
        raise GroundbrushError(
            f"{str(job.out)!r} holds {taken!r} already, which is not of this batch and would be "
            "overwritten; choose another --out, or move it away"
        )


def _stopped(row: Row, error: BaseException) -> BatchStopped:
    return BatchStopped(
        f"stopped at row {row.number} ({row.name}): {one_line(error)}; what is finished is kept: "
        "mend that, and run it again with --resume"
    )


def _publish(job: Job, state: State) -> tuple[Counter[str], tuple[Reason, ...]]:
    """Write the results and the review sheet of the whole manifest.

    Gives rows by status, and why some failed.
    """
    counts: Counter[str] = Counter()
    reasons = Reasons()

    def write(file: Any) -> None:
        for result in state.results(job.manifest):
            counts[result["status"]] += 1
            reasons.add(result)
            file.write(json.dumps(result, ensure_ascii=False).encode() + b"\n")

    atomic_write(job.out / RESULTS, write)
    write_review(
        job.out / REVIEW_SHEET,
        os.path.basename(str(job.manifest.source)),
        state.results(job.manifest),
        counts,
    )
    return counts, reasons.all()
