"""EditRequest: one edit as data.

It is the recipe in a picture's file, the action part of a manifest row and of an HTTP body, the
entry of a session, and what the command line builds. It finds and paints nothing.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypedDict

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    WithJsonSchema,
    model_validator,
)

from ..inpaint.settings import CHOICES, NUMBERS, WHOLE, InpaintSettings
from .errors import GroundbrushError, translate_validation
from .files import RECIPE_LIMIT
from .masks.operations import AnyOperation
from .masks.source import Box, check_encoded, read_boxes
from .values import Flag, Whole, Words, as_lists, as_validator, check_words, expects, plain

if TYPE_CHECKING:
    from ..inpaint.callbacks import CancelledBy, OnPreview, OnStep
    from .masks.history import MaskHistory
    from .masks.operations import Operation
    from .masks.source import MaskSource

VERSION = 1
MAX_VARIANTS = 16
MAX_RETRIES = 16
MAX_CHAIN = 100
"""Most edits in one recipe."""
MAX_SIDE = 65_536
_MAX_SEED = 2**63 - 1
_ALWAYS = ("groundbrush", "action", "find", "paint", "seed", "variants", "candidate", "settings")
REMOVAL: Mapping[str, Any] = {"check": True, "retries": 3}
"""Defaults of `Editor.remove` and of every front end; a recipe spells them out."""


Boxes = Sequence[float] | Sequence[Sequence[float]]
"""One xyxy box in pixels, or several."""


class PlaceOptions(TypedDict, total=False):
    """Where to paint, other than by words alone.

    ``mask``: where to paint instead of finding the phrase: a mask file, image or ``(H, W)`` array,
    or a `MaskHistory`; it is the support as it is, and does not grow. ``box``: the same as xyxy in
    pixels, one or several. ``snap``: take the object in each box, by the segmenter, not the
    rectangle. ``operations``: applied to the mask in order, see `editor.masks.operations`.
    ``candidate``: take this one of the grounding's candidates (0-based), not its first choice.
    """

    mask: MaskSource | MaskHistory | None
    box: Boxes | None
    snap: bool
    operations: Sequence[Operation | Mapping[str, Any]]
    candidate: int | None


class CallbackOptions(TypedDict, total=False):
    """Progress while painting.

    ``on_step(step, total)`` is called after each step; ``cancelled``, a function or event, is
    checked between steps: painting then raises ``inpaint.Cancelled``;
    ``on_preview(step, total, image)`` is called a few times with the picture so far.
    """

    on_step: OnStep | None
    cancelled: CancelledBy | None
    on_preview: OnPreview | None


class PaintOptions(CallbackOptions, total=False):
    """How to paint.

    ``check``: verify that what was painted is found (True), or this phrase; variants are then
    ranked, the best first, and `Edit.checks` says whether it was found. ``retries``: with `check`,
    further seeds to try while none passes. ``draft``: few steps, for a preview. ``seed``: same
    recipe, same machine, same pixels; variant k has seed + k. ``variants``: how many, 1 to 16.
    ``settings``: fields of ``inpaint.InpaintSettings`` that differ from the preset's.
    """

    check: bool | str
    retries: int
    draft: bool
    seed: int
    variants: int
    settings: Mapping[str, Any] | None


class EditOptions(PlaceOptions, PaintOptions, total=False):
    """`PlaceOptions` and `PaintOptions`."""


class Sides(BaseModel):
    """Pixels to add by side, at least one of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    left: Annotated[int, Whole(0, MAX_SIDE)] = 0
    top: Annotated[int, Whole(0, MAX_SIDE)] = 0
    right: Annotated[int, Whole(0, MAX_SIDE)] = 0
    bottom: Annotated[int, Whole(0, MAX_SIDE)] = 0

    @model_validator(mode="after")
    def _adds_something(self) -> Sides:
        if not any((self.left, self.top, self.right, self.bottom)):
            raise ValueError(
                "no side to extend given; expected pixels for one of left, top, right, bottom, "
                "e.g. right=64"
            )
        return self


class PictureReference(BaseModel):
    """The file a recipe was made from, and the digest of its pixels."""

    model_config = ConfigDict(frozen=True)
    path: str | None = None
    sha256: str | None = None


def _read_settings(given: Any) -> Any:
    if not isinstance(given, Mapping):
        return {} if given is None else given
    return {name: plain(value) for name, value in given.items()}


def _read_check(given: Any) -> bool | str:
    return given if isinstance(given, bool) else check_words("check", given)


