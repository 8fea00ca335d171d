"""The shadow a thing casts: darker than the ground around it, of the same colour, and touching.

A shadow multiplies the light of the ground by nearly one factor in all channels (Cucchiara et al.,
"Detecting moving objects, ghosts, and shadows in video streams", PAMI 2003, use the same ratio
test). The ground without it is estimated twice, and the darker estimate counts: from what
lies beyond the shadow's reach, drawn inward, and by the lighter pixels nearby.
"""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage

from ...inpaint.prefill import prefill, resize_image
from ...inpaint.support import dilate, mask_window

DARKEST, LIGHTEST = 0.2, 0.93
"""A shadow's share of the ground's light."""
TINT = 0.08
"""How far the channels' shares may lie from their mean."""
LOWER = 0.6
"""Shadows lie on what a thing stands on: their middle is below this share of its height. On the
composed scenes this and the lighter pixels nearby doubled the precision."""
_TOUCHES = 4
_WORK_SIDE = 512
"""Longest side that is looked at: the time it takes grows with its fourth power."""
_LARGEST = 0.7  # of the mask's area: more is a dark wall, not a shadow


def find_shadow(pixels: np.ndarray, mask: np.ndarray, reach: float = 0.6) -> np.ndarray:
    """Return the shadow of the masked thing, without the thing itself.

    It is a guess from one picture: look at the mask before painting.

    `reach` is how far a shadow may lie from the thing, over the square root of its area.

    Returns (H, W) bool; empty where nothing looks like one.
    """
    shadow = np.zeros_like(mask)
    area = int(np.count_nonzero(mask))
    radius = round(reach * area**0.5)
    if not area or radius < 2:
        return shadow
    window = mask_window(mask, 2 * radius)
    view, thing = np.ascontiguousarray(pixels[window]), mask[window]
    scale = _WORK_SIDE / max(thing.shape)
    if scale < 1:
        size = round(thing.shape[1] * scale) or 1, round(thing.shape[0] * scale) or 1
        small = _shadow_of(resize_image(view, size), _resized(thing, size), radius * scale)
        found = _resized(small, thing.shape[::-1])
    else:
        found = _shadow_of(view, thing, radius)
    shadow[window] = found & ~thing
    return shadow


def _resized(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    grey = np.ascontiguousarray(mask).view(np.uint8) * 255
    shrinks = size[0] < mask.shape[1]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, size, interpolation=how) >= 128)


def _shadow_of(view: np.ndarray, thing: np.ndarray, radius: float) -> np.ndarray:
    """The shadow in a window around a thing, with some of the thing's own border."""
    near = dilate(thing, radius)
    if near.all():
        return np.zeros_like(thing)
    around = dilate(thing, 2)
    share = _light(view, around, near, radius)
    mean = share.mean(2)
    even = np.abs(share - mean[..., None]).max(2) < TINT
    dark = near & ~thing & even & (mean > DARKEST) & (mean < LIGHTEST)
    dark = ndimage.binary_opening(dark, np.ones((2, 2), bool))
    found = _attached(dark, thing, _LARGEST * np.count_nonzero(thing))
    # The ring between thing and shadow belongs to the shadow: anti-aliased, it fails the tests.
    return np.asarray(found | (dilate(found, 2) & around))


def _light(view: np.ndarray, thing: np.ndarray, near: np.ndarray, radius: float) -> np.ndarray:
    """What share of the ground's light each pixel has, by channel; `thing` with a rim."""
    without = cv2.GaussianBlur(prefill(view, thing, "blur"), (0, 0), 1.2)
    without = without.astype(np.float32)
    size = max(5, int(1.5 * radius) | 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
    lighter = cv2.GaussianBlur(cv2.morphologyEx(without, cv2.MORPH_CLOSE, kernel), (0, 0), size / 6)
    beyond = prefill(view, near, "blur").astype(np.float32)
    ground = np.minimum(lighter, np.maximum(beyond, without))
    return np.asarray((without + 4) / (ground + 4))


def _attached(dark: np.ndarray, thing: np.ndarray, largest: float) -> np.ndarray:
    """The parts of `dark` that touch the thing, lie low and are no larger than that."""
    labels, count = ndimage.label(dark)
    if not count:
        return dark
    rows = np.flatnonzero(thing.any(1))
    lowest = rows[0] + LOWER * (rows[-1] - rows[0])
    numbers = np.arange(1, count + 1)
    middles = np.atleast_1d(ndimage.mean(np.indices(dark.shape)[0], labels, numbers))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    touching = np.isin(numbers, labels[dilate(thing, _TOUCHES) & dark])
    good = touching & (middles >= lowest) & (sizes >= _TOUCHES**2) & (sizes <= largest)
    return np.isin(labels, numbers[good])
