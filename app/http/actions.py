"""Check what a request asks of the editor, run it, and write the result's files."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...editor.editing.pipeline import check_request
from ...editor.errors import GroundbrushError
from ...editor.facts import edit_facts, grounding_facts, segment_facts
from ...editor.files import atomic_write
from ...editor.masks.operations import read_operation
from ...editor.outputs import panoptic_files
from ...editor.pictures.picture import Picture
from ...editor.pictures.saving import encode_png
from ...editor.request import EditRequest, Sides, make_request, read_request
from .schema import FinishedEdit, FoundPhrase, FoundSegment, JobResult, PaintedVariant

if TYPE_CHECKING:
    from ...editor.api import Editor
    from ...editor.editing.pipeline import Callbacks
    from ...editor.editing.result import Edit

MAX_CHAIN = 8
"""Most edits of one recipe: other clients wait meanwhile."""
_OPTIONS = ("seed", "variants", "retries", "draft", "settings", "check")


@dataclass(frozen=True, eq=False)
class JobSpec:
    """What one job does.

    Attributes
    ----------
    action
        One of `app.http.bodies.BODIES`.
    values
        Those of its body, with defaults.
    has_mask
        A mask came with the image.
    options
        The values that all methods of the editor share.
    sides
        Pixels added to each side of the image.
    """

    action: str
    values: Mapping[str, Any]
    has_mask: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    sides: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(
        cls, editor: Editor, action: str, values: Mapping[str, Any], has_mask: bool, max_pixels: int
    ) -> JobSpec:
        """Check what needs more than the schema and no model.

        Raises
        ------
        GroundbrushError
            For values that do not go together, words that the preset's models do not know, and
            recipes of another preset or with too large a mask.
        """
        spec = cls(action, values, has_mask, {n: values[n] for n in _OPTIONS if n in values})
        if action == "run":
            requests = _read_recipe(editor, values["recipe"], max_pixels)
        elif action in ("edit", "remove", "extend"):
            requests = [spec.request()]
        else:
            return spec
        sides: Counter[str] = Counter()
        for request in requests:
            check_request(editor.models, request)
            sides.update(request.extend.model_dump() if request.extend else {})
        return dataclasses.replace(spec, sides=dict(sides))

    def check_size(self, size: tuple[int, int], max_pixels: int) -> None:
        """Refuse an image that new sides would make too large."""
        sides = Counter(self.sides)
        width, height = size[0] + sides["left"] + sides["right"], size[1] + sides["top"]
        height += sides["bottom"]
        if width * height > max_pixels:
            raise GroundbrushError(
                f"the picture would be {width}x{height} = {width * height:,} pixels; expected at "
                f"most {max_pixels:,}; extend it by less"
            )

    def request(self) -> EditRequest:
        """The recipe that the editor will make of it, except for a mask's pixels."""
        v = self.values
        if self.action == "extend":
            sides = {side: v[side] for side in Sides.model_fields}
            return make_request(
                "extend", find=None, paint=v.get("paint"), extend=sides, **self.options
            )
        if self.has_mask and "boxes" in v:
            raise GroundbrushError("a mask and a box given; expected one of them")
        return make_request(
            self.action,
            find=v.get("find"),
            paint=v.get("paint"),
            # a mask is read with the image; until then a rectangle stands for it
            boxes=[[0, 0, 2, 2]] if self.has_mask else v.get("boxes"),
            candidate=v.get("candidate"),
            snap=v["snap"],
            operations=v["operations"],
            **self.options,
        )


