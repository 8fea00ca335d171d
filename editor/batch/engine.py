"""Who does the work: this process, one row after the other. It writes no journal.

Another engine (of several machines) has the same two methods and calls the same functions of
`editor.batch.work`; results come back in any order.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from editor.batch.errors import BatchStopped, stops_everything
from editor.batch.outcome import Result, failure
from editor.batch.rows import Row
from editor.batch.work import Place, find_phrase, paint_row, picture_facts
from editor.errors import GroundbrushError, one_line

if TYPE_CHECKING:
    from editor.api import Editor

Load = Callable[[], "Editor"]


class Task(NamedTuple):
    """One row's work; `facts` are of its grounding, where that is known."""

    row: Row
    key: str | None = None
    facts: Mapping[str, Any] | None = None


class Done(NamedTuple):
    """What came of a task: facts of the grounding, or a result; the picture's facts."""

    task: Task
    facts: Mapping[str, Any] | None
    result: Result | None
    picture: Mapping[str, Any] | None


class Engine(Protocol):
    """Finds and paints."""

    def find(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Find every task's phrase; `Done.facts`, or a failure as `Done.result`."""

    def paint(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Do the rest of every task; `Done.result`."""


class LocalEngine:
    """Works in this process with one editor.

    Parameters
    ----------
    load
        Makes an editor whose models load when first needed.
    place
        Where to read and write.
    """

    def __init__(self, load: Load, place: Place) -> None:
        self._load, self._place = load, place
        self._editor: Editor | None = None

    @property
    def editor(self) -> Editor:
        """The editor in use."""
        if self._editor is None:
            self._editor = self._load()
        return self._editor

    def find(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Find phrase after phrase; all rows of a picture follow each other."""
        if tasks:
            self.editor.models.grounder()  # a model that cannot be loaded is no row's fault
        for task in tasks:
            assert task.key is not None
            try:
                facts = find_phrase(self.editor, self._place, task.row, task.key)
                yield Done(task, facts, None, facts["picture"])
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
                yield self._failed(task, "find", error)

    def paint(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Paint row after row, with no more models in memory than that needs."""
        looks = any(t.row.checked or not (t.row.grounds and t.row.paints) for t in tasks)
        paints = any(t.row.paints for t in tasks)
        if tasks and paints and not looks:
            self._editor = None  # makes room for the inpainter
            gc.collect()
        if looks:
            self.editor.models.grounder()
        if paints:
            self.editor.models.inpainter()
        for task in tasks:
            try:
                yield Done(task, None, *paint_row(self.editor, self._place, *task))
            except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
                stage = "paint" if task.row.paints else "find"
                yield self._failed(task, stage, error)

    def _failed(self, task: Task, stage: str, error: Exception) -> Done:
        """A row's failure; what every row would meet stops the batch."""
        row = task.row
        if stops_everything(error):
            raise BatchStopped(
                f"stopped at row {row.number} ({row.name}): {one_line(error)}; what is finished is "
                "kept: mend that, and run it again with --resume"
            ) from error
        return Done(task, None, failure(row, stage, error), try_picture_facts(self._place, row))


def try_picture_facts(place: Place, row: Row) -> Mapping[str, Any] | None:
    """Facts of a row's picture, or None where they cannot be had."""
    from editor.batch.manifest import inside

    try:
        return picture_facts(inside(place.root, row.image))
    except GroundbrushError:
        return None
