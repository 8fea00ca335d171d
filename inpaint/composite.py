"""Put the painted crop back, and prove that nothing else changed."""

from __future__ import annotations

import numpy as np

from inpaint.errors import InpaintError
from inpaint.geometry import Box


def composite(image: np.ndarray, painted: np.ndarray, alpha: np.ndarray, window: Box) -> np.ndarray:
    """Blend `painted` into a copy of `image`.

    Parameters
    ----------
    image : (H, W, 3) uint8
    painted : (h, w, 3) uint8
        The window, repainted.
    alpha : (H, W) float32 in [0, 1]
        Weight of the painted pixel; where it is 0, or outside the window, the input stays.
    window : tuple of int
        xyxy.

    Returns
    -------
    (H, W, 3) uint8
    """
    result = image.copy()
    left, top, right, bottom = window
    part = result[top:bottom, left:right]
    weight = alpha[top:bottom, left:right]
    inside = weight > 0
    share = weight[inside][:, None]
    # old + share * (new - old) leaves old exactly where both agree.
    old = part[inside].astype(np.float32)
    part[inside] = np.rint(old + share * (painted[inside] - old)).astype(np.uint8)
    return result


def assert_preserved(original: np.ndarray, result: np.ndarray, support: np.ndarray) -> None:
    """Raise InpaintError unless every pixel outside `support` is equal in both images.

    Parameters
    ----------
    original, result : (H, W, 3) uint8
    support : (H, W) bool
    """
    shapes = original.shape, result.shape, support.shape
    if original.shape != result.shape or original.shape[:2] != support.shape:
        raise InpaintError(
            f"assert_preserved: got shapes {shapes} (original, result, support); expected "
            "(H, W, 3), (H, W, 3), (H, W) of one size. Compare before resizing or rotating."
        )
    if original.dtype != result.dtype:
        raise InpaintError(
            f"assert_preserved: got dtypes {original.dtype} and {result.dtype}; "
            "expected the same. Compare before converting."
        )
    changed = (original != result).any(-1) & ~support
    count = np.count_nonzero(changed)
    if count:
        row, column = np.unravel_index(int(changed.argmax()), changed.shape)
        raise InpaintError(
            f"{count} pixels outside the support changed, the first at x={column}, y={row}; "
            "expected none. Composite again from the original image, or declare a larger support."
        )
