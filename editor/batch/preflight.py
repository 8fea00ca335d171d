"""Everything that can be wrong with rows and is known without a model: checked before any loads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from editor.batch.errors import ManifestError, Problem
from editor.batch.manifest import Manifest
from editor.batch.rows import APPLY, EDIT, REMOVE, Row, digest
from editor.batch.state import is_own
from editor.errors import GroundbrushError

if TYPE_CHECKING:
    from editor.api import Editor


def check_rows(editor: Editor, manifest: Manifest, rows: Iterable[Row], out: Path) -> None:
    """Refuse rows whose settings, words or sentences cannot be, all at once.

    Parameters
    ----------
    editor
        Knows the settings and, for small models, the words; no model is loaded.
    manifest
        That the rows are of.
    rows
        Those that are to be done.
    out
        The output folder: a picture that a result would overwrite is refused.

    Raises
    ------
    ManifestError
        With every problem and its row.
    """
    problems: list[Problem] = []
    seen: dict[str, str | None] = {}  # most rows say the same
    folder = Path(out).resolve()
    for row in rows:
        key = digest(row.action, row.words if row.action == APPLY else None, row.paint, row.options)
        if key not in seen:
            seen[key] = _wrong(editor, row)
        words = seen[key]
        if words is None and row.mask is not None and is_own(manifest.mask(row), folder):
            words = f"mask {row.mask!r} is a result in the output folder; choose another --out"
        if words is None and is_own(manifest.picture(row), folder):
            words = (
                f"image {row.image!r} is a result in the output folder; choose another --out, for "
                "results of this batch could overwrite it"
            )
        if words is not None:
            problems.append(Problem(words, row.number, row.line))
    if problems:
        raise ManifestError(str(manifest.source), problems)


def _wrong(editor: Editor, row: Row) -> str | None:
    """What is wrong with a row beyond its form."""
    from editor.painting import settings_for

    try:
        if row.action in (EDIT, REMOVE):
            settings_for(editor, row.request())
            if row.paint is not None:
                _check_prompt(editor, row.paint)
        elif row.action == APPLY:
            _check_sentence(editor, row)
    except GroundbrushError as error:
        return str(error)
    return None


def _check_sentence(editor: Editor, row: Row) -> None:
    from editor.apply import check_ready
    from editor.plan.reader import read_plan

    plan = read_plan(row.words)
    check_ready(plan)
    for step in plan.steps:
        if step.paint is not None:
            _check_prompt(editor, step.paint)
    editor.models.inpaint_settings(removing=False, changes=dict(row.options.get("settings", {})))


def _check_prompt(editor: Editor, prompt: str) -> None:
    if editor.models.words:
        editor.models.words.check_prompt(prompt)
