"""What would fail a row when its turn comes, found before: words to look for, pictures, places.

A run leaves this to its rows, of which each fails alone; a dry run reads every picture for it. The
checks are those that the work itself makes. No model is loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError, translate
from ..pictures.picture import Picture, open_picture
from ..pictures.saving import check_holds
from .errors import Problem, refusals
from .manifest import Manifest, file_problem, inside
from .progress import OnProgress, Progress
from .rows import APPLY, GROUND_ALL, Row

if TYPE_CHECKING:
    from ..api import Editor


@dataclass(frozen=True)
class Inspection:
    """What was found wrong, and what could not be looked at, in words."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...]


def inspect_rows(
    editor: Editor,
    manifest: Manifest,
    rows: Sequence[Row],
    suffix: str = "png",
    on_progress: OnProgress | None = None,
) -> Inspection:
    """Look at the words, pictures and masks of rows as their work would.

    Parameters
    ----------
    editor
        Knows words; its tokenizer is loaded, from this machine alone, and no model.
    manifest
        That the rows are of.
    rows
        Those that are to be done.
    suffix
        Of painted pictures: png, webp or jpg.
    on_progress
        Called with a `Progress` of stage ``checking`` after each picture.

    Returns
    -------
    Inspection
        Problems are not raised.
    """
    phrases, notes = _phrase_problems(editor, rows)
    pictures = _picture_problems(manifest, rows, suffix, on_progress)
    return Inspection((*phrases, *pictures), tuple(notes))


def _phrase_problems(editor: Editor, rows: Sequence[Row]) -> tuple[list[Problem], list[str]]:
    """What the preset cannot look for; where its tokenizer is not at hand, a note instead."""
    asked = [row for row in rows if row.grounds or row.action == APPLY]
    missing = refusals([editor.models.reader]) if asked else []
    notes = [f"the words to find were not checked: {words}" for words in missing]
    asked = [] if missing else asked
    seen: dict[tuple[str, str], list[str]] = {}  # most rows say the same
    problems = []
    for row in [*asked, *(row for row in rows if row.action == GROUND_ALL)]:
        key = (row.action, row.words)
        if key not in seen:
            seen[key] = _bad_phrases(editor, row)
        problems += [Problem(words, row.number, row.line) for words in seen[key]]
    return problems, notes


def _bad_phrases(editor: Editor, row: Row) -> list[str]:
    """What is wrong with each of a row's phrases."""
    from ...multiobject.errors import MultiObjectError

    try:
        with translate(MultiObjectError):
            phrases = _phrases(row)
    except GroundbrushError as error:
        # What is wrong with what `apply` is to do, any run refuses: `editor.batch.preflight`.
        return [] if row.action == APPLY else [str(error)]
    return refusals(partial(editor.check_find, phrase, load=False) for phrase in phrases)


def _phrases(row: Row) -> list[str]:
    """What is looked for in words that must be known; of ``ground-all`` others are told as such."""
    if row.action == APPLY:
        from ..plan.reader import read_plan

        return list(dict.fromkeys(step.find for step in read_plan(row.words).steps))
    if row.action == GROUND_ALL:
        from ...multiobject.phrases.noun_phrases import noun_phrases

        noun_phrases(row.words)
        return []
    return [row.words]


def _picture_problems(
    manifest: Manifest, rows: Sequence[Row], suffix: str, on_progress: OnProgress | None
) -> Iterator[Problem]:
    """What is wrong with pictures, each read once, and with places in them."""
    by_picture: dict[str, list[Row]] = {}
    for row in rows:
        by_picture.setdefault(row.image, []).append(row)
    started = time.perf_counter()
    for done, same in enumerate(by_picture.values(), 1):
        read = _read(manifest, same[0].image)
        for row in same:
            wrong = [read] if isinstance(read, str) else _wrong_with(read, row, suffix)
            wrong += _wrong_mask(manifest, row, None if isinstance(read, str) else read.size)
            yield from (Problem(words, row.number, row.line) for words in wrong)
        if on_progress is not None:
            seconds = time.perf_counter() - started
            on_progress(Progress("checking", done, len(by_picture), seconds))


def _read(manifest: Manifest, given: str) -> Picture | str:
    """A picture, or why it cannot be read."""
    wrong = file_problem(manifest.root, given)
    if wrong is not None:
        return wrong
    try:
        return open_picture(inside(manifest.root, given))
    except GroundbrushError as error:
        return str(error)


def _wrong_with(picture: Picture, row: Row, suffix: str) -> list[str]:
    """Places outside the picture, and a format that cannot hold what is painted."""
    from ..masks.operations import read_operation

    boxes = {"op": "boxes", "boxes": row.options["boxes"]} if "boxes" in row.options else None
    places = [*filter(None, [boxes]), *row.options.get("operations", ())]
    checks: list[Callable[[], object]] = [
        partial(read_operation(place).check_fits, picture.size) for place in places
    ]
    if row.paints:
        result = f"{row.name}.{'applied' if row.action == APPLY else 'edited'}.{suffix}"
        checks.append(partial(check_holds, result, picture.size, picture))
    return refusals(checks)


def _wrong_mask(manifest: Manifest, row: Row, size: tuple[int, int] | None) -> list[str]:
    """What is wrong with a row's mask; without the picture's size, that it cannot be read."""
    from ..masks.source import read_mask

    if row.mask is None:
        return []
    wrong = file_problem(manifest.root, row.mask, "mask")
    if wrong is not None:
        return [wrong]
    given = row.mask

    def read() -> None:
        mask: Any = open_picture(inside(manifest.root, given, "mask"))
        read_mask(mask, size or mask.size)

    return refusals([read])
