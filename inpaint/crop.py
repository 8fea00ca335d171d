"""Choose where to crop and at which size to paint. Boxes are xyxy, half-open pixels.

Parts of a support that lie far apart are painted in windows of their own: one window around two
small places in opposite corners of a large picture would show the model the whole picture on its
canvas, and both places would come out blurred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise

import cv2
import numpy as np

from .settings import InpaintSettings
from .support import Box, Size, box_slices, mask_box


@dataclass(frozen=True)
class Crop:
    """A window (xyxy) of the image, and the canvas (width, height) it is painted on."""

    window: Box
    canvas: Size

    @cached_property
    def slices(self) -> tuple[slice, slice]:
        """Index of the window in an ``(H, W, ...)`` array."""
        left, top, right, bottom = self.window
        return slice(top, bottom), slice(left, right)

    def only(self, mask: np.ndarray) -> np.ndarray:
        """Return an ``(H, W)`` bool mask without what lies outside the window."""
        part = np.zeros_like(mask)
        part[self.slices] = mask[self.slices]
        return part


def bucket_sizes(size: int, kind: str = "sdxl") -> tuple[Size, ...]:
    """Return the canvases (width, height) that a model of side `size` paints well.

    "square" gives one. "sdxl" gives 64-multiples of at most ``size**2`` pixels from 1:4 to 4:1;
    at 1024 all of them are in the list of SDXL's report (appendix I).

    Examples
    --------
    >>> bucket_sizes(128, "square")
    ((128, 128),)
    >>> bucket_sizes(1024)[:2]
    ((512, 2048), (576, 1792))
    """
    if kind == "square":
        return ((size, size),)
    narrow = [
        (short, size * size // short // 64 * 64)
        for short in range(max(64, math.ceil(size / 128) * 64), size, 64)
    ]
    return (*narrow, (size, size), *((long, short) for short, long in reversed(narrow)))


def choose_bucket(aspect: float, buckets: Sequence[Size]) -> Size:
    """Return the bucket with a width/height nearest to `aspect`, by ratio."""
    return min(buckets, key=lambda wh: abs(math.log(wh[0] / wh[1] / aspect)))


def crop_window(box: Box, image_wh: Size, aspect: float, context: float, minimum: int) -> Box:
    """Return the window to crop around `box`: inside the image, containing `box`.

    It is `box` times `context` (at least `minimum` pixels more on each side), grown to `aspect`
    (width over height), then kept inside the image: shifted first; a side longer than the image's
    is cut and the other side shrinks to keep the aspect, but never below the box.

    Examples
    --------
    >>> crop_window((40, 40, 60, 60), (100, 100), 1.0, 1.5, 0)
    (35, 35, 65, 65)
    >>> crop_window((90, 0, 100, 10), (100, 100), 1.0, 2.0, 0)
    (80, 0, 100, 20)
    """
    needed = box[2] - box[0], box[3] - box[1]
    width, height = _with_context(box, image_wh, context, minimum)
    width, height = max(width, height * aspect), max(height, width / aspect)
    if width > image_wh[0]:
        width, height = image_wh[0], min(height, max(needed[1], image_wh[0] / aspect))
    if height > image_wh[1]:
        height, width = image_wh[1], min(width, max(needed[0], image_wh[1] * aspect))
    left, right = _interval(box[0], box[2], round(width), image_wh[0])
    top, bottom = _interval(box[1], box[3], round(height), image_wh[1])
    return left, top, right, bottom


def plan_crop(box: Box, image_wh: Size, settings: InpaintSettings) -> Crop:
    """Choose the canvas and the window for a support with the box `box`."""
    width, height = _with_context(box, image_wh, settings.context, settings.min_context)
    if settings.buckets == "native":
        window = crop_window(box, image_wh, width / height, settings.context, settings.min_context)
        return Crop(window, _native(window, settings.size))
    canvas = choose_bucket(width / height, bucket_sizes(settings.size, settings.buckets))
    aspect = canvas[0] / canvas[1]
    window = crop_window(box, image_wh, aspect, settings.context, settings.min_context)
    return Crop(window, canvas)


def _with_context(box: Box, image_wh: Size, context: float, minimum: int) -> tuple[float, float]:
    """Return width and height of the box with its context, no larger than the image."""
    width, height = (
        min(max(side * context, side + 2 * minimum), limit)
        for side, limit in zip((box[2] - box[0], box[3] - box[1]), image_wh, strict=True)
    )
    return width, height


def _native(window: Box, longest: int) -> Size:
    """Return the window's own size, reduced to at most `longest` on a side."""
    width, height = window[2] - window[0], window[3] - window[1]
    shrink = min(1.0, longest / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _interval(low: int, high: int, length: int, limit: int) -> tuple[int, int]:
    """Put an interval of `length` around [low, high) inside [0, limit)."""
    length = min(max(length, high - low), limit)
    start = math.floor((low + high - length) / 2)
    start = min(max(start, 0), limit - length)
    return start, start + length


MOST_WINDOWS = 8
"""Most windows of one painting: each costs as much as a painting of its own."""
_LOSS = 1.25
"""How much more coarsely than alone a part may be painted in a common window."""
_LOSS_OF_NEIGHBOURS = 2.2
"""The same of parts that see each other: halves of one thing side by side need twice the side."""
Parts = tuple[np.ndarray, ...]
"""Disjoint parts of a support, ``(H, W)`` bool."""
_CELLS = 32
"""Parts less than a cell apart are one; a picture has so many along its longest side."""


def split_support(support: np.ndarray, settings: InpaintSettings) -> tuple[Parts, str]:
    """Group the parts of a support by the windows in which they are painted; and a note on them.

    Parts share a window if that paints none of them more coarsely than alone, or if they are
    neighbours. Of more than `MOST_WINDOWS` groups those that lose least are joined.

    Examples
    --------
    >>> support = np.zeros((400, 4000), bool)
    >>> support[100:300, 100:300] = support[100:300, 3700:3900] = True
    >>> len(split_support(support, InpaintSettings())[0])
    2
    >>> len(split_support(support[:, 3000:], InpaintSettings())[0])
    1
    """
    planner = _Planner(support.shape[1::-1], settings)
    if planner.coarseness(mask_box(support)) <= _LOSS:
        return (support,), ""
    cells, boxes = _parts(support)
    groups = _join(boxes, planner)
    note = _note(boxes, groups, planner)
    if len(groups) == 1:
        return (support,), note
    number = np.zeros(len(boxes) + 1, np.int16)
    for k, group in enumerate(groups):
        number[[part + 1 for part in group.parts]] = k
    of = _enlarged(number[cells], support)
    return tuple(support & (of == k) for k in range(len(groups))), note


@dataclass(frozen=True)
class _Group:
    """Numbers of parts, and the box around them."""

    box: Box
    parts: tuple[int, ...]

    def __or__(self, other: _Group) -> _Group:
        return _Group(_around(self.box, other.box), (*self.parts, *other.parts))


class _Planner:
    """Says in how coarse a window a box of one picture is painted."""

    def __init__(self, image_wh: Size, settings: InpaintSettings) -> None:
        self._plan = lru_cache(4096)(lambda box: plan_crop(box, image_wh, settings))

    def coarseness(self, box: Box) -> float:
        """Return the picture's pixels for each of the canvas along a side; at least 1."""
        crop = self._plan(box)
        left, top, right, bottom = crop.window
        return max(1.0, (right - left) / crop.canvas[0], (bottom - top) / crop.canvas[1])

    def together(self, one: Box, other: Box) -> bool:
        """Return whether two groups are painted in one window."""
        fine, coarse = sorted((self.coarseness(one), self.coarseness(other)))
        joint = self.coarseness(_around(one, other))
        near = joint <= _LOSS_OF_NEIGHBOURS * coarse and self._sees(one, other)
        return near or joint <= _LOSS * fine

    def _sees(self, one: Box, other: Box) -> bool:
        """Return whether each of two groups, or else the smaller one, sees the other's box."""
        small, large = sorted((one, other), key=_area)
        window = self._plan(small).window
        return all(window[k] < large[k + 2] and large[k] < window[k + 2] for k in (0, 1))


def _parts(support: np.ndarray) -> tuple[np.ndarray, list[Box]]:
    """Return the part of each cell, from 1, and the parts' boxes in pixels."""
    size = -(-max(support.shape) // _CELLS)
    height, width = (-(-side // size) for side in support.shape)
    padded = np.zeros((height * size, width * size), bool)
    padded[: support.shape[0], : support.shape[1]] = support
    filled = np.asarray(padded.reshape(height, size, width, size).any((1, 3)), np.uint8)
    count, cells, stats, _ = cv2.connectedComponentsWithStats(filled, connectivity=8)
    boxes: list[Box] = []
    for k in range(1, count):
        x, y, across, down = (int(v) for v in stats[k, :4])
        part = padded[y * size : (y + down) * size, x * size : (x + across) * size]
        inside = _repeated(cells[y : y + down, x : x + across] == k, size)
        left, top, right, bottom = mask_box(part & inside)
        boxes.append((x * size + left, y * size + top, x * size + right, y * size + bottom))
    return cells, boxes


def _enlarged(cells: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return the values of cells at the support's size."""
    size = -(-max(support.shape) // _CELLS)
    return _repeated(cells, size)[box_slices((0, 0, *support.shape[1::-1]))]


def _repeated(cells: np.ndarray, size: int) -> np.ndarray:
    return cells.repeat(size, 0).repeat(size, 1)


def _join(boxes: Sequence[Box], planner: _Planner) -> list[_Group]:
    """Join groups, large ones first, until no two belong together and they are few enough."""
    groups = [_Group(box, (k,)) for k, box in enumerate(boxes)]
    before = 0
    while len(groups) != before:
        before, kept = len(groups), list[_Group]()
        for group in sorted(groups, key=lambda group: -_area(group.box)):
            with_it = (k for k, g in enumerate(kept) if planner.together(group.box, g.box))
            k = next(with_it, None)
            if k is None:
                kept.append(group)
            else:
                kept[k] |= group
        groups = kept
    groups.sort(key=lambda group: group.box[1::-1])
    while len(groups) > MOST_WINDOWS:
        # Neighbours from top to bottom suffice: all pairs of hundreds would take long.
        joint = [a | b for a, b in pairwise(groups)]
        k = min(range(len(joint)), key=lambda k: planner.coarseness(joint[k].box))
        groups[k : k + 2] = [joint[k]]
    return groups


def _note(boxes: Sequence[Box], groups: Sequence[_Group], planner: _Planner) -> str:
    """Say where several parts share a window that is coarser than each part's own."""
    worst, places = 1.0, 0
    for group in groups:
        joint = planner.coarseness(group.box)
        if joint > _LOSS * max(planner.coarseness(boxes[k]) for k in group.parts):
            worst, places = max(worst, joint), places + len(group.parts)
    if not places:
        return ""
    return (
        f"{places} places share windows in which {worst:.1f} pixels of the picture are one of the "
        "model's, so they are painted coarsely; paint them one by one for finer ones"
    )


def _around(one: Box, other: Box) -> Box:
    return (
        min(one[0], other[0]),
        min(one[1], other[1]),
        max(one[2], other[2]),
        max(one[3], other[3]),
    )


def _area(box: Box) -> int:
    return (box[2] - box[0]) * (box[3] - box[1])
