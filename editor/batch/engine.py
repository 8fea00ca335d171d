"""Finds and paints rows: `LocalEngine` in this process, `editor.batch.ray_engine` in many.

Engines work in any order; none writes the journal. The work on one row is `editor.batch.row_work`.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple, Protocol

from .row_work import RowDone, RowTask, decoded, find_one, paint_steps
from .workspace import Workspace

if TYPE_CHECKING:
    from ..api import Editor

Load = Callable[[], "Editor"]
Finish = Callable[[RowDone], None]


class Engine(Protocol):
    """Finds and paints."""

    @property
    def notes(self) -> list[str]:
        """Workers that died and were replaced."""

    def find(self, tasks: Sequence[RowTask]) -> Iterator[RowDone]:
        """Find every task's phrase, with `find_one`; rows of a picture follow each other."""

    def paint(self, tasks: Sequence[RowTask], finish: Finish) -> None:
        """Do the rest of every task, and call `finish` as soon as one's files are written.

        One call at a time; from another thread, perhaps.
        """

    def close(self) -> None:
        """Release models and workers."""


class Needs(NamedTuple):
    """Which models the tasks of a stage use."""

    finds: bool
    paints: bool

    def load(self, editor: Editor) -> None:
        """Load them: a model that cannot be loaded is no row's failure."""
        if self.finds:
            editor.models.grounder()
        if self.paints:
            editor.models.inpainter()


TO_FIND = Needs(finds=True, paints=False)


def to_paint(tasks: Sequence[RowTask]) -> Needs:
    """What painting uses; painting alone needs no grounder in memory."""
    rows = [task.row for task in tasks]
    finds = any(row.checked or not (row.grounds and row.paints) for row in rows)
    return Needs(finds, any(row.paints for row in rows))


class LocalEngine:
    """Works in this process with one editor.

    Parameters
    ----------
    load : Makes an editor that loads its models when first needed.
    workspace : Where to read and write.
    """

    def __init__(self, load: Load, workspace: Workspace) -> None:
        self._load, self._workspace = load, workspace
        self._editor: Editor | None = None
        self.notes: list[str] = []

    @property
    def editor(self) -> Editor:
        """The editor in use."""
        self._editor = self._editor or self._load()
        return self._editor

    def find(self, tasks: Sequence[RowTask]) -> Iterator[RowDone]:
        """Find phrase after phrase."""
        if tasks:
            TO_FIND.load(self.editor)
        for task in tasks:
            yield find_one(self.editor, self._workspace, task)

    def paint(self, tasks: Sequence[RowTask], finish: Finish) -> None:
        """Paint row after row, with no more models in memory than that needs.

        A thread writes one row's files while the next is painted, where a core is left for it; no
        more than these two are held.
        """
        needs = to_paint(tasks)
        if needs.paints and not needs.finds:
            self.close()  # frees memory for the inpainter
        if tasks:
            needs.load(self.editor)
        with ThreadPoolExecutor(1) as writer:
            before: Future[None] | None = None
            beside = bool(tasks) and core_left(self.editor.models.device)
            for task in tasks:
                steps = paint_steps(self.editor, self._workspace, task)
                done = next(steps)
                if before is not None:
                    before.result()
                before = writer.submit(_finish, steps, done, finish)
                if not beside:
                    before.result()
            if before is not None:
                before.result()

    def close(self) -> None:
        """Release the models and the last picture."""
        self._editor = None
        decoded.cache_clear()
        gc.collect()


def core_left(device: str) -> bool:
    """Whether painting leaves a core idle.

    Where its threads use all of them, one that must share its core holds up the others at every
    step, and they spin meanwhile.
    """
    import torch

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return device != "cpu" or torch.get_num_threads() < (cores or 1)


def _finish(steps: Iterator[RowDone | None], done: RowDone | None, finish: Finish) -> None:
    """Write a row's files, if it has not failed before."""
    done = done or next(steps)
    assert done is not None
    finish(done)
