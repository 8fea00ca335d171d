"""Do again what a recipe says: one edit, or several that follow one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import GroundbrushError
from ..pictures.picture import Picture, Source, open_picture
from .pipeline import Callbacks

if TYPE_CHECKING:
    from ..api import Editor
    from .result import Edit

DRIFTED = (
    "edit {k} of {n} starts from other pixels than when the recipe was made: another machine or "
    "version paints a little differently"
)


def rerun(
    editor: Editor, request: Mapping[str, Any], image: Source | None, callbacks: Callbacks
) -> Edit:
    """Do the edits of a checked recipe, see `editor.request.read_request`, in order.

    Parameters
    ----------
    editor
        Whose preset is the recipe's.
    request
        From `read_request`.
    image
        The picture to begin with; None: the one that the first edit's recipe names.
    callbacks
        Whom to tell while painting.

    Returns
    -------
    Edit
        The last one. What came before it stays in its recipe.

    Raises
    ------
    GroundbrushError
        When the recipe is of another preset, or its picture is missing or another one.
    """
    steps = [*request.get("before", ()), request]
    for step in steps:
        _check_preset(editor, step)
    picture = first_picture(request, image)
    notes: list[str] = []
    for k, step in enumerate(steps, 1):
        if k > 1 and step["image"].get("sha256") not in (None, picture.digest):
            notes.append(DRIFTED.format(k=k, n=len(steps)))
        edit = editor._paint(picture, step, callbacks)
        picture = dataclasses.replace(edit.picture, pixels=edit.image, notes=())
    return dataclasses.replace(edit, notes=(*edit.notes, *notes)) if notes else edit


def _check_preset(editor: Editor, request: Mapping[str, Any]) -> None:
    if request.get("preset") not in (None, editor.preset.name):
        raise GroundbrushError(
            f"the recipe is of preset {request['preset']!r} and this editor uses "
            f"{editor.preset.name!r}; Editor.load({request['preset']!r}) or --preset "
            f"{request['preset']} runs it"
        )


def first_picture(request: Mapping[str, Any], image: Source | None) -> Picture:
    """The picture that a recipe begins with; arguments and errors as for `rerun`."""
    first = [*request.get("before", ()), request][0]["image"]
    named = first.get("path")
    source: Source | None = named if image is None else image
    if source is None:
        raise GroundbrushError("the recipe names no picture file; give the picture as well")
    if image is None and not Path(named).is_file():
        raise GroundbrushError(
            f"the recipe's picture {named!r} is not there, seen from {str(Path.cwd())!r}; "
            "give the picture as well: `groundbrush edit PICTURE --recipe FILE`, or run(recipe, "
            "picture)"
        )
    picture = open_picture(source)
    if first.get("sha256") not in (None, picture.digest):
        raise GroundbrushError(
            f"{picture.source or 'the picture'} has other pixels than the recipe was made "
            "from; give the original picture"
        )
    return picture
