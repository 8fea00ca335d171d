"""Errors of a batch as a whole; the error of a row is in its result."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import GroundbrushError, one_line, printable
from ..files import OutputError

_SHOWN = 50
# Every other row would meet these as well, and be marked as failed: wherever they happen ...
_STOPPING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ESTALE}
_STOPPING |= {errno.ENOTCONN, errno.ETIMEDOUT}
# ... and where results are kept; of inputs, one picture may be unreadable.
_STOPPING_OUTPUT = {errno.EACCES, errno.EPERM, errno.EIO, errno.ENOENT, errno.ENODEV, errno.ENXIO}


@dataclass(frozen=True)
class BatchProblem:
    """One thing that is wrong in a manifest: what was given, what was expected, the remedy.

    Rows and lines count from 1; `row` is None if it concerns the whole file.
    """

    words: str
    row: int | None = None
    line: int | None = None

    def __str__(self) -> str:
        """One line for people."""
        if self.row is None:
            return self.words if self.line is None else f"line {self.line}: {self.words}"
        line = "" if self.line is None else f" (line {self.line})"
        return f"row {self.row}{line}: {self.words}"


class ManifestError(GroundbrushError):
    """A manifest that cannot be used, with everything that is wrong in it.

    Attributes
    ----------
    problems : tuple of BatchProblem
        In the file's order, those of the whole file first.
    """

    def __init__(
        self, name: str, problems: Iterable[BatchProblem], notes: Sequence[str] = ()
    ) -> None:
        # Several checks of a row may find the same thing.
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda one: one.row or 0))
        shown = [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"  ... and {len(self.problems) - _SHOWN:,} more")
        count = f"{len(self.problems):,} problem{'s' * (len(self.problems) != 1)}"
        shown += [f"  ({note})" for note in notes]
        super().__init__("\n".join([f"{name}: {count}, and nothing was done", *shown]))

    def __str__(self) -> str:
        """A line for each problem; each is short enough by itself."""
        return printable(str(self.args[0]))


class BatchStopped(GroundbrushError):
    """The batch cannot continue, such as for a full disk; what is finished is kept."""


def batch_stopped(number: int, name: str, error: BaseException) -> BatchStopped:
    """The error that stops a batch at a row."""
    return BatchStopped(
        f"stopped at row {number} ({name}): {one_line(error)}; what is finished is kept: fix that, "
        "and run it again with --resume"
    )


def stops_everything(error: BaseException | None, root: Path | None = None) -> bool:
    """Whether the next row would fail for the same reason, such as a full disk.

    `root` is the folder of inputs: if it cannot be listed any more, no row can be done.
    """
    stopping = _STOPPING
    while error is not None:
        if isinstance(error, OutputError):
            stopping = _STOPPING | _STOPPING_OUTPUT
        if isinstance(error, OSError) and error.errno in stopping:
            return True
        error = error.__cause__ or error.__context__
    return root is not None and not _listed(root)


def _listed(folder: Path) -> bool:
    try:
        with os.scandir(folder) as entries:
            next(entries, None)
    except OSError:
        return False
    return True


def refusals(checks: Iterable[Callable[[], object]]) -> list[str]:
    """The messages of those checks that raise GroundbrushError.

    >>> from groundbrush.editor.files import as_path
    >>> refusals([lambda: as_path("a"), lambda: as_path(3)])
    ['a path of type int given; expected str or pathlib.Path']
    """
    wrong = []
    for check in checks:
        try:
            check()
        except GroundbrushError as error:
            wrong.append(str(error))
    return wrong
