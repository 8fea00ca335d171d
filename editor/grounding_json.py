"""A grounding as JSON values: in a session's file, and between finding and painting of a batch."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from ..grounding.result import Candidate, Grounding
from .masks.source import decode_mask, encode_mask
from .values import Number, Whole, as_validator

Coordinate = Annotated[float, Number(-1e6, 1e6)]
Share = Annotated[float, Number(0, 1)]
BoxEntry = tuple[Coordinate, Coordinate, Coordinate, Coordinate]
Text = Annotated[str, Field(max_length=10_000)]
Pixel = Annotated[int, Whole(0, 10**6)]
DecodedMask = Annotated[Any, as_validator(decode_mask)]
"""Given as `encode_mask` writes it; read as ``(H, W)`` bool."""
_PLACES = ("candidates", "instances")


def _one_length(rows: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
    if len({len(row) for row in rows}) != 1:
        raise ValueError("the rows of its map are not of one length")
    return rows


class PlaceEntry(BaseModel):
    """A `Candidate`."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    box: BoxEntry
    score: Share
    mask: DecodedMask


Places = Annotated[tuple[PlaceEntry, ...], Field(max_length=100)]


class GroundingEntry(BaseModel):
    """A `Grounding` with its masks, without its timings."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    phrase: Text
    status: Literal["found", "absent", "ambiguous", "uncertain"]
    reason: Text
    score: Share
    box: BoxEntry | None
    mask: DecodedMask
    candidates: Places
    instances: Places
    heads: Annotated[tuple[tuple[Pixel, Pixel], ...], Field(max_length=1000)]
    token_map: Annotated[
        tuple[Annotated[tuple[Coordinate, ...], Field(min_length=1, max_length=1000)], ...],
        Field(min_length=1, max_length=1000),
        AfterValidator(_one_length),
    ]
    region: BoxEntry
    presence: Share | None
    detection: BoxEntry | None
    query: Text

    def grounding(self) -> Grounding:
        """The grounding that `grounding_values` wrote."""
        values = dict(self)
        for name in _PLACES:
            values[name] = tuple(Candidate(**dict(one)) for one in values[name])
        values["token_map"] = np.array(self.token_map, np.float32)
        return Grounding(**values)


def grounding_values(found: Grounding) -> dict[str, Any]:
    """The fields of a `GroundingEntry`; numbers may be numpy's."""
    values = {name: getattr(found, name) for name in GroundingEntry.model_fields}
    for name in _PLACES:
        values[name] = [
            {"box": one.box, "score": one.score, "mask": encode_mask(one.mask)}
            for one in values[name]
        ]
    return {**values, "mask": encode_mask(found.mask), "token_map": found.token_map.tolist()}
