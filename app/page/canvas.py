"""What a drawing surface shows, and what its marks mean. It draws on a copy only.

Marks come from a browser and are checked like any other input. Their coordinates are shares of the
picture's width and height, so that they fit it whatever the size of the copy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any

import cv2
import numpy as np

from ...editor.errors import GroundbrushError
from ...editor.masks.operations import Area, Boxes, Brush, Invert, Operation, Points
from ...editor.masks.source import encode_mask

LEAST = 768
"""Side that smaller masks are enlarged to: their outlines would be a staircase otherwise."""
KINDS = ("point", "box", "lasso", "stroke", "clear", "invert")
_MOST_POINTS = 20_000
_MOST_MARKS = 100


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


def read_mark(mark: Mapping[str, Any], size: tuple[int, int]) -> Operation:
    """The operation that a mark on a picture of some width and height stands for.

    A mark has ``kind`` (one of `KINDS`), ``how`` (``add`` or ``subtract``), ``points``: pairs of
    shares in [0, 1]: the click, two corners of the box, or the path of a lasso or stroke; for a
    stroke ``radius``, a share of the longer side; for a box ``snap``: take the object in it. Raises
    GroundbrushError for anything else.

    >>> read_mark({"kind": "point", "how": "add", "points": [[0.5, 0.25]]}, (200, 100))
    Points(points=((100.0, 25.0),), how='add', without=())
    """
    kind = mark.get("kind") if isinstance(mark, Mapping) else None
    if kind not in KINDS:
        raise GroundbrushError(f"a mark of kind {kind!r} given; expected one of {', '.join(KINDS)}")
    if kind == "invert":
        return Invert()
    if kind == "clear":
        return Boxes(((0, 0, *size),), how="subtract")
    how = mark.get("how")
    if how not in ("add", "subtract"):
        raise GroundbrushError(f"a mark's how is {how!r}; expected add or subtract")
    points = _points(mark.get("points"), size)
    if kind == "point":
        return Points(points[:1], how=how)
    if kind == "box":
        if len(points) != 2:
            raise GroundbrushError(f"a box of {len(points)} corners given; expected two")
        (ax, ay), (bx, by) = points
        box = (min(ax, bx), min(ay, by), max(ax, bx), max(ay, by))
        return Boxes((box,), how=how, snap=mark.get("snap", False))
    if kind == "lasso":
        drawn = np.zeros(size[::-1], np.uint8)
        cv2.fillPoly(drawn, [np.floor(points).astype(np.int32)], 1)
        return Area(encode_mask(drawn.astype(bool)), how=how)
    radius = _number(mark.get("radius"))
    return Brush((points,), radius=max(1, round(min(radius, 1) * max(size))), how=how)


def _points(given: Any, size: tuple[int, int]) -> tuple[tuple[float, float], ...]:
    if not isinstance(given, list) or not 1 <= len(given) <= _MOST_POINTS:
        raise GroundbrushError(
            f"a mark without points or with more than {_MOST_POINTS:,} given; draw it again"
        )
    points = []
    for pair in given:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise GroundbrushError(f"a mark's point is {pair!r}; expected two shares in [0, 1]")
        x, y = (min(max(_number(v), 0.0), 1.0) for v in pair)
        # the far border belongs to the last pixel
        points.append((min(x * size[0], size[0] - 0.01), min(y * size[1], size[1] - 0.01)))
    return tuple(points)


def _number(value: Any) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value):
        raise GroundbrushError(f"a mark's number is {value!r}; expected a finite one")
    return float(value)
