"""Do again what a recipe says: one edit, or several that follow one another."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GroundbrushError
from ..pictures.picture import Picture, Source, open_picture
from .pipeline import Callbacks, run_request

if TYPE_CHECKING:
    from ..finder import Finder
    from ..request import EditRequest
    from .result import Edit


def rerun(finder: Finder, request: EditRequest, image: Source | None, callbacks: Callbacks) -> Edit:
    """Do the edits of a recipe in order and return the last one; its recipe holds the others.

    `image` None is the picture that the first edit's recipe names.

    Raises GroundbrushError if the recipe is of another preset, or its picture is missing or has
    changed.
    """
    steps = [*request.before, request]
    name = finder.models.preset.name
    for step in steps:
        _check_preset(step, name)
    picture = first_picture(request, image)
    notes: list[str] = []
    for k, step in enumerate(steps, 1):
        made_from = step.image.sha256 if step.image else None
        if k > 1 and made_from not in (None, picture.digest):
            notes.append(
                f"edit {k} of {len(steps)} starts from other pixels than when the recipe was made: "
                "another machine or version paints a little differently"
            )
        edit = run_request(finder, picture, step, callbacks)
        if step.dtype and step.dtype != edit.request.dtype:
            here = edit.request.dtype or "float32"
            notes.append(
                f"the recipe was made with parts in {step.dtype}, and here they compute in {here}: "
                "the painting differs a little"
            )
        picture = dataclasses.replace(edit.picture, pixels=edit.image, notes=())
    return dataclasses.replace(edit, notes=(*edit.notes, *notes)) if notes else edit


def _check_preset(request: EditRequest, name: str) -> None:
    if request.preset not in (None, name):
        raise GroundbrushError(
            f"the recipe is of preset {request.preset!r} and this editor uses {name!r}; "
            f"Editor.load({request.preset!r}) or --preset {request.preset} runs it"
        )


def first_picture(request: EditRequest, image: Source | None) -> Picture:
    """Return the picture that a recipe starts from; arguments and errors as for `rerun`."""
    first = [*request.before, request][0].image
    named, digest = (first.path, first.sha256) if first else (None, None)
    source: Source | None = named if image is None else image
    if source is None:
        raise GroundbrushError("the recipe names no picture file; give the picture as well")
    if image is None and not Path(named or "").is_file():
        seen = "" if os.path.isabs(named or "") else f", seen from {str(Path.cwd())!r}"
        raise GroundbrushError(
            f"the recipe's picture {named!r} is not there{seen}; "
            "give the picture as well: `groundbrush edit PICTURE --recipe FILE`, or run(recipe, "
            "picture)"
        )
    picture = open_picture(source)
    if digest not in (None, picture.digest):
        raise GroundbrushError(
            f"{picture.source or 'the picture'} has other pixels than the recipe was made "
            "from; give the original picture"
        )
    return picture
