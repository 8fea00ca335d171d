"""How a picture meets the square a vision tower wants, and back: pure numpy.

Each way gives the *region*: the rectangle of the original image, in its pixels, that the square
covers. The public code of the localization-heads paper forgets it and lays the padded square
straight onto the picture.
"""

from __future__ import annotations

import numpy as np

from ..errors import GroundingError

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


def covered_region(region: Region, share: float) -> Region:
    """The part of a view's region that its patches cover: `share` of each side, from the corner.

    Examples
    --------
    >>> covered_region((-10.0, 0.0, 90.0, 100.0), 0.9)
    (-10.0, 0.0, 80.0, 90.0)
    """
    x0, y0, x1, y1 = region
    return (x0, y0, x0 + share * (x1 - x0), y0 + share * (y1 - y0))


def tiled_region(region: Region, tiles_hw: tuple[int, int], share: float = 1.0) -> Region:
    """Region of the cells of (rows, columns) tiles laid side by side over a region.

    Where patches cover only a `share` of a tile's side, the gaps between the tiles are spread
    evenly over the cells: none is off by more than half a gap.

    Examples
    --------
    >>> tiled_region((0.0, 0.0, 80.0, 60.0), (3, 4))
    (0.0, 0.0, 80.0, 60.0)
    >>> tiled_region((0.0, 0.0, 80.0, 60.0), (3, 4), 0.9)
    (-1.0, -1.0, 79.0, 59.0)
    """
    x0, y0, x1, y1 = region
    x = round((1 - share) / 2 * (x1 - x0) / tiles_hw[1], 9)
    y = round((1 - share) / 2 * (y1 - y0) / tiles_hw[0], 9)
    return (x0 - x, y0 - y, x1 - x, y1 - y)


def tile_places(
    positions: np.ndarray, tiles_hw: tuple[int, int], grid_hw: tuple[int, int]
) -> tuple[int, ...]:
    """Positions of tiles' tokens in the order of the cells of the tiles laid side by side.

    Parameters
    ----------
    positions : (rows * columns * P * Q,) of the tokens: tile after tile, row by row, each row by
        row.
    tiles_hw, grid_hw : Rows and columns of tiles, and of a tile's tokens (P, Q).

    Examples
    --------
    Two tiles of 2 x 2 tokens beside each other make rows of four:

    >>> tile_places(np.arange(8), (1, 2), (2, 2))
    (0, 1, 4, 5, 2, 3, 6, 7)
    """
    cells = np.reshape(positions, (*tiles_hw, *grid_hw)).transpose(0, 2, 1, 3)
    return tuple(cells.ravel().tolist())


def pad_to_square(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Centre an (H, W, 3) uint8 image in a square of its longer side, filled with `colour`.

    Raises GroundingError when the image is not (H, W, 3).
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
