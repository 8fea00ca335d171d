"""How a picture meets the square a vision tower wants, and back: pure numpy.

Each way gives the *region*: the rectangle of the original image, in its pixels, that the square
covers. The public code of the localization-heads paper forgets it and lays the padded square
straight onto the picture.
"""

from __future__ import annotations

import numpy as np

from grounding.errors import GroundingError

__all__ = [
    "PADDINGS",
    "crop_region",
    "pad_region",
    "pad_to_square",
    "resized_pad_region",
    "squash_region",
]

PADDINGS = ("pad", "crop", "squash")
"""``pad`` to a square, ``crop`` its centre, or ``squash`` it."""

Region = tuple[float, float, float, float]


def pad_region(width: int, height: int) -> Region:
    """Region of an image centred in the square of its longer side.

    Examples
    --------
    >>> pad_region(200, 100)
    (0.0, -50.0, 200.0, 150.0)
    """
    side = max(width, height)
    x, y = (side - width) // 2, (side - height) // 2
    return (float(-x), float(-y), float(side - x), float(side - y))


def crop_region(width: int, height: int, size: int) -> Region:
    """Region of a `size` x `size` centre crop taken after the shorter side became `size`.

    The resized longer side is rounded down and the crop's corner too, as transformers does.

    Examples
    --------
    >>> crop_region(200, 100, 50)
    (50.0, 0.0, 150.0, 100.0)
    """
    if height <= width:
        new_h, new_w = size, int(size * width / height)
    else:
        new_h, new_w = int(size * height / width), size
    top, left = (new_h - size) // 2, (new_w - size) // 2
    return (
        left * width / new_w,
        top * height / new_h,
        (left + size) * width / new_w,
        (top + size) * height / new_h,
    )


def resized_pad_region(width: int, height: int, size: int, least: int = 1) -> Region:
    """Region of an image resized to `size` on its longer side, then centred in a square.

    The resized sides are rounded and never below `least`, as DeepSeek-VL's processor does; so
    the square's pixels need not be square on a strip.

    Examples
    --------
    >>> resized_pad_region(200, 100, 50)
    (0.0, -48.0, 200.0, 152.0)
    """
    scale = size / max(width, height)
    new_w, new_h = max(round(width * scale), least), max(round(height * scale), least)
    side = max(new_w, new_h)
    left, top = (side - new_w) // 2, (side - new_h) // 2
    return (
        -left * width / new_w,
        -top * height / new_h,
        (side - left) * width / new_w,
        (side - top) * height / new_h,
    )


def squash_region(width: int, height: int) -> Region:
    """Region of an image resized without regard to its shape: the image itself."""
    return (0.0, 0.0, float(width), float(height))


def pad_to_square(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Centre an (H, W, 3) uint8 image in a square of its longer side, filled with `colour`.

    Raises
    ------
    GroundingError
        When the image is not (H, W, 3).
    """
    if image.ndim != 3 or image.shape[2] != 3:
        raise GroundingError(f"pad_to_square got an image of shape {image.shape}, not (H, W, 3)")
    height, width = image.shape[:2]
    if height == width:
        return image
    side = max(height, width)
    square = np.empty((side, side, 3), dtype=image.dtype)
    square[:] = colour
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = image
    return square