def _read_recipe(editor: Editor, recipe: Mapping[str, Any], max_pixels: int) -> list[EditRequest]:
    """A recipe's edits in order, checked."""
    before = recipe.get("before")
    for one in (recipe, *(before if isinstance(before, list) else ())):
        if isinstance(one, Mapping):
            _check_mask_size(one.get("mask"), max_pixels)
    request = read_request(recipe)
    requests = [*request.before, request]
    if len(requests) > MAX_CHAIN:
        raise GroundbrushError(
            f"a recipe of {len(requests)} edits given; expected at most {MAX_CHAIN} in a request, "
            "which others wait for; do the first ones, then the rest from their result"
        )
    for one in requests:
        if one.preset not in (None, editor.preset.name):
            raise GroundbrushError(
                f"the recipe is of preset {one.preset!r}; this server has {editor.preset.name!r}"
            )
    return requests


def _check_mask_size(mask: Any, max_pixels: int) -> None:
    """Refuse a large mask before it is decoded: a few bytes may unpack to very many."""
    size = mask.get("size") if isinstance(mask, Mapping) else None
    if isinstance(size, list) and len(size) == 2 and all(isinstance(v, int) for v in size):
        if size[0] * size[1] > max_pixels:
            raise GroundbrushError(
                f"the recipe's mask is {size[0]}x{size[1]} pixels; expected at most {max_pixels:,}"
            )
    elif mask is not None:
        raise GroundbrushError("the recipe's mask has no size; expected the one that was saved")


def run_job(
    editor: Editor,
    spec: JobSpec,
    picture: Picture,
    mask: Picture | None,
    out: Path,
    callbacks: Callbacks,
) -> JobResult:
    """Run it and write its files to a directory; returns everything but the list of them."""
    v = spec.values
    if spec.action == "ground":
        found = editor.ground(picture, v["find"])
        _write_mask(found.mask, out)
        return JobResult(found=FoundPhrase(**grounding_facts(found)), files=[])
    if spec.action == "ground-all":
        return _ground_all(editor, picture, v, out)
    progress = {"on_step": callbacks.on_step, "cancelled": callbacks.cancelled}
    if spec.action == "apply":
        return _apply(editor, spec, picture, out, progress)
    edit = _edit(editor, spec, picture, mask, progress)
    finished = _save_edit(edit, out, "result")
    _write_mask(edit.support, out)
    atomic_write(out / "recipe.json", json.dumps(edit.recipe(), indent=1).encode())
    return JobResult(edits=[finished], files=[])


def _edit(
    editor: Editor,
    spec: JobSpec,
    picture: Picture,
    mask: Picture | None,
    progress: Mapping[str, Any],
) -> Edit:
    v, options = spec.values, {**spec.options, **progress}
    if spec.action == "run":
        return editor.run(v["recipe"], picture, **progress)
    if spec.action == "extend":
        sides = {side: v[side] for side in Sides.model_fields}
        return editor.extend(picture, v.get("paint"), **sides, **options)
    options |= {
        "mask": mask,
        "box": v.get("boxes"),
        "snap": v["snap"],
        "candidate": v.get("candidate"),
        "operations": [read_operation(o) for o in v["operations"]],
    }
    if spec.action == "remove":
        return editor.remove(picture, v.get("find"), **options)
    return editor.edit(picture, v.get("find"), v["paint"], **options)


def _ground_all(editor: Editor, picture: Picture, v: Mapping[str, Any], out: Path) -> JobResult:
    found = editor.ground_all(picture, v["sentence"], mode=v["mode"])
    png, document = panoptic_files(found, "picture", "panoptic.png")
    atomic_write(out / "panoptic.png", png)
    atomic_write(out / "panoptic.json", document)
    segments = [FoundSegment(**segment_facts(segment)) for segment in found.segments]
    return JobResult(segments=segments, files=[])


def _apply(
    editor: Editor, spec: JobSpec, picture: Picture, out: Path, progress: Mapping[str, Any]
) -> JobResult:
    from ...editor.pictures.saving import save_picture
    from ...editor.plan.reader import read_plan

    plan = read_plan(spec.values["sentence"])
    edits = editor.apply(picture, plan, **spec.options, **progress)
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
    atomic_write(out / "mask.png", encode_png(mask.astype(np.uint8) * 255))
