"""Mask operations: frozen, validated values, each with one function from mask to mask.

They are part of `EditRequest`, so they travel in recipes, sessions and HTTP bodies. They paint and
load nothing; an operation that needs the segmenter gets it in a `MaskScene`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import cv2
import numpy as np
from pydantic import Field, TypeAdapter

from ...inpaint.callbacks import check_cancelled
from ...inpaint.support import dilate, fill_holes
from ..errors import GroundbrushError, translate_validation
from ..values import Flag, Number, Whole, as_lists, as_validator, expects, schema
from .shadow import find_shadow
from .source import Box, check_encoded, fit_box, read_boxes, read_mask

Segment = Callable[..., tuple[np.ndarray, np.ndarray]]
"""``segment(box=…, points=…, labels=…)`` -> masks (n, H, W) bool and scores (n,)."""

MAX_RADIUS = 4096
How = Literal["add", "subtract", "replace"]
Point = tuple[float, float]


def read_points(given: Any) -> tuple[Point, ...]:
    """Read (x, y) pairs as finite floats; GroundbrushError for none or anything else."""
    try:
        points = tuple((float(x), float(y)) for x, y in given)
    except (TypeError, ValueError, OverflowError):
        points = ()
    if not points or not all(math.isfinite(v) for p in points for v in p):
        raise GroundbrushError(f"points {given!r} given; expected pairs such as [[120, 80]]")
    return points


Path = Annotated[tuple[Point, ...], as_validator(read_points)]


@dataclass(frozen=True, eq=False)
class MaskScene:
    """What operations may use besides the mask.

    The picture's ``(H, W, 3)`` uint8 pixels, and the segmenter on it; None where there is none.
    """

    pixels: np.ndarray | None = None
    segment: Segment | None = None

    def need_segment(self, what: str) -> Segment:
        """Return the segmenter, or raise an error that names `what` needs it."""
        if self.segment is None:
            raise GroundbrushError(
                f"{what} needs the segmenter; use Editor.mask or Editor.edit, which bring it, or "
                "mark the place with a box or the brush"
            )
        return self.segment


class Operation:
    """An operation on a mask; ``op`` is its name in JSON."""

    op: str

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the new mask, ``(H, W)`` bool; `mask` stays as it is."""
        raise NotImplementedError

    def check_fits(self, size: tuple[int, int]) -> None:
        """Raise `GroundbrushError` for places outside a picture of `size` (width, height)."""

    def as_dict(self) -> dict[str, Any]:
        """Return plain values that survive JSON; `read_operation` reads them back."""
        return as_lists(dataclasses.asdict(self))  # type: ignore[call-overload]


@schema("mask operation 'dilate'")
class Dilate(Operation):
    """Grow by this many pixels (Euclidean)."""

    op: Literal["dilate"] = field(default="dilate", kw_only=True, repr=False)
    pixels: Annotated[int, Whole(0, MAX_RADIUS, "dilate")]

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Mark every pixel at most this far from a marked one."""
        return dilate(mask, self.pixels)


@schema("mask operation 'erode'")
class Erode(Operation):
    """Shrink by this many pixels (Euclidean); the picture's border is no edge."""

    op: Literal["erode"] = field(default="erode", kw_only=True, repr=False)
    pixels: Annotated[int, Whole(0, MAX_RADIUS, "erode")]

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Keep every marked pixel further than that from all unmarked ones."""
        return ~dilate(~mask, self.pixels)


@schema("mask operation 'feather'")
class Feather(Operation):
    """Ramp the painting in over this many pixels inside the edge; the mask stays as it is."""

    op: Literal["feather"] = field(default="feather", kw_only=True, repr=False)
    pixels: Annotated[int, Whole(0, 512, "feather")]

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return a copy: feathering happens when the painting is pasted back."""
        return mask.copy()


@schema("mask operation 'fill holes'")
class FillHoles(Operation):
    """Close holes of at most this fraction of the mask's area."""

    op: Literal["fill holes"] = field(default="fill holes", kw_only=True, repr=False)
    fraction: Annotated[float, Number(0, 1, "fill holes")] = 1.0

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask without its small holes."""
        return fill_holes(mask, self.fraction)


@schema("mask operation 'invert'")
class Invert(Operation):
    """Everything but what is marked."""

    op: Literal["invert"] = field(default="invert", kw_only=True, repr=False)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the complement."""
        return ~mask


@schema("mask operation 'level'")
class Level(Operation):
    """Take the whole, a part or a subpart: SAM's three answers to one point, by area."""

    op: Literal["level"] = field(default="level", kw_only=True, repr=False)
    level: Literal["subpart", "part", "whole"] = "whole"

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the segmenter's mask of that level around the mask's innermost pixel."""
        if not mask.any():
            return mask.copy()
        masks, _ = scene.need_segment("level")(points=[innermost(mask)], labels=[1])
        order = np.argsort([m.sum() for m in masks], kind="stable")
        rank = {"subpart": 0, "part": (len(masks) - 1) // 2, "whole": len(masks) - 1}
        chosen: np.ndarray = masks[order[rank[self.level]]]
        return chosen.copy() if chosen.any() else mask.copy()


@schema("mask operation 'shadow'")
class Shadow(Operation):
    """Include the shadow the thing casts on what it stands on; see `editor.masks.shadow`."""

    op: Literal["shadow"] = field(default="shadow", kw_only=True, repr=False)
    reach: Annotated[float, Number(0.05, 4, "shadow")] = 0.6

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask and its shadow."""
        if scene.pixels is None:
            raise GroundbrushError("shadow reads the picture; expected a scene with its pixels")
        return mask | find_shadow(scene.pixels, mask, self.reach)


