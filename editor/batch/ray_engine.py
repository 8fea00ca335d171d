"""The engine on Ray: workers find, paint and write the rows' files; the journal stays here."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path

from ..errors import GroundbrushError
from ..workers.pool import Unit, Work
from ..workers.ray_pool import RayPool
from .engine import TO_FIND, Finish, Load, Needs, to_paint
from .errors import BatchStopped
from .results import RowResult
from .row_work import RowDone, RowTask, find_one, paint_one, try_picture_facts
from .workspace import Workspace

_TOGETHER = 16  # phrases of one picture that one worker takes, to encode the picture once


class WorkerDied(GroundbrushError):
    """A row that killed its workers, one after the other."""


class RayEngine:
    """Works in the processes of a `RayPool`; writes the same files as `LocalEngine`.

    Parameters
    ----------
    load : Makes an editor; called in every worker, so it must be picklable.
    workspace : Where to read and write: on storage that every machine has under the same path.
    workers, device : As for `editor.workers.ray_pool.share`.
    """

    def __init__(
        self, load: Load, workspace: Workspace, *, workers: int | None = None, device: str = "auto"
    ) -> None:
        self._load = load
        self._workspace = dataclasses.replace(
            workspace, root=workspace.root.absolute(), out=workspace.out.absolute()
        )
        self._pool = RayPool(workers=workers, device=device)

    @property
    def notes(self) -> list[str]:
        """Workers that died and were replaced."""
        return self._pool.notes

    def find(self, tasks: Sequence[RowTask]) -> Iterator[RowDone]:
        """Find every phrase; those of a picture together."""
        groups: list[list[RowTask]] = []
        for _, of_picture in groupby(tasks, key=lambda task: task.row.image):
            own = list(of_picture)
            groups += [own[k : k + _TOGETHER] for k in range(0, len(own), _TOGETHER)]
        yield from self._map("find", TO_FIND, groups)

    def paint(self, tasks: Sequence[RowTask], finish: Finish) -> None:
        """Paint every row by itself."""
        for done in self._map("paint", to_paint(tasks), [[task] for task in tasks]):
            finish(done)

    def close(self) -> None:
        """Stop what was started."""
        self._pool.close()

    def _map(
        self, stage: str, needs: Needs, groups: Sequence[Sequence[RowTask]]
    ) -> Iterator[RowDone]:
        units = [[Unit(f"row {t.row.number} ({t.row.name})", t) for t in group] for group in groups]
        make = partial(_worker, self._load, self._workspace, stage, needs, _owner(self._workspace))
        deaths = len(self.notes)
        try:
            with contextlib.closing(self._pool.map(make, units)) as answers:
                for answer in answers:
                    if answer.gave_up is None:
                        yield answer.value
                    else:
                        yield self._given_up(stage, answer.unit.value, answer.gave_up)
        except GroundbrushError as error:
            raise BatchStopped(str(error)) from error
        finally:
            if len(self.notes) > deaths:
                self._workspace.sweep()  # what the dead were writing

    def _given_up(self, stage: str, task: RowTask, why: str) -> RowDone:
        row, out = task.row, self._workspace.out
        for name in self._workspace.files_by_row().get(row.name, ()):
            (out / name).unlink(missing_ok=True)
        failed = RowResult.failure(row, stage, WorkerDied(why))
        return RowDone(task, None, failed, try_picture_facts(self._workspace, row))


def _worker(load: Load, workspace: Workspace, stage: str, needs: Needs, owner: bytes) -> Work:
    """The work of one worker, with its models loaded."""
    if _owner(workspace) != owner:
        raise GroundbrushError(
            f"the worker on {socket.gethostname()} does not see {str(workspace.out)!r}; expected "
            "an output folder that every machine has under the same path"
        )
    editor = load()
    needs.load(editor)
    return partial(find_one if stage == "find" else paint_one, editor, workspace)


def _owner(workspace: Workspace) -> bytes:
    """What only this run wrote into the folder: a worker that reads the same sees it."""
    path: Path = workspace.work / "owner.json"
    return path.read_bytes() if path.is_file() else b""
