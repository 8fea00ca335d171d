"""Masks one can trust: small operations that never change a mask in place.

Every operation is a frozen dataclass of plain values, so that it travels in recipes and sessions:
``as_dict`` writes it and `read_operation` reads it. It paints nothing and loads nothing; what asks
the segmenter gets it in a `MaskScene`. Undo is in `editor.masks.history`.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import cv2
import numpy as np

from ...inpaint.support import dilate, fill_holes
from ..errors import GroundbrushError
from ..values import check_choice, check_flag, check_number, check_whole
from .shadow import find_shadow
from .source import Box, fit_box, read_boxes

Segment = Callable[..., tuple[np.ndarray, np.ndarray]]
"""``segment(box=…, points=…, labels=…)`` -> masks (n, H, W) bool and scores (n,)."""

HOW = ("add", "subtract", "replace")
LEVELS = ("subpart", "part", "whole")
MAX_RADIUS = 4096
Point = tuple[float, float]


@dataclass(frozen=True, eq=False)
class MaskScene:
    """What operations may look at.

    Parameters
    ----------
    pixels
        ``(H, W, 3)`` uint8; None where no operation looks at the picture.
    segment
        The segmenter on this picture; None where there is none.
    """

    pixels: np.ndarray | None = None
    segment: Segment | None = None

    def need_segment(self, what: str) -> Segment:
        """The segmenter, or an error that says what needs it."""
        if self.segment is None:
            raise GroundbrushError(
                f"{what} needs the segmenter; use Editor.mask or Editor.edit, which bring it, or "
                "mark the place with a box or the brush"
            )
        return self.segment


class Operation:
    """An operation on a mask. Subclasses are frozen dataclasses of plain values."""

    name: ClassVar[str] = ""

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The new mask, ``(H, W)`` bool; `mask` stays as it is."""
        raise NotImplementedError

    def check_fits(self, size: tuple[int, int]) -> None:
        """Refuse places outside a picture of `size` (width, height).

        Raises
        ------
        GroundbrushError
            Naming the place. Most operations name none.
        """

    def as_dict(self) -> dict[str, Any]:
        """Plain values that survive JSON; `read_operation` reads them back."""
        values = dataclasses.asdict(self)  # type: ignore[call-overload]
        return {"op": self.name, **_plain(values)}


@dataclass(frozen=True)
class Dilate(Operation):
    """Grow by this many pixels (Euclidean)."""

    pixels: int
    name: ClassVar[str] = "dilate"

    def __post_init__(self) -> None:
        check_whole("dilate", self.pixels, 0, MAX_RADIUS)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Every pixel at most so far from a marked one."""
        return dilate(mask, self.pixels)


@dataclass(frozen=True)
class Erode(Operation):
    """Shrink by this many pixels (Euclidean); the picture's border is no edge."""

    pixels: int
    name: ClassVar[str] = "erode"

    def __post_init__(self) -> None:
        check_whole("erode", self.pixels, 0, MAX_RADIUS)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """Every marked pixel further than that from all unmarked ones."""
        return ~dilate(~mask, self.pixels)


@dataclass(frozen=True)
class Feather(Operation):
    """Ramp the painting in over this many pixels inside the edge; the mask stays as it is."""

    pixels: int
    name: ClassVar[str] = "feather"

    def __post_init__(self) -> None:
        check_whole("feather", self.pixels, 0, 512)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """A copy: feathering happens when the painting is put back."""
        return mask.copy()


@dataclass(frozen=True)
class FillHoles(Operation):
    """Close holes of at most this fraction of the mask's area."""

    fraction: float = 1.0
    name: ClassVar[str] = "fill holes"

    def __post_init__(self) -> None:
        check_number("fill holes", self.fraction, 0, 1)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The mask without its small holes."""
        return fill_holes(mask, self.fraction)


@dataclass(frozen=True)
class Invert(Operation):
    """Everything but what is marked."""

    name: ClassVar[str] = "invert"

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The complement."""
        return ~mask


@dataclass(frozen=True)
class Level(Operation):
    """Take the whole, a part or a subpart: SAM's three answers to one point, by area."""

    level: str = "whole"
    name: ClassVar[str] = "level"

    def __post_init__(self) -> None:
        check_choice("level", self.level, LEVELS)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The segmenter's mask of that level around the mask's innermost pixel."""
        if not mask.any():
            return mask.copy()
        point = innermost(mask)
        masks, _ = scene.need_segment("level")(points=[point], labels=[1])
        order = np.argsort([m.sum() for m in masks], kind="stable")
        rank = {"subpart": 0, "part": (len(masks) - 1) // 2, "whole": len(masks) - 1}
        chosen: np.ndarray = masks[order[rank[self.level]]]
        return chosen.copy() if chosen.any() else mask.copy()


@dataclass(frozen=True)
class Shadow(Operation):
    """Include the shadow the thing casts on what it stands on; see `editor.masks.shadow`."""

    reach: float = 0.6
    name: ClassVar[str] = "shadow"

    def __post_init__(self) -> None:
        check_number("shadow", self.reach, 0.05, 4)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The mask and its shadow."""
        if scene.pixels is None:
            raise GroundbrushError("shadow looks at the picture; expected a scene with its pixels")
        return mask | find_shadow(scene.pixels, mask, self.reach)