def _settings_schema() -> dict[str, Any]:
    """The JSON schema of the painting's settings; `InpaintSettings` checks their values."""
    described = TypeAdapter(InpaintSettings).json_schema()["properties"]
    for name, (low, high) in {**NUMBERS, **WHOLE}.items():
        described[name] |= {"minimum": low, "maximum": high}
    for name, choices in CHOICES.items():
        described[name]["enum"] = list(choices)
    return {"type": "object", "properties": described, "additionalProperties": False}


Seed = Annotated[int, Whole(0, _MAX_SEED - MAX_VARIANTS - MAX_RETRIES)]
Retries = Annotated[int, Whole(0, MAX_RETRIES)]
Check = Annotated[bool | str, as_validator(_read_check)]
Settings = Annotated[
    dict[str, Any],
    BeforeValidator(_read_settings),
    WithJsonSchema(_settings_schema()),
    expects("a mapping such as steps=30"),
]


def _read_before(given: Any) -> tuple[EditRequest, ...]:
    if not isinstance(given, list | tuple) or len(given) >= MAX_CHAIN:
        raise GroundbrushError(
            f"the recipe's before is {str(given)[:60]!r}; expected a list of fewer than "
            f"{MAX_CHAIN} recipes"
        )
    for one in given:
        if not isinstance(one, Mapping | EditRequest) or dict(one).get("before"):
            raise GroundbrushError(
                "the recipe's before holds something that is not the recipe of one edit; expected "
                "a list of recipes, each as Edit.recipe() gives it"
            )
    return tuple(read_request(one) for one in given)


class EditRequest(BaseModel):
    """What all actions have in common; `read_request` makes the one that ``action`` names.

    Fields are explained by `PlaceOptions` and `PaintOptions`, but for these:

    Attributes
    ----------
    find, paint : What to replace and what to paint; None where a mask, boxes or sides say where,
        and where the background is painted.
    mask : As `editor.masks.source.encode_mask` writes it.
    batches : First seed and number of the variants that were painted together; None: as memory
        allows.
    preset, dtype, image : What it was made with (`dtype`: parts that did not compute in float32),
        and from.
    before : Earlier edits, in order; the first starts from its own image.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    groundbrush: Literal[1] = 1
    action: str
    find: Annotated[str, Words("find")] | None = None
    paint: Annotated[str, Words("paint")] | None = None
    seed: Seed = 0
    variants: Annotated[int, Whole(1, MAX_VARIANTS)] = 1
    candidate: Annotated[int, Whole(0, 99)] | None = None
    settings: Settings = Field(default_factory=dict)
    mask: Annotated[dict[str, Any], as_validator(check_encoded)] | None = None
    boxes: Annotated[tuple[Box, ...], as_validator(read_boxes)] | None = None
    snap: Flag = False
    operations: Annotated[tuple[AnyOperation, ...], expects("a list of them")] = ()
    check: Check = False
    retries: Retries = 0
    draft: Flag = False
    extend: Annotated[Sides, expects("pixels by left, top, right, bottom")] | None = None
    preset: str | None = None
    dtype: Annotated[dict[str, str], expects("precisions by part")] | None = None
    before: Annotated[tuple[AnyRequest, ...], as_validator(_read_before)] = ()
    batches: (
        Annotated[
            tuple[
                tuple[Annotated[int, Whole(0, _MAX_SEED)], Annotated[int, Whole(2, MAX_VARIANTS)]],
                ...,
            ],
            expects("pairs of a first seed and a number"),
        ]
        | None
    ) = None
    image: Annotated[PictureReference, expects("path and sha256")] | None = None

    @property
    def clicked(self) -> bool:
        """Whether a click alone says where: the first operation on an empty mask."""
        place = (self.find, self.mask, self.boxes, self.extend) == (None,) * 4
        return place and any(one.op == "points" for one in self.operations[:1])

    @model_validator(mode="after")
    def _agrees(self) -> EditRequest:
        """Refuse fields that contradict each other."""
        drawn = self.mask is not None or self.boxes is not None
        if self.find is None and not (drawn or self.clicked) and self.action != "extend":
            raise ValueError(
                "find is None and no mask or box is given; expected some words that say what to "
                "find, e.g. 'the red apple', or a place"
            )
        if self.mask is not None and self.boxes is not None:
            raise ValueError("a mask and a box given; expected one of them")
        if self.candidate is not None and (drawn or self.clicked):
            raise ValueError("a candidate and a mask or box given; expected one of them")
        if self.extend is not None and self.action != "extend":
            raise ValueError(f"extend given for the action {self.action!r}; expected none")
        return self

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe: JSON values, without what is rarely set and is not set here."""
        unset = {name: field.default for name, field in EditRequest.model_fields.items()}
        values = {n: v for n, v in self if n in _ALWAYS or (v is not None and v != unset[n])}
        for name in values.keys() & {"extend", "image"}:
            values[name] = values[name].model_dump()
        for name in values.keys() & {"operations", "before"}:
            values[name] = [one.as_dict() for one in values[name]]
        return {name: as_lists(value) for name, value in values.items()}


