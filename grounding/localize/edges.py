"""Refine mask borders with GrabCut in a thin band (Rother et al., 2004).

SAM's decoder draws on a grid of a quarter of its input, so its borders are a few pixels off. Only
pixels within a few pixels of that border are decided again.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..view import fitted_size, resize_mask

_WORK_SIDE = 512
"""Longest side of the crop that GrabCut works on; its time grows with the area."""
_BAND, _ITERATIONS = 3, 3
"""Pixels of that crop on either side of the border that are decided again."""


def refine_edges(
    image: NDArray[np.uint8], mask: NDArray[np.bool_], *, largest_only: bool = True
) -> NDArray[np.bool_]:
    """Move a mask's border to where the colours change, at most three pixels away.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB.
    mask : (H, W) bool.
    largest_only : Drop all but the largest component first: specks are nearly always mistakes.
        False keeps every component (plurals).

    Returns (H, W) bool: the mask (or its largest component) unchanged where GrabCut has no samples:
    an object thinner than the band, or one that fills the picture.

    Examples
    --------
    >>> picture = np.zeros((40, 40, 3), np.uint8)
    >>> picture[10:30, 10:30] = 255
    >>> rough = np.zeros((40, 40), bool)
    >>> rough[11:31, 9:30] = True  # off by a pixel on three sides
    >>> bool((refine_edges(picture, rough) == (picture[..., 0] > 0)).all())
    True
    """
    if not mask.any():
        return mask.copy()
    kept = _largest(mask) if largest_only else mask
    window = _window(kept)
    crop, part = image[window], kept[window]
    full_wh = part.shape[1], part.shape[0]
    small_wh = fitted_size(full_wh, _WORK_SIDE)
    refined = kept.copy()
    if small_wh == full_wh:
        refined[window] = _grabcut(crop, part)[0]
        return refined
    picture = cv2.resize(crop, small_wh, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    decided, unsure = _grabcut(picture, resize_mask(part, small_wh))
    inside, near = resize_mask(decided, full_wh), resize_mask(unsure, full_wh)
    refined[window] = np.where(near, inside, part)
    return refined


def _grabcut(
    image: NDArray[np.uint8], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The mask decided again inside its band, and the band."""
    kernel = np.ones((2 * _BAND + 1, 2 * _BAND + 1), np.uint8)
    sure = cv2.erode(mask.astype(np.uint8), kernel, borderValue=1).astype(bool)
    reach = cv2.dilate(mask.astype(np.uint8), kernel).astype(bool)
    unsure = reach & ~sure
    if not sure.any() or reach.all():
        return mask, unsure
    labels = np.full(mask.shape, cv2.GC_BGD, np.uint8)
    labels[unsure] = cv2.GC_PR_BGD
    labels[unsure & mask] = cv2.GC_PR_FGD
    labels[sure] = cv2.GC_FGD
    inside, outside = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the colour clusters start at random: same picture, same mask
    picture, whole = np.ascontiguousarray(image), (0, 0, 0, 0)
    cv2.grabCut(picture, labels, whole, outside, inside, _ITERATIONS, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD), unsure


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    box = slice(y, y + height), slice(x, x + width)  # labels of a whole photograph take long
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask[box].astype(np.uint8))
    if count <= 2:
        return mask.copy()
    kept = np.zeros_like(mask)
    kept[box] = labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    return kept


def _window(mask: NDArray[np.bool_]) -> tuple[slice, slice]:
    """The mask's box with a quarter of its size around: background to learn colours from."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    window = []
    for start, length, limit in ((y, height, mask.shape[0]), (x, width, mask.shape[1])):
        margin = max(16, length // 4)
        window.append(slice(max(0, start - margin), min(limit, start + length + margin)))
    return window[0], window[1]
