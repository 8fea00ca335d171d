"""The JSON of requests: an edit's is `EditRequest`, with bounds since other clients wait."""

# No `from __future__ import annotations`: pydantic reads the annotations when a class is made.
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ...editor.masks.source import check_encoded
from ...editor.request import (
    REMOVAL,
    Check,
    ExtendRequest,
    PictureReference,
    RemoveRequest,
    ReplaceRequest,
    Retries,
    Seed,
    Settings,
)
from ...editor.values import Words, as_validator

MAX_CHAIN = 8
"""Most edits of one recipe."""
MAX_WORDS = 2000
"""Longest phrase, prompt or sentence, in characters."""
MAX_IN_PLACE = {"boxes": 100, "points": 1000, "without": 1000, "strokes": 200, "operations": 50}
"""Of one edit and of one of its operations: each may run the segmenter."""

PathInRoot = Annotated[
    str,
    Field(min_length=1, max_length=1000, description="a picture's path inside the server's root"),
]


def _read_mask(given: Any) -> str | dict[str, Any]:
    return given if isinstance(given, str) else check_encoded(given)


class Body(BaseModel):
    """What all requests have."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    image: PathInRoot | PictureReference | None = None

    @model_validator(mode="after")
    def _is_bounded(self) -> "Body":
        for name, count, most in _amounts(self):
            if count > most:
                raise ValueError(f"{count:,} {name} given; expected at most {most}")
        return self


def _amounts(body: Any) -> Iterator[tuple[str, int, int]]:
    """Name, number and limit of everything that a request may have many of."""
    steps = (*getattr(body, "before", ()), body)
    yield "edits in a recipe", len(steps), MAX_CHAIN
    for step in steps:
        for name in ("find", "paint", "check", "sentence"):
            if isinstance(words := getattr(step, name, None), str):
                yield f"characters of {name}", len(words), MAX_WORDS
        for place in (step, *getattr(step, "operations", ())):
            for name, most in MAX_IN_PLACE.items():
                yield name, len(getattr(place, name, None) or ()), most


class GroundBody(Body):
    """Where is it?"""

    find: Annotated[str, Words("find")]


class GroundAllBody(Body):
    """Where is everything that a sentence names?"""

    sentence: Annotated[str, Words("name")]
    mode: Literal["phrases", "caption"] = "phrases"


class ApplyBody(Body):
    """Do what a sentence says."""

    sentence: Annotated[str, Words("change")]
    seed: Seed = 0
    settings: Settings = Field(default_factory=dict)


class _Edit(Body):
    mask: (
        Annotated[
            str | dict[str, Any],
            as_validator(_read_mask),
            Field(description="a picture's path inside the server's root, or as recipes have it"),
        ]
        | None
    ) = None


class EditBody(_Edit, ReplaceRequest):
    """Replace what `find` names, or what lies in a box or under a mask."""


class RemoveRecipe(_Edit, RemoveRequest):
    """Paint the background over it."""


class RemoveBody(RemoveRecipe):
    """Paint the background over it, and verify that it is gone."""

    check: Check = REMOVAL["check"]
    retries: Retries = REMOVAL["retries"]


class ExtendBody(_Edit, ExtendRequest):
    """Add to a picture's sides."""


BODIES: dict[str, dict[str, type[Body]]] = {
    "ground": {"": GroundBody},
    "ground-all": {"": GroundAllBody},
    "edit": {"edit": EditBody},
    "remove": {"remove": RemoveBody},
    "extend": {"extend": ExtendBody},
    "apply": {"": ApplyBody},
    "run": {"edit": EditBody, "remove": RemoveRecipe, "extend": ExtendBody},
}
"""By the last part of their address, then by the recipe's action."""
MASKED = ("edit", "remove", "run")
"""Those that a mask may be uploaded to."""
