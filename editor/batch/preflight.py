"""What is wrong with rows and is known without looking at a picture: refused before a model loads.

What would fail its own row only is `editor.batch.inspection`'s.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError
from .errors import ManifestError, Problem, refusals
from .manifest import Manifest
from .rows import APPLY, EDIT, REMOVE, Row, digest
from .state import is_own

if TYPE_CHECKING:
    from ..api import Editor


def check_rows(editor: Editor, manifest: Manifest, rows: Iterable[Row], out: Path) -> None:
    """Refuse rows whose settings, words or sentences cannot be, all at once.

    Parameters
    ----------
    editor
        Knows the settings and, for small models, the words; no model is loaded.
    manifest
        That the rows are of; what was wrong with it when it was read is told as well.
    rows
        Those that are to be done.
    out
        The output folder: a picture that a result would overwrite is refused.

    Raises
    ------
    ManifestError
        With every problem and its row.
    """
    refuse(manifest, row_problems(editor, manifest, rows, out))


def refuse(manifest: Manifest, problems: Iterable[Problem]) -> None:
    """Raise ManifestError with a manifest's own problems and these, where there are any."""
    every = [*manifest.problems, *problems]
    if every:
        raise ManifestError(str(manifest.source), every, manifest.notes)


def row_problems(
    editor: Editor, manifest: Manifest, rows: Iterable[Row], out: Path
) -> Iterator[Problem]:
    """What `check_rows` refuses; parameters are its own."""
    seen: dict[str, list[str]] = {}  # most rows say the same
    folder = Path(out).resolve()
    for row in rows:
        key = digest(row.action, row.words if row.action == APPLY else None, row.paint, row.options)
        if key not in seen:
            seen[key] = _wrong(editor, row)
        for words in (*seen[key], *_taken(manifest, row, folder)):
            yield Problem(words, row.number, row.line)


def check_out(out: Path) -> None:
    """Refuse an output folder that is not one, or cannot be made or written; nothing is written.

    Raises
    ------
    GroundbrushError
        Naming what is in the way.
    """
    nearest = Path(out).absolute()
    while not os.path.lexists(nearest) and nearest != nearest.parent:
        nearest = nearest.parent
    why = None
    if not nearest.is_dir():
        why = f"{str(nearest)!r} is no folder"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        why = f"{str(nearest)!r} may not be written"
    if why is not None:
        raise GroundbrushError(
            f"cannot write to {str(out)!r} ({why}); expected a writable folder, which may be new; "
            "choose another --out"
        )


def _taken(manifest: Manifest, row: Row, folder: Path) -> Iterator[str]:
    """Files of a row that a result in the output folder could overwrite."""
    mask = None if row.mask is None else partial(manifest.mask, row)
    for what, given, find in (
        ("image", row.image, partial(manifest.picture, row)),
        ("mask", row.mask, mask),
    ):
        try:
            own = find is not None and is_own(find(), folder)
        except GroundbrushError:  # told when it was read
            own = False
        if own:
            yield (
                f"{what} {given!r} is a result in the output folder; choose another --out, for "
                "results of this batch could overwrite it"
            )


def _wrong(editor: Editor, row: Row) -> list[str]:
    """What is wrong with a row beyond its form."""
    if row.action in (EDIT, REMOVE):
        prompts = [] if row.paint is None else [row.paint]
        return [*_bad_settings(editor, row.request()), *_bad_prompts(editor, prompts)]
    return _bad_sentence(editor, row) if row.action == APPLY else []


def _bad_sentence(editor: Editor, row: Row) -> list[str]:
    from ..plan.apply import check_ready
    from ..plan.reader import read_plan

    settings = {"action": EDIT, "settings": row.options.get("settings", {})}
    wrong = _bad_settings(editor, settings)
    try:
        plan = read_plan(row.words)
    except GroundbrushError as error:
        return [str(error), *wrong]
    prompts = [step.paint for step in plan.steps if step.paint is not None]
    return [*refusals([partial(check_ready, plan)]), *wrong, *_bad_prompts(editor, prompts)]


def _bad_settings(editor: Editor, request: Mapping[str, Any]) -> list[str]:
    """What is wrong with each setting by itself, or else with all of them together."""
    from ..editing.pipeline import settings_for

    alone = [{name: value} for name, value in request["settings"].items()]
    together, *each = (
        partial(settings_for, editor, {**request, "settings": settings})
        for settings in (request["settings"], *alone)
    )
    wrong = refusals([together])
    return wrong and (refusals(each) or wrong)


def _bad_prompts(editor: Editor, prompts: Iterable[str]) -> list[str]:
    words = editor.models.words
    return refusals(partial(words.check_prompt, prompt) for prompt in prompts) if words else []
