"""Check a request, run it, and write the result's files."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ...editor.api import Editor
from ...editor.editing.pipeline import Callbacks, check_request
from ...editor.editing.region import unsearched
from ...editor.editing.result import Edit
from ...editor.errors import GroundbrushError
from ...editor.facts import edit_facts, grounding_facts, segment_facts
from ...editor.files import atomic_write
from ...editor.masks.source import fit_box
from ...editor.outputs import panoptic_files
from ...editor.pictures.picture import Picture
from ...editor.pictures.saving import save_picture
from ...editor.plan.apply import check_ready
from ...editor.plan.reader import read_plan
from ...editor.request import EditRequest
from .bodies import ApplyBody, GroundAllBody, GroundBody
from .schema import FinishedEdit, FoundPhrase, FoundSegment, JobResult, PaintedVariant


@dataclass(frozen=True, eq=False)
class JobSpec:
    """What one job does: a checked request, and notes about how its mask was read."""

    action: str
    body: Any
    notes: tuple[str, ...] = ()


def check_job(editor: Editor, body: Any, size: tuple[int, int], max_pixels: int) -> None:
    """Check what needs more than the schema: the sentence, the models' words, the picture's size.

    Raises GroundbrushError, also for recipes of another preset and for new sides that make the
    picture too large.
    """
    if isinstance(body, ApplyBody):
        check_ready(read_plan(body.sentence))
    elif isinstance(body, GroundAllBody):
        editor.finder.check_sentence(body.sentence)
    elif isinstance(body, GroundBody):
        editor.check_find(body.find, load=False)
    else:
        _check_edits(editor, [*body.before, body], size, max_pixels)


def _check_edits(
    editor: Editor, steps: Sequence[EditRequest], size: tuple[int, int], max_pixels: int
) -> None:
    width, height = size
    for step in steps:
        if step.preset not in (None, editor.preset.name):
            raise GroundbrushError(
                f"the recipe is of preset {step.preset!r}; this server has {editor.preset.name!r}"
            )
        check_request(editor.models, step)
        for words in (step.find, step.check):
            if isinstance(words, str):
                editor.check_find(words, load=False)
        for operation in step.operations:
            operation.check_fits((width, height))
        for box in step.boxes or ():
            fit_box(box, (width, height))
        if step.extend is not None:
            width += step.extend.left + step.extend.right
            height += step.extend.top + step.extend.bottom
    if width * height > max_pixels:
        raise GroundbrushError(
            f"the picture would be {width}x{height} = {width * height:,} pixels; expected at "
            f"most {max_pixels:,}; extend it by less"
        )


def run_job(
    editor: Editor, spec: JobSpec, picture: Picture, out: Path, callbacks: Callbacks
) -> JobResult:
    """Run it and write its files to a directory; returns everything but the list of them."""
    body = spec.body
    if isinstance(body, GroundBody):
        found = editor.ground(picture, body.find)
        _write_mask(found.mask, out)
        return JobResult(found=FoundPhrase(**grounding_facts(found)), files=[])
    if isinstance(body, GroundAllBody):
        return _ground_all(editor, picture, body, out)
    progress = {"on_step": callbacks.on_step, "cancelled": callbacks.cancelled}
    if isinstance(body, ApplyBody):
        return _apply(editor, body, picture, out, progress)
    taken = unsearched(body) if spec.action == "edit" else ""
    notes = (*picture.notes, *spec.notes, *filter(None, [taken]))
    noted = dataclasses.replace(picture, notes=notes)
    edit = editor.run(body, noted, **progress)
    finished = _save_edit(edit, out, "result")
    _write_mask(edit.support, out)
    atomic_write(out / "recipe.json", json.dumps(edit.recipe(), indent=1).encode())
    return JobResult(edits=[finished], files=[])


def _ground_all(editor: Editor, picture: Picture, body: GroundAllBody, out: Path) -> JobResult:
    found = editor.ground_all(picture, body.sentence, mode=body.mode)
    png, document = panoptic_files(found, "picture", "panoptic.png")
    atomic_write(out / "panoptic.png", png)
    atomic_write(out / "panoptic.json", document)
    segments = [FoundSegment(**segment_facts(segment)) for segment in found.segments]
    return JobResult(segments=segments, files=[])


def _apply(
    editor: Editor, body: ApplyBody, picture: Picture, out: Path, progress: Mapping[str, Any]
) -> JobResult:
    plan = read_plan(body.sentence)
    edits = editor.apply(picture, plan, seed=body.seed, settings=body.settings, **progress)
    finished = [_save_edit(edit, out, f"step-{k}") for k, edit in enumerate(edits, 1)]
    _write_mask(np.any([edit.support for edit in edits], axis=0), out)
    done = [edit for edit in edits if edit.done]
    if done:
        save_picture(out / "result.png", done[-1].image, like=picture)
    plan.save(out / "plan.json")
    return JobResult(edits=finished, files=[])


def _save_edit(edit: Edit, out: Path, stem: str) -> FinishedEdit:
    """Write every variant with its recipe inside; returns the edit as JSON has it."""
    variants, notes = [], list(edit.notes)
    for k, variant in enumerate(edit.variants):
        name = f"{stem}.png" if k == 0 else f"{stem}-variant-{k + 1}.png"
        notes += edit.save(out / name, k)
        checks = _plain(variant.checks)
        variants.append(PaintedVariant(file=name, seed=variant.seed, checks=checks))
    facts = edit_facts(edit)
    return FinishedEdit(
        **{**facts, "checks": _plain(edit.checks)},
        found=None if edit.grounding is None else FoundPhrase(**grounding_facts(edit.grounding)),
        variants=variants,
        recipe=edit.recipe(),
        notes=notes,
        timings={name: round(float(s), 4) for name, s in edit.timings.items()},
    )


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}


def _write_mask(mask: np.ndarray, out: Path) -> None:
    image = Image.fromarray(mask.astype(np.uint8) * 255)
    atomic_write(out / "mask.png", lambda file: image.save(file, "PNG"))
