"""The JSON of requests, as pydantic models.

They check single values; the editor checks what depends on several values or on the image.
"""

# No `from __future__ import annotations`: pydantic reads the annotations when a class is made.
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, create_model

from ...editor.masks.operations import AnyOperation
from ...editor.request import MAX_RETRIES, MAX_VARIANTS


def _whole(value: Any) -> Any:
    """JSON does not tell 7.0 from 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _left_out() -> Any:
    """A value that may be left out, which is not the same as being null."""

    def without(schema: dict[str, Any]) -> None:
        schema.pop("default", None)

    return Field(default=None, json_schema_extra=without)


WHOLE = BeforeValidator(_whole)
_MAX_SEED = 2**63 - 1 - MAX_VARIANTS - MAX_RETRIES
_BLANK = r"[^\x00-\x20\x7f\x85\s]"  # at least one character that is none
Words = Annotated[str, Field(min_length=1, max_length=2000, pattern=_BLANK)]
PathInRoot = Annotated[
    str,
    Field(min_length=1, max_length=1000, description="a picture's path inside the server's root"),
]
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
BoxOf = Annotated[
    list[Pixel], Field(min_length=4, max_length=4, description="x0, y0, x1, y1 in pixels")
]
Boxes = Annotated[list[BoxOf], Field(min_length=1, max_length=100)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


MAX_PLACES = {"boxes": 100, "points": 1000, "without": 1000, "strokes": 200}
"""In one operation: each box or click may run the segmenter while other clients wait."""


def _check_places(operation: Any) -> Any:
    for name, most in MAX_PLACES.items():
        if len(getattr(operation, name, ())) > most:
            raise ValueError(f"too many {name} given; expected at most {most} in an operation")
    return operation


Operations = Annotated[
    list[Annotated[AnyOperation, AfterValidator(_check_places)]], Field(max_length=50)
]


class Settings(_Strict):
    """Of the painting, where they differ from the preset's: see docs/editing.md."""

    steps: Annotated[int, Field(ge=1, le=1000), WHOLE] = _left_out()
    guidance: Annotated[float, Field(ge=0, le=50)] = _left_out()
    strength: Annotated[float, Field(gt=0, le=1)] = _left_out()
    negative_prompt: Annotated[str, Field(max_length=2000)] = _left_out()
    scheduler: Literal["ddim", "euler", "euler_a", "dpm++", "unipc", "lcm", "tcd"] = _left_out()
    size: Annotated[int, Field(ge=64, le=2048, multiple_of=8), WHOLE] = _left_out()
    buckets: Literal["sdxl", "square"] = _left_out()
    context: Annotated[float, Field(ge=1, le=8)] = _left_out()
    min_context: Annotated[int, Field(ge=0, le=4096), WHOLE] = _left_out()
    dilate: Annotated[float, Field(ge=0, le=512)] = _left_out()
    feather: Annotated[int, Field(ge=0, le=512), WHOLE] = _left_out()
    fill_holes: Annotated[float, Field(ge=0, le=1)] = _left_out()
    prefill: Literal["blur", "telea", "grey", "none"] = _left_out()
    colour_match: bool = _left_out()
    blend: Literal["feather", "poisson", "laplacian"] = _left_out()
    shape: Literal["outline", "hull", "box"] = _left_out()
    spare: bool = _left_out()
    differential: Annotated[int, Field(ge=0, le=1024), WHOLE] = _left_out()
    control: Literal["picture", "surroundings"] = _left_out()
    control_scale: Annotated[float, Field(ge=0, le=2)] = _left_out()


class GroundBody(_Strict):
    """Where is it?"""

    find: Words


class GroundAllBody(_Strict):
    """Where is everything that a sentence names?"""

    sentence: Words
    mode: Literal["phrases", "caption"] = "phrases"


class _Painted(_Strict):
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED), WHOLE] = 0
    variants: Annotated[int, Field(ge=1, le=MAX_VARIANTS), WHOLE] = 1
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES), WHOLE] = 0
    draft: bool = False
    settings: Settings = Field(default_factory=Settings)


class _Placed(_Painted):
    boxes: Boxes = _left_out()
    snap: bool = False
    operations: Operations = Field(default_factory=list)
    candidate: Annotated[int, Field(ge=0, le=99), WHOLE] = _left_out()


class EditBody(_Placed):
    """Replace what `find` names, or what lies in a box or under a mask."""

    find: Words = _left_out()
    paint: Words
    check: bool | Words = False


class RemoveBody(_Placed):
    """Paint the background over it."""

    find: Words = _left_out()
    check: bool | Words = True
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES), WHOLE] = 3


class ExtendBody(_Painted):
    """Add to a picture's sides."""

    paint: Words = _left_out()
    left: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    top: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    right: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    bottom: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    check: bool | Words = False


class ApplyBody(_Strict):
    """Do what a sentence says."""

    sentence: Words
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED), WHOLE] = 0
    settings: Settings = Field(default_factory=Settings)


class RunBody(_Strict):
    """Do an edit again from its recipe, on the same picture."""

    recipe: dict[str, Any] = Field(description="as an earlier result gave it")


BODIES: dict[str, type[_Strict]] = {
    "ground": GroundBody,
    "ground-all": GroundAllBody,
    "edit": EditBody,
    "remove": RemoveBody,
    "extend": ExtendBody,
    "apply": ApplyBody,
    "run": RunBody,
}
"""By the last part of their address."""
MASKED = ("edit", "remove")
"""Those that a mask may be given to."""


def _by_path(action: str, model: type[_Strict]) -> type[BaseModel]:
    """The same with the picture as a path, for a request without an upload."""
    fields: dict[str, Any] = {"image": (PathInRoot, ...)}
    if action in MASKED:
        fields["mask"] = (PathInRoot, _left_out())
    name = f"{model.__name__}ByPath"
    return create_model(name, __base__=model, __doc__=model.__doc__, **fields)


BODIES_BY_PATH: dict[str, type[BaseModel]] = {name: _by_path(name, m) for name, m in BODIES.items()}
