"""Who does the work. `LocalEngine` is this process; `editor.batch.ray_engine` has Ray's workers.

Engines find and paint, in any order and in any process; none writes the journal, which is
`editor.batch.run`'s. What is done for one task is the same wherever it is done: `find_one` and
`paint_one`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from ..errors import GroundbrushError, one_line
from .errors import BatchStopped, stops_everything
from .outcome import Result, failure
from .rows import Row
from .work import Place, find_phrase, finish_found, paint_row, passes, picture_facts

if TYPE_CHECKING:
    from ..api import Editor

Load = Callable[[], "Editor"]


class Task(NamedTuple):
    """One row's work; `facts` are of its grounding, where that is known."""

    row: Row
    key: str | None = None
    facts: Mapping[str, Any] | None = None


class Done(NamedTuple):
    """What came of a task: facts of the grounding, the row's result, the picture's facts.

    Of finding there are facts, or where it failed a result; both where the row ends there.
    """

    task: Task
    facts: Mapping[str, Any] | None
    result: Result | None
    picture: Mapping[str, Any] | None


class Engine(Protocol):
    """Finds and paints."""

    @property
    def notes(self) -> list[str]:
        """What went wrong with who works and was mended, in words."""

    def find(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Find every task's phrase, as `find_one` does; rows of a picture follow each other."""

    def paint(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Do the rest of every task, as `paint_one` does."""

    def close(self) -> None:
        """Let models and workers go."""


class Needs(NamedTuple):
    """Which models the tasks of a stage ask for."""

    looks: bool
    paints: bool

    def ready(self, editor: Editor) -> None:
        """Load them: a model that cannot be loaded is no row's fault."""
        if self.looks:
            editor.models.grounder()
        if self.paints:
            editor.models.inpainter()


TO_FIND = Needs(looks=True, paints=False)


def to_paint(tasks: Sequence[Task]) -> Needs:
    """What painting these asks for; whoever only paints needs no grounder in memory."""
    rows = [task.row for task in tasks]
    looks = any(row.checked or not (row.grounds and row.paints) for row in rows)
    return Needs(looks, any(row.paints for row in rows))


def find_one(editor: Editor, place: Place, task: Task) -> Done:
    """Find a task's phrase; where its row is not to be painted, finish it.

    Raises
    ------
    BatchStopped
        For what every other task would meet as well, such as a full disk.
    """
    assert task.key is not None
    facts = None
    try:
        facts = find_phrase(editor, place, task.row, task.key)
        status = passes(task.row, place, facts)
        result = None if status is None else finish_found(place, task.row, task.key, facts, status)
        return Done(task, facts, result, facts["picture"])
    except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
        failed = _failed(place, task, "find", error)
        return failed if facts is None else failed._replace(facts=facts, picture=facts["picture"])


def paint_one(editor: Editor, place: Place, task: Task) -> Done:
    """Do the rest of a task.

    Raises
    ------
    BatchStopped
        As `find_one`.
    """
    try:
        return Done(task, None, *paint_row(editor, place, *task))
    except Exception as error:  # noqa: BLE001 - whatever it is, the other rows go on
        return _failed(place, task, "paint" if task.row.paints else "find", error)


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
        self.notes: list[str] = []

    @property
    def editor(self) -> Editor:
        """The editor in use."""
        if self._editor is None:
            self._editor = self._load()
        return self._editor

    def find(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Find phrase after phrase."""
        if tasks:
            TO_FIND.ready(self.editor)
        for task in tasks:
            yield find_one(self.editor, self._place, task)

    def paint(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Paint row after row, with no more models in memory than that needs."""
        needs = to_paint(tasks)
        if needs.paints and not needs.looks:
            self.close()  # makes room for the inpainter
        if tasks:
            needs.ready(self.editor)
        for task in tasks:
            yield paint_one(self.editor, self._place, task)

    def close(self) -> None:
        """Let the models go."""
        self._editor = None
        gc.collect()


def _failed(place: Place, task: Task, stage: str, error: Exception) -> Done:
    """A row's failure; what every row would meet stops the batch."""
    row = task.row
    if stops_everything(error):
        raise BatchStopped(
            f"stopped at row {row.number} ({row.name}): {one_line(error)}; what is finished is "
            "kept: mend that, and run it again with --resume"
        ) from error
    return Done(task, None, failure(row, stage, error), try_picture_facts(place, row))


def try_picture_facts(place: Place, row: Row) -> Mapping[str, Any] | None:
    """Facts of a row's picture, or None where they cannot be had."""
    from .manifest import inside

    try:
        return picture_facts(inside(place.root, row.image))
    except GroundbrushError:
        return None
