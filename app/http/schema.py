"""The JSON of answers, as pydantic models; FastAPI makes the OpenAPI document of them."""

# No `from __future__ import annotations`: pydantic reads the annotations when a class is made.
from typing import Any, Literal

from pydantic import BaseModel, Field


class ErrorDetail(BaseModel):
    """One wrong value."""

    where: str
    message: str


class ErrorInfo(BaseModel):
    """What went wrong."""

    code: str = Field(description="for programs")
    message: str = Field(description="for people: what was given, what was expected, the remedy")
    details: list[ErrorDetail] = Field(default_factory=list)


class ErrorResponse(BaseModel):
    """Every answer from 400 on."""

    error: ErrorInfo


class ResultFile(BaseModel):
    """A file of a result."""

    name: str
    media_type: str
    bytes: int
    href: str


class CandidateBox(BaseModel):
    """A place that a phrase means or could mean."""

    box: list[float]
    score: float


class FoundPhrase(BaseModel):
    """Where a phrase is."""

    phrase: str
    status: Literal["found", "absent", "ambiguous", "uncertain"]
    reason: str
    score: float
    box: list[float] | None
    candidates: list[CandidateBox]
    instances: list[CandidateBox] = Field(
        default_factory=list, description="the things one by one, where the phrase names several"
    )


class FoundSegment(BaseModel):
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


class PaintedVariant(BaseModel):
    """One painting."""

    file: str
    seed: int
    checks: dict[str, Any]


class FinishedEdit(BaseModel):
    """The result of one edit."""

    done: bool = Field(
        description="false if there was nothing to paint over, or not all that the words name"
    )
    reason: str = Field(description="why not; empty if it is done")
    found: FoundPhrase | None
    variants: list[PaintedVariant]
    support_pixels: int = Field(description="outside these every pixel equals the input's")
    checks: dict[str, Any]
    recipe: dict[str, Any]
    notes: list[str]
    timings: dict[str, float]


class JobResult(BaseModel):
    """The result of a job: one of the three, and the files."""

    found: FoundPhrase | None = Field(None, description="of ground")
    segments: list[FoundSegment] | None = Field(None, description="of ground-all")
    edits: list[FinishedEdit] | None = Field(None, description="of all others; several of apply")
    files: list[ResultFile]


class JobStatus(BaseModel):
    """A job and its progress."""

    id: str
    action: str
    state: Literal["waiting", "running", "done", "failed", "cancelled"]
    place: int = Field(description="number of jobs served before it")
    step: int
    total: int = Field(description="steps of the present painting; 0 before the first")
    created: float = Field(description="seconds since 1970")
    started: float | None
    finished: float | None
    error: ErrorInfo | None
    result: JobResult | None


class JobList(BaseModel):
    """The jobs of the client's address that are kept, the newest first."""

    jobs: list[JobStatus]


class Health(BaseModel):
    """Whether the server takes jobs."""

    status: Literal["ok", "closing"]
    version: str
    preset: str
    waiting: int
    running: int


class ServedModel(BaseModel):
    """One model; of a local one the folder's name."""

    role: Literal["finder", "segmenter", "inpainter"]
    name: str
    family: str | None
    revision: str | None


class ServedModels(BaseModel):
    """The preset of a server: other presets need another server."""

    preset: str
    about: str
    licence: str
    models: list[ServedModel]
    settings: dict[str, Any] = Field(description="of a painting, where a request has no others")
    max_pixels: int
