"""Composite the painted crop, and check that nothing outside the support changed."""

from __future__ import annotations

import cv2
import numpy as np

from ..crop import Box, box_slices, mask_box
from ..errors import InpaintError

_BAND = 64
"""Rows blended or compared at a time, so that they stay in the processor's cache."""


def composite(image: np.ndarray, painted: np.ndarray, alpha: np.ndarray, window: Box) -> np.ndarray:
    """Blend `painted`, a window (xyxy), into a copy of `image`; both are uint8 RGB.

    `alpha`, ``(h, w)`` float32 in [0, 1], is the painted pixel's weight; where it is 0 the input
    stays.
    """
    result = image.copy()
    box = mask_box(alpha > 0)
    if not any(box):
        return result
    left, top = window[:2]
    inner = box_slices(box)
    part, painted, alpha = result[top:, left:][inner], painted[inner], alpha[inner]
    for row in range(0, len(part), _BAND):
        band = slice(row, row + _BAND)
        old, new, weight = (np.ascontiguousarray(one[band]) for one in (part, painted, alpha))
        # OpenCV divides by the sum of both weights plus 1e-5, which changes no grey level.
        part[band] = cv2.blendLinear(old, new, 1 - weight, weight)
    return result


def is_preserved(original: np.ndarray, result: np.ndarray, support: np.ndarray) -> bool:
    """Return whether every pixel outside `support` is equal in two images of one dtype."""
    left, top, right, bottom = mask_box(support)
    strips = (
        (slice(0, top), slice(None)),
        (slice(bottom, None), slice(None)),
        (slice(top, bottom), slice(0, left)),
        (slice(top, bottom), slice(right, None)),
    )
    if not all(same_pixels(original[part], result[part]) for part in strips):
        return False
    box = box_slices((left, top, right, bottom))
    if not support[box].size:
        return True
    outside = (~support[box]).view(np.uint8)
    changed = (original[box] != result[box]).view(np.uint8)
    return not cv2.bitwise_and(changed, changed, mask=outside).any()


def same_pixels(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two arrays are equal, comparing a band of rows at a time."""
    return first.shape == second.shape and all(
        np.array_equal(first[row : row + _BAND], second[row : row + _BAND])
        for row in range(0, len(first), _BAND)
    )


def assert_preserved(original: np.ndarray, result: np.ndarray, support: np.ndarray) -> None:
    """Raise InpaintError unless every pixel outside `support` is equal in both images."""
    if original.shape != result.shape or original.shape[:2] != support.shape:
        raise InpaintError(
            f"assert_preserved: got shapes {original.shape}, {result.shape}, {support.shape} "
            "(original, result, support); expected (H, W, 3), (H, W, 3), (H, W) of one size. "
            "Compare before resizing or rotating."
        )
    if original.dtype != result.dtype:
        raise InpaintError(
            f"assert_preserved: got dtypes {original.dtype} and {result.dtype}; "
            "expected the same. Compare before converting."
        )
    if is_preserved(original, result, support):
        return
    changed = (original != result).any(-1) & ~support
    count = np.count_nonzero(changed)
    if count:
        row, column = np.unravel_index(int(changed.argmax()), changed.shape)
        raise InpaintError(
            f"{count} pixels outside the support changed, the first at x={column}, y={row}; "
            "expected none. Composite again from the original image, or declare a larger support."
        )
