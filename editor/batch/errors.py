"""What goes wrong with a batch as a whole; what goes wrong with a row is in its result."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from ..errors import GroundbrushError

_SHOWN = 50
# The next row would meet these as well: going on would mark every row as failed.
_NO_USE_GOING_ON = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EMFILE, errno.ENFILE}


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a manifest.

    Attributes
    ----------
    words
        What was given, what was expected, the mend.
    row
        From 1, headings and blank lines not counted; None where it is the whole file's.
    line
        Of the file, from 1; None for the rows of a folder.
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
    problems : tuple of Problem
        All of them, in the file's order, those of the whole file first.
    """

    def __init__(self, name: str, problems: Iterable[Problem], notes: Sequence[str] = ()) -> None:
        # More than one look at a row may meet the same thing.
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda one: one.row or 0))
        shown = [f"  {problem}" for problem in self.problems[:_SHOWN]]
        if len(self.problems) > _SHOWN:
            shown.append(f"  ... and {len(self.problems) - _SHOWN:,} more")
        count = f"{len(self.problems):,} problem{'s' * (len(self.problems) != 1)}"
        shown += [f"  ({note})" for note in notes]
        super().__init__("\n".join([f"{name}: {count}, and nothing was done", *shown]))

    def __str__(self) -> str:
        """A line for each problem; each is short enough by itself."""
        return str(self.args[0])


class BatchStopped(GroundbrushError):
    """The batch cannot go on (such as for a full disk); what is finished is kept."""


def refusals(checks: Iterable[Callable[[], object]]) -> list[str]:
    """What each of several checks refuses, in words; nothing of those that pass.

    Examples
    --------
    >>> from editor.recipe import check_words
    >>> len(refusals([lambda: check_words("find", " "), lambda: check_words("find", "a cup")]))
    1
    """
    wrong = []
    for check in checks:
        try:
            check()
        except GroundbrushError as error:
            wrong.append(str(error))
    return wrong


def stops_everything(error: BaseException) -> bool:
    """Whether the next row would fail for the same reason: full disk, read-only output."""
    return any(isinstance(one, OSError) and one.errno in _NO_USE_GOING_ON for one in _chain(error))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """An exception and those it came from."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
