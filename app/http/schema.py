"""What comes in and goes out, as pydantic models: the OpenAPI document is made of these.

Values are checked here as far as a schema can say it; what depends on several of them, or on the
picture, is the editor's to refuse.
"""

# No `from __future__ import annotations`: pydantic reads the annotations when a class is made.
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, create_model

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
Point = Annotated[list[Pixel], Field(min_length=2, max_length=2, description="x, y in pixels")]
Points = Annotated[list[Point], Field(min_length=1, max_length=1000)]
How = Literal["add", "subtract", "replace"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Dilate(_Strict):
    """Grow the mask."""

    op: Literal["dilate"]
    pixels: Annotated[int, Field(ge=0, le=4096), WHOLE]


class Erode(_Strict):
    """Shrink the mask."""

    op: Literal["erode"]
    pixels: Annotated[int, Field(ge=0, le=4096), WHOLE]


class Feather(_Strict):
    """Ramp the painting in over this many pixels."""

    op: Literal["feather"]
    pixels: Annotated[int, Field(ge=0, le=512), WHOLE]


class FillHoles(_Strict):
    """Close holes of at most this fraction of the mask's area."""

    op: Literal["fill holes"]
    fraction: Annotated[float, Field(ge=0, le=1)] = 1.0


class Invert(_Strict):
    """Everything but what is marked."""

    op: Literal["invert"]


class Level(_Strict):
    """The whole thing, a part, or a part of that."""

    op: Literal["level"]
    level: Literal["subpart", "part", "whole"] = "whole"


class Shadow(_Strict):
    """The shadow as well."""

    op: Literal["shadow"]
    reach: Annotated[float, Field(ge=0.05, le=4)] = 0.6


class BoxOperation(_Strict):
    """Rectangles, or with `snap` the objects in them."""

    op: Literal["boxes"]
    boxes: Boxes
    how: How = "add"
    snap: bool = False


class PointOperation(_Strict):
    """What lies under clicks."""

    op: Literal["points"]
    points: Points
    how: How = "add"
    without: Annotated[list[Point], Field(max_length=1000)] = Field(default_factory=list)


class BrushOperation(_Strict):
    """Strokes of a round brush."""

    op: Literal["brush"]
    strokes: Annotated[list[Points], Field(max_length=200)]
    radius: Annotated[int, Field(ge=0, le=4096), WHOLE] = 8
    how: How = "add"


AnyOperation = Annotated[
    Dilate
    | Erode
    | Feather
    | FillHoles
    | Invert
    | Level
    | Shadow
    | BoxOperation
    | PointOperation
    | BrushOperation,
    Field(discriminator="op"),
]
Operations = Annotated[list[AnyOperation], Field(max_length=50)]


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


class Ground(_Strict):
    """Where is it?"""

    find: Words


class GroundAll(_Strict):
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


class Edit(_Placed):
    """Replace what `find` names, or what lies in a box or under a mask."""

    find: Words = _left_out()
    paint: Words
    check: bool | Words = False


class Remove(_Placed):
    """Paint the background over it."""

    find: Words = _left_out()
    check: bool | Words = True
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES), WHOLE] = 3


class Extend(_Painted):
    """Add to a picture's sides."""

    paint: Words = _left_out()
    left: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    top: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    right: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    bottom: Annotated[int, Field(ge=0, le=65_536), WHOLE] = 0
    check: bool | Words = False


class Apply(_Strict):
    """Do what a sentence says."""

    sentence: Words
    seed: Annotated[int, Field(ge=0, le=_MAX_SEED), WHOLE] = 0
    settings: Settings = Field(default_factory=Settings)


class Run(_Strict):
    """Do an edit again from its recipe, on the same picture."""

    recipe: dict[str, Any] = Field(description="as an earlier result gave it")


ASKS: dict[str, type[_Strict]] = {
    "ground": Ground,
    "ground-all": GroundAll,
    "edit": Edit,
    "remove": Remove,
    "extend": Extend,
    "apply": Apply,
    "run": Run,
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


BY_PATH: dict[str, type[BaseModel]] = {name: _by_path(name, m) for name, m in ASKS.items()}


class Detail(BaseModel):
    """One wrong value."""

    where: str
    message: str


class Error(BaseModel):
    """Why not."""

    code: str = Field(description="for programs")
    message: str = Field(description="for people: what was given, what was expected, the mend")
    details: list[Detail] = Field(default_factory=list)


class Problem(BaseModel):
    """Every answer from 400 on."""

    error: Error


class File(BaseModel):
    """A file of a result."""

    name: str
    media_type: str
    bytes: int
    href: str


class Candidate(BaseModel):
    """Another place that a phrase could mean."""

    box: list[float]
    score: float


class Found(BaseModel):
    """Where a phrase is."""

    phrase: str
    status: Literal["found", "absent", "ambiguous", "uncertain"]
    reason: str
    score: float
    box: list[float] | None
    candidates: list[Candidate]


class SegmentFound(BaseModel):
    """Where one noun phrase of a sentence is; `ids` are those of ``panoptic.png``."""

    phrase: str
    name: str
    is_thing: bool
    plural: bool
    status: str
    reason: str
    score: float
    ids: list[int]
    boxes: list[list[float]]
    area: int


class VariantMade(BaseModel):
    """One painting."""

    file: str
    seed: int
    checks: dict[str, Any]


class EditMade(BaseModel):
    """What an edit came to."""

    done: bool = Field(description="false where there was nothing to paint over")
    reason: str = Field(description="why not; empty where it is done")
    found: Found | None
    variants: list[VariantMade]
    support_pixels: int = Field(description="outside these every pixel equals the input's")
    checks: dict[str, Any]
    recipe: dict[str, Any]
    notes: list[str]
    timings: dict[str, float]


class Result(BaseModel):
    """What a job came to: one of the three, and the files."""

    found: Found | None = Field(None, description="of ground")
    segments: list[SegmentFound] | None = Field(None, description="of ground-all")
    edits: list[EditMade] | None = Field(None, description="of all others; several of apply")
    files: list[File]


State = Literal["waiting", "running", "done", "failed", "cancelled"]


class Job(BaseModel):
    """A piece of work and how far it is."""

    id: str
    action: str
    state: State
    place: int = Field(description="how many are served before it")
    step: int
    total: int = Field(description="steps of the painting under way; 0 before the first")
    created: float = Field(description="seconds since 1970")
    started: float | None
    finished: float | None
    error: Error | None
    result: Result | None


class Health(BaseModel):
    """Whether it takes work."""

    status: Literal["ok", "closing"]
    version: str
    preset: str
    waiting: int
    running: int
