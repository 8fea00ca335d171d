"""The batch on Ray: workers find and paint and write the rows' files; the journal stays here."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import groupby

from ..errors import GroundbrushError
from ..workers.pool import Unit, Work
from ..workers.ray_pool import RayPool
from .engine import (
    TO_FIND,
    Done,
    Load,
    Needs,
    Task,
    find_one,
    paint_one,
    to_paint,
    try_picture_facts,
)
from .errors import BatchStopped
from .outcome import Result, failure
from .state import own_files, sweep
from .work import Place

_TOGETHER = 16  # phrases of one picture that one worker takes, to encode the picture once


class WorkerDied(GroundbrushError):
    """A row whose workers died one after the other."""


class RayEngine:
    """Works in the processes of a `RayPool`; the same files as from `LocalEngine`.

    Parameters
    ----------
    load
        Makes an editor; called in every worker, so it must hold nothing that cannot travel.
    place
        Where to read and write: on storage that every machine has under the same path.
    workers, device
        As for :func:`editor.workers.ray_pool.share`.
    """

    def __init__(
        self, load: Load, place: Place, *, workers: int | None = None, device: str = "auto"
    ) -> None:
        self._load = load
        self._place = dataclasses.replace(
            place, root=place.root.absolute(), out=place.out.absolute(), work=place.work.absolute()
        )
        self._pool = RayPool(self._place.work / "ray", workers=workers, device=device)

    @property
    def notes(self) -> list[str]:
        """What was told of workers that died."""
        return self._pool.notes

    def find(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Find every phrase; those of a picture together."""
        groups: list[list[Task]] = []
        for _, of_picture in groupby(tasks, key=lambda task: task.row.image):
            own = list(of_picture)
            groups += [own[k : k + _TOGETHER] for k in range(0, len(own), _TOGETHER)]
        yield from self._map("find", partial(_finder, self._load, self._place), groups)

    def paint(self, tasks: Sequence[Task]) -> Iterator[Done]:
        """Paint every row by itself."""
        make = partial(_painter, self._load, self._place, to_paint(tasks))
        yield from self._map("paint", make, [[task] for task in tasks])

    def close(self) -> None:
        """Stop what was started."""
        self._pool.close()

    def _map(
        self, stage: str, make: Callable[[], Work], groups: Sequence[Sequence[Task]]
    ) -> Iterator[Done]:
        units = [[Unit(f"row {t.row.number} ({t.row.name})", t) for t in group] for group in groups]
        told = len(self.notes)
        try:
            with contextlib.closing(self._pool.map(make, units)) as answers:
                for answer in answers:
                    task: Task = answer.unit.value
                    if answer.gave_up is not None:
                        yield self._given_up(stage, task, answer.gave_up)
                    else:
                        yield Done(task, *answer.value)
        except GroundbrushError as error:
            raise BatchStopped(str(error)) from error
        finally:
            if len(self.notes) > told:
                sweep(self._place)  # what the dead were writing

    def _given_up(self, stage: str, task: Task, why: str) -> Done:
        row = task.row
        for name in own_files(self._place.out).get(row.name, ()):
            (self._place.out / name).unlink(missing_ok=True)
        failed: Result = failure(row, stage, WorkerDied(why))
        return Done(task, None, failed, try_picture_facts(self._place, row))


def _finder(load: Load, place: Place) -> Work:
    """What finds, in a worker."""
    editor = load()
    TO_FIND.ready(editor)
    return lambda task: find_one(editor, place, task)[1:]


def _painter(load: Load, place: Place, needs: Needs) -> Work:
    """What paints, in a worker."""
    editor = load()
    needs.ready(editor)
    return lambda task: paint_one(editor, place, task)[1:]
