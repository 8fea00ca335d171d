"""Fit a picture to the square of a vision tower: its image tokens, and the region they cover.

Numpy only; it knows no network and no weights.

The *region* is the rectangle of the original image, in its pixels, that the square covers. The
public code of the localization-heads paper ignores it and lays the padded square directly onto the
picture.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import GroundingError

PADDINGS = ("pad", "crop", "squash")
"""``pad`` to a square, ``crop`` its centre, or ``squash`` it."""

Region = tuple[float, float, float, float]

TILES = ("off", "overview", "fine")
"""``off``: one view of the whole picture. Otherwise it is also cut into tiles, each a view of its
own, and the rows are read over the ``overview`` or, ``fine``, over the tiles side by side."""


@dataclass(frozen=True)
class ImageTokens:
    """Where the image tokens are in the prompt and which part of the image they cover.

    Parameters
    ----------
    start : Position of the first image token in the prompt.
    grid_hw : Rows and columns of the token grid.
    region_xyxy : The rectangle of the original image, in its pixels, that the grid covers: larger
        than the image where it was padded to a square, smaller where it was cropped, the image
        itself where it was squashed. Half-open, may be negative or fractional.
    places : Position of each cell's token, row by row, if they are not consecutive (tiles, line
        breaks); None = consecutive from `start`.

    Examples
    --------
    >>> tokens = ImageTokens(start=5, grid_hw=(2, 4), region_xyxy=(0.0, -50.0, 200.0, 150.0))
    >>> tokens.count, tokens.positions.tolist()
    (8, [5, 6, 7, 8, 9, 10, 11, 12])
    """

    start: int
    grid_hw: tuple[int, int]
    region_xyxy: tuple[float, float, float, float]
    places: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or len(self.grid_hw) != 2 or min(self.grid_hw) < 1:
            raise GroundingError(
                f"ImageTokens got start={self.start}, grid_hw={self.grid_hw}; expected a start of "
                "at least 0 and a (rows, columns) grid of at least 1 x 1"
            )
        x0, y0, x1, y1 = self.region_xyxy
        if not all(math.isfinite(v) for v in self.region_xyxy) or x1 <= x0 or y1 <= y0:
            raise GroundingError(
                f"ImageTokens got region_xyxy={self.region_xyxy}; expected finite "
                "(x0, y0, x1, y1) pixels with x0 < x1 and y0 < y1"
            )
        places = self.places
        if places is not None and (len(set(places)) != self.count or min(places) != self.start):
            raise GroundingError(
                f"ImageTokens got {len(places)} places from {min(places, default=None)}; expected "
                f"one for each of {self.grid_hw[0]} x {self.grid_hw[1]} cells, all different, the "
                f"first at {self.start}"
            )

    @classmethod
    def covering(
        cls, start: int, grid_hw: tuple[int, int], region: Region, share: float
    ) -> ImageTokens:
        """Tokens of a view of which the patches cover a `share` of each side, from the corner.

        Examples
        --------
        >>> ImageTokens.covering(1, (2, 2), (-10.0, 0.0, 90.0, 100.0), 0.9).region_xyxy
        (-10.0, 0.0, 80.0, 90.0)
        """
        x0, y0, x1, y1 = region
        return cls(start, grid_hw, (x0, y0, x0 + share * (x1 - x0), y0 + share * (y1 - y0)))

    @property
    def count(self) -> int:
        """Number of image tokens."""
        return self.grid_hw[0] * self.grid_hw[1]

    @property
    def span(self) -> slice | None:
        """The tokens' positions as a slice; None if they are not consecutive."""
        return slice(self.start, self.start + self.count) if self.places is None else None

    @property
    def positions(self) -> np.ndarray:
        """The tokens' positions, row by row, (count,) int64."""
        if self.places is not None:
            return np.asarray(self.places, dtype=np.int64)
        return np.arange(self.start, self.start + self.count, dtype=np.int64)


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """The network's inputs for one picture.

    Parameters
    ----------
    inputs : Vision arguments of the model's forward, by name, e.g. ``pixel_values`` (1, 3, S, S)
        float32.
    tokens : Where its tokens are and what they cover.
    prefix_ids : The prompt up to and including the picture, if the number of image tokens varies
        between pictures; None = the family's own.
    next_position : Rotary position of the first token after the prefix, where it is not the
        prefix's length (the Qwen-VL families count a picture's rows and columns, not its tokens);
        then `inputs` holds the prefix's own ``position_ids``.
    """

    inputs: Mapping[str, np.ndarray]
    tokens: ImageTokens
    prefix_ids: tuple[int, ...] | None = None
    next_position: int | None = None


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

    `positions`, (rows * columns * P * Q,), are those of the tokens tile after tile, row by row.

    Examples
    --------
    Two tiles of 2 x 2 tokens beside each other make rows of four:

    >>> tile_places(np.arange(8), (1, 2), (2, 2))
    (0, 1, 4, 5, 2, 3, 6, 7)
    """
    cells = np.reshape(positions, (*tiles_hw, *grid_hw)).transpose(0, 2, 1, 3)
    return tuple(cells.ravel().tolist())


def pad_to_square(image: np.ndarray, colour: tuple[int, int, int]) -> tuple[np.ndarray, Region]:
    """Centre an (H, W, 3) uint8 image in a square of its longer side; the square and its region.

    Examples
    --------
    >>> pad_to_square(np.zeros((100, 200, 3), np.uint8), (0, 0, 0))[1]
    (0.0, -50.0, 200.0, 150.0)
    """
    height, width = image.shape[:2]
    side = max(height, width)
    top, left = (side - height) // 2, (side - width) // 2
    region = (float(-left), float(-top), float(side - left), float(side - top))
    if height == width:
        return image, region
    square = np.empty((side, side, 3), dtype=image.dtype)
    square[:] = colour
    square[top : top + height, left : left + width] = image
    return square, region