@schema("mask operation 'boxes'")
class Boxes(Operation):
    """Add, subtract or take rectangles, or the objects in them (`snap`), all joined."""

    op: Literal["boxes"] = field(default="boxes", kw_only=True, repr=False)
    boxes: Annotated[tuple[Box, ...], as_validator(read_boxes)]
    how: How = "add"
    snap: Flag = False

    def check_fits(self, size: tuple[int, int]) -> None:
        """Raise `GroundbrushError` for boxes outside the picture."""
        for box in self.boxes:
            fit_box(box, size)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask joined with, or without, every box."""
        part = np.zeros_like(mask)
        for box in self.boxes:
            check_cancelled()  # each box may run the segmenter
            x0, y0, x1, y1 = fit_box(box, mask.shape[::-1])
            if self.snap:
                part |= _best(scene.need_segment("the object in a box")(box=(x0, y0, x1, y1)))
            else:
                part[y0:y1, x0:x1] = True
        return _combine(mask, part, self.how)


@schema("mask operation 'points'")
class Points(Operation):
    """Add or subtract what lies under clicks; `without` are clicks on what is not meant."""

    op: Literal["points"] = field(default="points", kw_only=True, repr=False)
    points: Path
    how: How = "add"
    without: Annotated[
        tuple[Point, ...], as_validator(lambda given: read_points(given) if given else ())
    ] = ()

    def check_fits(self, size: tuple[int, int]) -> None:
        """Raise `GroundbrushError` for clicks outside the picture."""
        for x, y in (*self.points, *self.without):
            if not (0 <= x < size[0] and 0 <= y < size[1]):
                raise GroundbrushError(
                    f"the point ({x:g}, {y:g}) lies outside the picture of "
                    f"{size[0]}x{size[1]}; expected x,y in its pixels"
                )

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask joined with, or without, the segmenter's best mask of the clicks."""
        self.check_fits(mask.shape[::-1])
        every = [*self.points, *self.without]
        labels = [1] * len(self.points) + [0] * len(self.without)
        part = _best(scene.need_segment("a click")(points=every, labels=labels))
        return _combine(mask, part, self.how)


@schema("mask operation 'brush'")
class Brush(Operation):
    """Add or subtract strokes: polylines of (x, y) with a round brush."""

    op: Literal["brush"] = field(default="brush", kw_only=True, repr=False)
    strokes: tuple[Path, ...]
    radius: Annotated[int, Whole(0, MAX_RADIUS)] = 8
    how: How = "add"

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask joined with, or without, every pixel a stroke covers."""
        lines = np.zeros(mask.shape, np.uint8)
        for stroke in self.strokes:
            path = np.clip(np.floor(np.array(stroke)), -(2**15), 2**15).astype(np.int32)
            path = np.vstack((path[:1], path))  # OpenCV draws no line of one point
            cv2.polylines(lines, [path.reshape(-1, 1, 2)], False, 1)
        return _combine(mask, dilate(lines.astype(bool), self.radius), self.how)


@schema("mask operation 'area'")
class Area(Operation):
    """Add, subtract or take a mask that was drawn elsewhere."""

    op: Literal["area"] = field(default="area", kw_only=True, repr=False)
    mask: Annotated[dict[str, Any], as_validator(check_encoded)] = field(repr=False)
    how: How = "add"

    def check_fits(self, size: tuple[int, int]) -> None:
        """Raise `GroundbrushError` for a mask of another size."""
        read_mask(self.mask, size)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask joined with, or without, the one that was drawn."""
        return _combine(mask, read_mask(self.mask, mask.shape[::-1])[0], self.how)


@schema("mask operation 'spare'")
class Spare(Operation):
    """Leave the pixels of a mask out, also of what the edited one grows by when it is painted."""

    op: Literal["spare"] = field(default="spare", kw_only=True, repr=False)
    mask: Annotated[dict[str, Any], as_validator(check_encoded)] = field(repr=False)

    def check_fits(self, size: tuple[int, int]) -> None:
        """Raise `GroundbrushError` for a mask of another size."""
        read_mask(self.mask, size)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Return the mask without the spared pixels."""
        return mask & ~read_mask(self.mask, mask.shape[::-1])[0]


AnyOperation = Annotated[
    Dilate
    | Erode
    | Feather
    | FillHoles
    | Invert
    | Level
    | Shadow
    | Boxes
    | Points
    | Brush
    | Area
    | Spare,
    Field(discriminator="op"),
    expects('such as {"op": "dilate", "pixels": 4}', **{"x-name": "mask operation"}),
]
_OPERATION: TypeAdapter[Operation] = TypeAdapter(AnyOperation)


def read_operation(given: Operation | Mapping[str, Any]) -> Operation:
    """Read an operation from what `Operation.as_dict` wrote; an operation is returned as it is.

    Raises GroundbrushError for an unknown operation or value, naming it.

    Examples
    --------
    >>> read_operation({"op": "dilate", "pixels": 3})
    Dilate(pixels=3)
    """
    with translate_validation(_OPERATION, "mask operation"):
        return _OPERATION.validate_python(given)


def innermost(mask: np.ndarray) -> Point:
    """Return the (x, y) of the marked pixel furthest from the edge, the border included."""
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(x - 1), float(y - 1)


def _best(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    masks, scores = found
    return np.asarray(masks[int(np.argmax(scores))])


def _combine(mask: np.ndarray, part: np.ndarray, how: How) -> np.ndarray:
    if how == "replace":
        return part
    return mask | part if how == "add" else mask & ~part