class ReplaceRequest(EditRequest):
    """Paint something else in the place of what is found."""

    action: Literal["edit"] = "edit"
    paint: Annotated[str, Words("paint")]


class RemoveRequest(EditRequest):
    """Paint the background over what is found."""

    action: Literal["remove"] = "remove"
    paint: Annotated[None, BeforeValidator(lambda _: None)] = None


class ExtendRequest(EditRequest):
    """Add to the picture's sides."""

    action: Literal["extend"] = "extend"
    extend: Annotated[Sides, expects("pixels by left, top, right, bottom")]


AnyRequest = Annotated[
    ReplaceRequest | RemoveRequest | ExtendRequest, Field(discriminator="action")
]
for _model in (EditRequest, ReplaceRequest, RemoveRequest, ExtendRequest):
    _model.model_rebuild()  # `before` names the union above
_REQUEST: TypeAdapter[EditRequest] = TypeAdapter(AnyRequest)


def make_request(action: Any, **values: Any) -> EditRequest:
    """Make a checked request from its fields.

    Raises GroundbrushError for a value of the wrong kind, naming it.

    Examples
    --------
    >>> make_request("edit", find="the cup", paint="a vase", seed=7).seed
    7
    """
    with translate_validation(_REQUEST, "the recipe"):
        return _REQUEST.validate_python({"action": action, **values})


def read_request(recipe: Mapping[str, Any] | EditRequest | str | os.PathLike[str]) -> EditRequest:
    """Read a recipe from a mapping, a recipe file or an edited picture.

    Raises GroundbrushError if it is not a recipe of this version.
    """
    if isinstance(recipe, EditRequest):
        return recipe
    if not isinstance(recipe, Mapping):
        from .pictures.picture import read_recipe

        path = os.fspath(recipe)
        recipe = read_recipe(path)
        _resolve_paths(recipe, os.path.dirname(os.path.realpath(path)))
    if recipe.get("groundbrush") != VERSION:
        raise GroundbrushError(
            f"recipe version {recipe.get('groundbrush')!r} given; this program reads version "
            f"{VERSION}"
        )
    return make_request(recipe.get("action"), **{k: v for k, v in recipe.items() if k != "action"})


def _resolve_paths(recipe: Mapping[str, Any], folder: str) -> None:
    """Name the pictures of a recipe from where the program runs, if they are seen from a folder.

    Recipes of earlier versions name them as they were given: of two files the digest chooses.
    """
    from .pictures.picture import open_picture

    before = recipe.get("before")
    for one in (recipe, *(before if isinstance(before, list) else ())):
        image = one.get("image") if isinstance(one, Mapping) else None
        if not isinstance(image, dict) or not isinstance(path := image.get("path"), str):
            continue
        near = os.path.normpath(os.path.join(folder, path))
        if "\0" in path or (os.path.isfile(path) and not os.path.isfile(near)):
            continue
        if os.path.isfile(path) and not os.path.samefile(path, near):  # both are there
            with suppress(GroundbrushError):
                if open_picture(path).digest == image.get("sha256"):
                    continue
        image["path"] = near


def chained(recipes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return one recipe of edits that follow one another.

    It is the last one with the earlier ones as its ``before``, in order; the first of all names
    the picture to start from, every other the one that the edit before it left.
    """
    flat = [
        {name: value for name, value in one.items() if name != "before"}
        for recipe in recipes
        for one in (*recipe.get("before", ()), recipe)
    ]
    return {**flat[-1], "before": flat[:-1]} if len(flat) > 1 else flat[0]


def recipe_for_file(recipes: Sequence[Mapping[str, Any]]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the recipe that a picture's file carries of the edits that led to it, and notes.

    All of them, `chained`; where that is longer than a file may hold, the last one alone.
    """
    every = chained(recipes)
    if len(json.dumps(every).encode()) <= RECIPE_LIMIT:
        return every, ()
    note = f"The {len(recipes)} recipes together are too long for the file: it carries the last one"
    return dict(recipes[-1]), (note,)
