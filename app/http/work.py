"""A checked request -> the editor -> files and plain values. Runs in the worker's thread."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ...editor.errors import GroundbrushError
from ...editor.files import atomic_write
from ...editor.masks.operations import read_operation
from ...editor.outputs import panoptic_files
from ...editor.pictures.picture import Picture
from ...editor.request import extra, make_request, read_request

if TYPE_CHECKING:
    from ...editor.api import Editor
    from ...editor.editing.pipeline import Callbacks
    from ...editor.editing.result import Edit
    from ...grounding.result import Grounding
    from ...multiobject import PanopticGrounding

PLACED = ("edit", "remove")
_OF_API = ("seed", "variants", "retries", "draft", "settings", "check")
MOST_EDITS = 8
"""Of one recipe."""
Outcome = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Order:
    """What one job does.

    Attributes
    ----------
    action
        One of `app.http.schema.ASKS`.
    values
        Its model's, with defaults.
    masked
        A mask came with the picture.
    options
        Those of the values that the editor's methods share.
    sides
        Pixels that the picture grows by.
    """

    action: str
    values: Mapping[str, Any]
    masked: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    sides: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def read(
        cls, editor: Editor, action: str, values: Mapping[str, Any], masked: bool, max_pixels: int
    ) -> Order:
        """Check what no schema can say and what needs no model.

        Raises
        ------
        GroundbrushError
            For values that do not go together, words that the preset's models do not know, and
            recipes of another preset or with too large a mask.
        """
        order = cls(action, values, masked, {n: values[n] for n in _OF_API if n in values})
        if action == "run":
            requests = _chain(editor, values["recipe"], max_pixels)
        elif action in (*PLACED, "extend"):
            requests = [order.request()]
        else:
            return order
        sides: Counter[str] = Counter()
        for request in requests:
            _check(editor, request)
            sides.update(extra(request, "extend") or {})
        return dataclasses.replace(order, sides=dict(sides))

    def check_size(self, size: tuple[int, int], max_pixels: int) -> None:
        """Refuse a picture that new sides would make too large."""
        width = size[0] + self.sides.get("left", 0) + self.sides.get("right", 0)
        height = size[1] + self.sides.get("top", 0) + self.sides.get("bottom", 0)
        if width * height > max_pixels:
            raise GroundbrushError(
                f"the picture would be {width}x{height} = {width * height:,} pixels; expected at "
                f"most {max_pixels:,}; extend it by less"
            )

    def request(self) -> dict[str, Any]:
        """The recipe that the editor will make of it, but for a mask's pixels."""
        v = self.values
        if self.action == "extend":
            sides = {side: v[side] for side in ("left", "top", "right", "bottom")}
            return make_request(
                "extend", find=None, paint=v.get("paint"), extend=sides, **self.options
            )
        if self.masked and "boxes" in v:
            raise GroundbrushError("a mask and a box given; expected one of them")
        # a mask is read with the picture; until then a rectangle stands for it
        boxes = [[0, 0, 1, 1]] if self.masked else v.get("boxes")
        return make_request(
            self.action,
            find=v.get("find"),
            paint=v.get("paint"),
            boxes=boxes,
            candidate=v.get("candidate"),
            snap=v["snap"],
            operations=v["operations"],
            **self.options,
        )


def _chain(editor: Editor, recipe: Mapping[str, Any], max_pixels: int) -> list[dict[str, Any]]:
    """A recipe's edits in order, checked."""
    before = recipe.get("before")
    for one in (recipe, *(before if isinstance(before, list) else ())):
        if isinstance(one, Mapping):
            _check_mask(one, max_pixels)
    request = read_request(recipe)
    requests = [*request.get("before", ()), request]
    if len(requests) > MOST_EDITS:
        raise GroundbrushError(
            f"a recipe of {len(requests)} edits given; expected at most {MOST_EDITS} in a request, "
            "which others wait for; do the first ones, then the rest from their result"
        )
    for one in requests:
        if one["preset"] not in (None, editor.preset.name):
            raise GroundbrushError(
                f"the recipe is of preset {one['preset']!r}; this server has {editor.preset.name!r}"
            )
    return requests


def _check_mask(recipe: Mapping[str, Any], max_pixels: int) -> None:
    """A mask of a few bytes may unpack to very many; its size is told beside them."""
    mask = recipe.get("mask")
    size = mask.get("size") if isinstance(mask, Mapping) else None
    if isinstance(size, list) and len(size) == 2 and all(isinstance(v, int) for v in size):
        if size[0] * size[1] > max_pixels:
            raise GroundbrushError(
                f"the recipe's mask is {size[0]}x{size[1]} pixels; expected at most {max_pixels:,}"
            )
    elif mask is not None:
        raise GroundbrushError("the recipe's mask has no size; expected the one that was saved")


def _check(editor: Editor, request: dict[str, Any]) -> None:
    from ...editor.editing.pipeline import settings_for

    settings_for(editor, request)
    if editor.models.words and request["paint"] is not None:
        editor.models.words.check_prompt(request["paint"])


