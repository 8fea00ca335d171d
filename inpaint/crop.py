"""Choose where to crop and at which size to paint. Boxes are xyxy, half-open pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from .settings import InpaintSettings
from .support import Box, Size


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
