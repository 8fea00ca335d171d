"""What a drawing surface shows, and what its marks mean. It draws on a copy only.

Marks come from a browser and are checked like any other input. Their coordinates are shares of the
picture's width and height, so that they fit it whatever the size of the copy.
"""

# No `from __future__ import annotations`: pydantic reads the annotations when a class is made.
import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ...editor.errors import GroundbrushError, translate_validation
from ...editor.masks.operations import Area, Boxes, Brush, Invert, Operation, Points
from ...editor.masks.source import encode_mask
from ...editor.values import Flag, Number, expects

LEAST = 768
"""Side that smaller masks are enlarged to: their outlines would be a staircase otherwise."""
_MOST_POINTS = 20_000
_MOST_MARKS = 100
Share = Annotated[float, Number(-1e6, 1e6)]


def outlines(mask: np.ndarray, most: int = 20_000) -> list[list[float]]:
    """The outlines of a mask, ``(H, W)`` bool, and of its holes, to be drawn at any size.

    Each is x0, y0, x1, y1, … in pixels; filled by the even-odd rule they give the mask. Beyond
    `most` points in all a ragged mask loses detail.

    >>> outlines(np.ones((800, 900), bool))
    [[0.5, 0.5, 0.5, 799.5, 899.5, 799.5, 899.5, 0.5]]
    """
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not rows.size:
        return []
    top, left = rows[0], columns[0]
    part = mask[top : rows[-1] + 1, left : columns[-1] + 1].astype(np.uint8)
    scale = math.ceil(LEAST / max(mask.shape))  # a small mask would be a staircase
    if scale > 1:
        part = np.pad(part, 1)
        top, left = top - 1, left - 1
        grey = cv2.resize(255 * part, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        part = (grey > 127).astype(np.uint8)
    found, _ = cv2.findContours(part, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    coarse = 0.0
    while sum(map(len, found)) > most and coarse < 8:
        coarse = max(0.7, 2 * coarse)
        found = [cv2.approxPolyDP(line, coarse, True) for line in found]
    longest = sorted(found, key=len, reverse=True)  # still too many: specks are left out
    few = longest[: sum(points <= most for points in accumulate(map(len, longest)))]
    corner = np.array([left, top])
    return [((ring[:, 0] + 0.5) / scale + corner).round(2).ravel().tolist() for ring in few]


def new_marks(given: Any, done: int) -> list[tuple[int, Mapping[str, Any]]]:
    """The marks a surface sent that come after the one numbered `done`, with their numbers.

    A surface sends every mark until the page confirms it, so that none is lost while it is busy.
    What is no mark is left out: `read_mark` checks the rest.

    >>> new_marks({"marks": [{"id": 1, "kind": "undo"}, {"id": 2, "kind": "redo"}]}, 1)
    [(2, {'id': 2, 'kind': 'redo'})]
    """
    marks = given.get("marks") if isinstance(given, Mapping) else None
    if not isinstance(marks, Sequence) or isinstance(marks, str):
        return []
    numbered = [m for m in marks if isinstance(m, Mapping) and type(m.get("id")) is int]
    new = [(m["id"], m) for m in numbered if m["id"] > done]
    return sorted(new, key=lambda pair: pair[0])[:_MOST_MARKS]


class Mark(BaseModel):
    """What was drawn: points are shares of width and height, the radius of the longer side.

    They are the click, two corners of the box, or the path of a lasso or stroke; with `snap` the
    object in a box is taken.
    """

    model_config = ConfigDict(frozen=True)
    kind: Literal["point", "box", "lasso", "stroke", "clear", "invert"]
    how: Literal["add", "subtract"] = "add"
    points: Annotated[
        tuple[tuple[Share, Share], ...],
        Field(max_length=_MOST_POINTS),
        expects(f"pairs of shares, at most {_MOST_POINTS:,}"),
    ] = ()
    radius: Share = 0.0
    snap: Flag = False


def read_mark(given: Mapping[str, Any], size: tuple[int, int]) -> Operation:
    """The operation that a `Mark` on a picture of some width and height stands for.

    >>> read_mark({"kind": "point", "how": "add", "points": [[0.5, 0.25]]}, (200, 100))
    Points(points=((100.0, 25.0),), how='add', without=())
    """
    with translate_validation(Mark, "the mark"):
        mark = Mark.model_validate(given)
    if mark.kind == "invert":
        return Invert()
    if mark.kind == "clear":
        return Boxes(((0, 0, *size),), how="subtract")
    if len(mark.points) != 2 if mark.kind == "box" else not mark.points:
        raise GroundbrushError(
            f"a {mark.kind} of {len(mark.points)} points given; expected two for a box, and at "
            "least one for others; draw it again"
        )
    shares = np.clip(np.array(mark.points, float), 0, 1)
    # the far border belongs to the last pixel
    pixels = np.minimum(shares * size, np.array(size) - 0.01)
    points = tuple((x, y) for x, y in pixels.tolist())
    if mark.kind == "point":
        return Points(points[:1], how=mark.how)
    if mark.kind == "box":
        box = (*pixels.min(0).tolist(), *pixels.max(0).tolist())
        return Boxes((box,), how=mark.how, snap=mark.snap)
    if mark.kind == "lasso":
        drawn = np.zeros(size[::-1], np.uint8)
        cv2.fillPoly(drawn, [np.floor(pixels).astype(np.int32)], 1)
        return Area(encode_mask(drawn.astype(bool)), how=mark.how)
    return Brush((points,), radius=max(1, round(min(mark.radius, 1) * max(size))), how=mark.how)