def do(
    editor: Editor,
    order: Order,
    picture: Picture,
    mask: Picture | None,
    folder: Path,
    callbacks: Callbacks,
) -> Outcome:
    """Do it, leave its files in a folder, and say what it came to.

    Returns
    -------
    dict
        As `app.http.schema.Result`, with the files' names for the files.
    """
    v = order.values
    if order.action == "ground":
        return _ground(editor.ground(picture, v["find"]), folder)
    if order.action == "ground-all":
        return _ground_all(editor.ground_all(picture, v["sentence"], mode=v["mode"]), folder)
    told = {"on_step": callbacks.on_step, "cancelled": callbacks.cancelled}
    if order.action == "apply":
        return _apply(editor, order, picture, folder, told)
    edit = _edit(editor, order, picture, mask, told)
    made = save_edit(edit, folder, "result")
    atomic_write(folder / "recipe.json", json.dumps(edit.recipe(), indent=1).encode())
    return {
        "edits": [made],
        "files": [
            *_mask(edit.support, folder),
            "recipe.json",
            *(v["file"] for v in made["variants"]),
        ],
    }


def _edit(
    editor: Editor, order: Order, picture: Picture, mask: Picture | None, told: dict[str, Any]
) -> Edit:
    v, options = order.values, {**order.options, **told}
    if order.action == "run":
        return editor.run(v["recipe"], picture, **told)
    if order.action == "extend":
        sides = {side: v[side] for side in ("left", "top", "right", "bottom")}
        return editor.extend(picture, v.get("paint"), **sides, **options)
    given: Any = mask
    place = {
        "mask": given,
        "box": v.get("boxes"),
        "snap": v["snap"],
        "candidate": v.get("candidate"),
        "operations": [read_operation(o) for o in v["operations"]],
    }
    if order.action == "remove":
        return editor.remove(picture, v.get("find"), **place, **options)
    return editor.edit(picture, v.get("find"), v["paint"], **place, **options)


def _ground(found: Grounding, folder: Path) -> Outcome:
    return {"found": found_facts(found), "files": _mask(found.mask, folder)}


def _ground_all(found: PanopticGrounding, folder: Path) -> Outcome:
    png, document = panoptic_files(found, "picture", "panoptic.png")
    atomic_write(folder / "panoptic.png", png)
    atomic_write(folder / "panoptic.json", document)
    segments = [
        {
            "phrase": s.phrase,
            "name": s.name,
            "is_thing": s.is_thing,
            "plural": s.plural,
            "status": s.status,
            "reason": s.reason,
            "score": round(float(s.score), 4),
            "ids": [int(i) for i in s.ids],
            "area": int(s.mask.sum()),
            "boxes": [[float(x) for x in i.box] for i in s.instances],
        }
        for s in found.segments
    ]
    return {"segments": segments, "files": ["panoptic.png", "panoptic.json"]}


def _apply(
    editor: Editor, order: Order, picture: Picture, folder: Path, told: dict[str, Any]
) -> Outcome:
    from ...editor.pictures.saving import save_picture
    from ...editor.plan.reader import read_plan

    plan = read_plan(order.values["sentence"])
    edits = editor.apply(picture, plan, **order.options, **told)
    made = [save_edit(edit, folder, f"step-{k}") for k, edit in enumerate(edits, 1)]
    support = np.any([edit.support for edit in edits], axis=0)
    files = [*_mask(support, folder), *(v["file"] for one in made for v in one["variants"])]
    done = [edit for edit in edits if edit.done]
    if done:
        save_picture(folder / "result.png", done[-1].image, like=picture)
        files.append("result.png")
    plan.save(folder / "plan.json")
    return {"edits": made, "files": [*files, "plan.json"]}


def save_edit(edit: Edit, folder: Path, stem: str) -> Outcome:
    """Write every variant with its recipe inside; what the edit came to."""
    variants, notes = [], list(edit.notes)
    for k, variant in enumerate(edit.variants):
        name = f"{stem}.png" if k == 0 else f"{stem}-variant-{k + 1}.png"
        notes += edit.save(folder / name, k)
        variants.append({"file": name, "seed": variant.seed, "checks": plain(variant.checks)})
    return {
        "done": edit.done,
        "reason": "" if edit.done else edit.notes[-1],
        "found": None if edit.grounding is None else found_facts(edit.grounding),
        "variants": variants,
        "support_pixels": int(edit.support.sum()),
        "checks": plain(edit.checks),
        "recipe": edit.recipe(),
        "notes": notes,
        "timings": {k: round(float(s), 4) for k, s in edit.timings.items()},
    }


def found_facts(found: Grounding) -> dict[str, Any]:
    """As `app.http.schema.Found`."""
    return {
        "phrase": found.phrase,
        "status": found.status,
        "reason": found.reason,
        "score": round(float(found.score), 4),
        "box": None if found.box is None else [float(v) for v in found.box],
        "candidates": [
            {"box": [float(v) for v in c.box], "score": round(float(c.score), 4)}
            for c in found.candidates
        ],
    }


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as JSON holds them."""
    return {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}


def _mask(mask: np.ndarray, folder: Path) -> list[str]:
    from PIL import Image

    image = Image.fromarray(mask.astype(np.uint8) * 255)
    atomic_write(folder / "mask.png", lambda file: image.save(file, "PNG"))
    return ["mask.png"]