@dataclass(frozen=True)
class Boxes(Operation):
    """Add, subtract or take rectangles, or the objects in them (`snap`), all joined."""

    boxes: tuple[Box, ...]
    how: str = "add"
    snap: bool = False
    name: ClassVar[str] = "boxes"

    def __post_init__(self) -> None:
        object.__setattr__(self, "boxes", read_boxes(self.boxes))
        check_choice("how", self.how, HOW)
        check_flag("snap", self.snap)

    def check_fits(self, size: tuple[int, int]) -> None:
        """Refuse boxes that lie outside the picture."""
        for box in self.boxes:
            fit_box(box, size)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The mask joined with, or less, every box."""
        part = np.zeros_like(mask)
        for box in self.boxes:
            x0, y0, x1, y1 = fit_box(box, mask.shape[::-1])
            if self.snap:
                part |= _best(scene.need_segment("the object in a box")(box=(x0, y0, x1, y1)))
            else:
                part[y0:y1, x0:x1] = True
        return _combine(mask, part, self.how)


@dataclass(frozen=True)
class Points(Operation):
    """Add or subtract what lies under clicks; `without` are clicks on what is not meant."""

    points: tuple[Point, ...]
    how: str = "add"
    without: tuple[Point, ...] = ()
    name: ClassVar[str] = "points"

    def __post_init__(self) -> None:
        object.__setattr__(self, "points", _read_points(self.points, least=1))
        object.__setattr__(self, "without", _read_points(self.without, least=0))
        check_choice("how", self.how, HOW)

    def check_fits(self, size: tuple[int, int]) -> None:
        """Refuse clicks outside the picture."""
        for x, y in (*self.points, *self.without):
            if not (0 <= x < size[0] and 0 <= y < size[1]):
                raise GroundbrushError(
                    f"the point ({x:g}, {y:g}) lies outside the picture of "
                    f"{size[0]}x{size[1]}; expected x,y in its pixels"
                )

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The mask joined with, or less, the segmenter's best mask of the clicks."""
        self.check_fits(mask.shape[::-1])
        every = [*self.points, *self.without]
        labels = [1] * len(self.points) + [0] * len(self.without)
        part = _best(scene.need_segment("a click")(points=every, labels=labels))
        return _combine(mask, part, self.how)


@dataclass(frozen=True)
class Brush(Operation):
    """Add or subtract strokes: polylines of (x, y) with a round brush."""

    strokes: tuple[tuple[Point, ...], ...]
    radius: int = 8
    how: str = "add"
    name: ClassVar[str] = "brush"

    def __post_init__(self) -> None:
        strokes = tuple(_read_points(s, least=1) for s in self.strokes)
        object.__setattr__(self, "strokes", strokes)
        check_whole("radius", self.radius, 0, MAX_RADIUS)
        check_choice("how", self.how, HOW)

    def apply(self, mask: np.ndarray, scene: MaskScene) -> np.ndarray:
        """The mask joined with, or less, every pixel a stroke covers."""
        lines = np.zeros(mask.shape, np.uint8)
        for stroke in self.strokes:
            path = np.clip(np.floor(np.array(stroke)), -(2**15), 2**15).astype(np.int32)
            path = np.vstack((path[:1], path))  # OpenCV draws no line of one point
            cv2.polylines(lines, [path.reshape(-1, 1, 2)], False, 1)
        return _combine(mask, dilate(lines.astype(bool), self.radius), self.how)


OPERATIONS: dict[str, type[Operation]] = {
    kind.name: kind
    for kind in (Dilate, Erode, Feather, FillHoles, Invert, Level, Shadow, Boxes, Points, Brush)
}


def read_operation(given: Operation | Mapping[str, Any]) -> Operation:
    """An operation from what `Operation.as_dict` wrote; an operation is returned as it is.

    Raises
    ------
    GroundbrushError
        For an unknown operation or value, naming it.

    Examples
    --------
    >>> read_operation({"op": "dilate", "pixels": 3})
    Dilate(pixels=3)
    """
    if isinstance(given, Operation):
        return given
    if not isinstance(given, Mapping) or not isinstance(given.get("op"), str):
        raise GroundbrushError(
            f'mask operation {given!r} given; expected such as {{"op": "dilate", "pixels": 4}}'
        )
    name = given["op"]
    if name not in OPERATIONS:
        near = difflib.get_close_matches(name, OPERATIONS, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ";"
        raise GroundbrushError(
            f"mask operation {name!r} given{hint} Expected one of {', '.join(OPERATIONS)}"
        )
    kind = OPERATIONS[name]
    values = {key: value for key, value in given.items() if key != "op"}
    known = [f.name for f in dataclasses.fields(kind)]  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise GroundbrushError(
                f"mask operation {name!r} has no {key!r}; expected some of {', '.join(known)}"
            )
    try:
        return kind(**values)
    except TypeError as error:
        raise GroundbrushError(
            f"mask operation {name!r}: {error}; expected its {', '.join(known) or 'name alone'}"
        ) from error


def innermost(mask: np.ndarray) -> Point:
    """The (x, y) of the marked pixel furthest from the edge, the picture's border included."""
    padded = np.pad(mask, 1).astype(np.uint8)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(x - 1), float(y - 1)


def _best(found: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    masks, scores = found
    return np.asarray(masks[int(np.argmax(scores))])


def _combine(mask: np.ndarray, part: np.ndarray, how: str) -> np.ndarray:
    if how == "replace":
        return part
    return mask | part if how == "add" else mask & ~part


def _read_points(given: Any, least: int) -> tuple[Point, ...]:
    try:
        points = tuple((float(x), float(y)) for x, y in given)
    except (TypeError, ValueError, OverflowError):
        points = ()
        least = 1
    if len(points) < least or not all(math.isfinite(v) for p in points for v in p):
        raise GroundbrushError(f"points {given!r} given; expected pairs such as [[120, 80]]")
    return points


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(v) for v in value]
    return value
