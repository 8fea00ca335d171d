"""Convert between a picture's own pixels and the square that SAM sees. Numpy and cv2 only.

SAM shrinks or enlarges a picture until its longer side fits the model's square, puts it in the
upper left corner and pads below or to the right. Prompts go into that frame; masks come back out
of it through the decoder's coarser grid over the same square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GroundingError

_BAND = 4_000_000
"""Pixels of a mask that are held as floats at one time."""
_GAIN = 16.0  # logits between the ends of a map


@dataclass(frozen=True, eq=False)
class Prompts:
    """`count` prompts in the model's square; the mask (m, m) is shared by all of them."""

    count: int
    boxes: NDArray | None  # (n, 4)
    points: NDArray | None  # (n, k, 2)
    labels: NDArray | None  # (n, k)
    mask: NDArray | None


@dataclass(frozen=True)
class SquareFrame:
    """How one picture lies in the model's square.

    Parameters
    ----------
    size_wh : The picture's own width and height in pixels.
    side : Side of the model's square in pixels.
    mask_side : Side of the decoder's grid, which covers the whole square.

    Examples
    --------
    >>> frame = SquareFrame((640, 480), side=1024, mask_side=256)
    >>> frame.input_wh, frame.grid_wh
    ((1024, 768), (256, 192))
    """

    size_wh: tuple[int, int]
    side: int
    mask_side: int

    @cached_property
    def input_wh(self) -> tuple[int, int]:
        """Width and height at which the model sees the picture (halves rounded up, as SAM)."""
        scale = self.side / max(self.size_wh)
        wide, high = (max(1, int(v * scale + 0.5)) for v in self.size_wh)
        return wide, high

    @cached_property
    def grid_wh(self) -> tuple[int, int]:
        """Columns and rows of the decoder's grid that the picture covers, rounded up."""
        wide, high = (-(-v * self.mask_side // self.side) for v in self.input_wh)
        return wide, high

    @property
    def scale_xy(self) -> NDArray[np.float64]:
        """Model pixels per picture pixel, (x, y)."""
        return np.array(self.input_wh) / np.array(self.size_wh)

    def prompts(
        self,
        boxes: ArrayLike | None = None,
        points: ArrayLike | None = None,
        labels: ArrayLike | None = None,
        mask: ArrayLike | None = None,
        *,
        together: bool = False,
    ) -> Prompts:
        """Prompts of the picture in the square.

        Points are one for each prompt, or all of one if `together`; see `points`, `boxes` and
        `mask_prompt` for the arguments.
        """
        own = None if boxes is None else self.boxes(boxes)
        spots, kinds = (None, None) if points is None else self.points(points, labels)
        if spots is not None and kinds is not None:
            axis = 0 if together else 1
            spots, kinds = np.expand_dims(spots, axis), np.expand_dims(kinds, axis)
        if own is not None and spots is not None and len(own) != len(spots):
            raise GroundingError(
                f"{len(own)} boxes and {len(spots)} points; expected one point for each box"
            )
        count = next((len(given) for given in (own, spots) if given is not None), 1)
        rough = None if mask is None else self.mask_prompt(mask)
        return Prompts(count, own, spots, kinds, rough)

    def boxes(self, boxes: ArrayLike) -> NDArray[np.float64]:
        """Boxes (n, 4) xyxy of the picture in the square, clipped to the picture first.

        Raises GroundingError for wrong shape, or a box that holds no pixel of the picture.
        """
        array = _rows(boxes, "boxes", "(n, 4) xyxy", 4)
        inside = np.clip(array, 0, np.tile(self.size_wh, 2))
        bad = np.flatnonzero(~(inside[:, 2:] > inside[:, :2]).all(1))  # also where one is nan
        if bad.size:
            raise GroundingError(
                f"box {array[bad[0]].tolist()} holds no pixel of the picture of "
                f"{self.size_wh[0]} by {self.size_wh[1]}; expected xyxy with x0 < x1 and y0 < y1, "
                "in its own pixels"
            )
        return inside * np.tile(self.scale_xy, 2)

    def points(
        self, points: ArrayLike, labels: ArrayLike | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Points (k, 2) xy of the picture in the square, and their labels (k,), 1 by default.

        Raises GroundingError for a wrong shape, a point outside the picture, or labels that are not
        one 0 or 1 for each.
        """
        array = _rows(points, "points", "(k, 2) xy", 2)
        outside = np.flatnonzero(~((array >= 0) & (array <= self.size_wh)).all(1))
        if outside.size:
            raise GroundingError(
                f"point {array[outside[0]].tolist()} lies outside the picture of "
                f"{self.size_wh[0]} by {self.size_wh[1]}; expected xy in its own pixels"
            )
        kinds = np.ones(len(array)) if labels is None else np.asarray(labels)
        if kinds.shape != (len(array),) or not np.isin(kinds, (0, 1)).all():
            raise GroundingError(
                f"labels are {kinds.tolist()} for {len(array)} points; expected one 1 (inside) or "
                "0 (outside) for each"
            )
        return array * self.scale_xy, kinds.astype(np.float64)

    def mask_prompt(self, mask: ArrayLike) -> NDArray[np.float32]:
        """A rough mask as logits (m, m): bool (H, W) of the picture, or logits as they are."""
        array, grid = np.asarray(mask), (self.mask_side, self.mask_side)
        if array.dtype.kind == "f" and array.shape == grid and np.isfinite(array).all():
            return array.astype(np.float32)
        if array.dtype != bool or array.shape != self.size_wh[::-1]:
            raise GroundingError(
                f"the mask prompt is {array.dtype} {array.shape}; expected bool "
                f"{self.size_wh[::-1]} or finite float logits {grid}"
            )
        grey = np.ascontiguousarray(array).view(np.uint8) * 255
        small = cv2.resize(grey, self.grid_wh, interpolation=cv2.INTER_AREA)
        return self.map_logits(small.astype(np.float32) / np.float32(255))

    def map_logits(self, map: NDArray[np.float32]) -> NDArray[np.float32]:
        """A map in [0, 1] over the whole picture as a mask prompt (m, m).

        One half becomes 0 and `_GAIN` is the span from 0 to 1; the padding counts as 0.
        """
        cols, rows = self.grid_wh
        grid = np.full((self.mask_side, self.mask_side), -_GAIN / 2, np.float32)
        grid[:rows, :cols] = (cv2.resize(map, (cols, rows)) - 0.5) * _GAIN
        return grid

    def masks(
        self, logits: Sequence[NDArray[np.floating]], size_wh: tuple[int, int] | None = None
    ) -> NDArray[np.bool_]:
        """Masks (n, H, W) from n logits (m, m): upsampled bilinearly, then above zero.

        The steps are SAM's own (to the square, cut to the picture, to the picture's size); the
        last one runs in bands of rows, so that 48 megapixels never become floats at once.
        """
        width, height = size_wh or self.size_wh
        seen_w, seen_h = self.input_wh
        masks = np.empty((len(logits), height, width), dtype=bool)
        band = max(1, _BAND // width)
        for one, mask in zip(logits, masks, strict=True):
            square = _bilinear(_bilinear(one.astype(np.float32), self.side, 0), self.side, 1)
            columns = _bilinear(square[:seen_h, :seen_w], width, 1)
            for start in range(0, height, band):
                stop = min(start + band, height)
                np.greater(_bilinear(columns, height, 0, start, stop), 0, out=mask[start:stop])
        return masks


def _rows(value: ArrayLike, what: str, form: str, length: int) -> NDArray[np.float64]:
    """`value` as (n, length), n at least 1."""
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError) as error:
        raise GroundingError(f"{what} are no numbers {form}: {error}") from error
    if array.ndim != 2 or array.shape[1] != length or not len(array):
        raise GroundingError(f"{what} have shape {array.shape}; expected {form}")
    return array


def _bilinear(
    array: NDArray[np.float32], size: int, axis: int, start: int = 0, stop: int | None = None
) -> NDArray[np.float32]:
    """Entries start..stop of one axis resampled to `size`, as torch's align_corners=False."""
    length = array.shape[axis]
    centres = (np.arange(start, size if stop is None else stop) + 0.5) * (length / size) - 0.5
    centres = np.maximum(centres, 0)
    lower = np.minimum(centres.astype(np.intp), length - 1)
    upper = np.minimum(lower + 1, length - 1)
    weight = (centres - lower).astype(np.float32)
    weight = weight[:, None] if axis == 0 else weight[None]
    low, high = array.take(lower, axis), array.take(upper, axis)
    high -= low
    high *= weight
    low += high
    return low
