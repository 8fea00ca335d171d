"""A picture that the models have read, and masks and boxes between it and its reduced copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .result import Box

if TYPE_CHECKING:
    from .attention.reading import EncodedImage
    from .sam.segmenter import ImageEmbedding


class ProxyView:
    """A picture, (H, W, 3) uint8, and `proxy`, the reduced copy that the models read."""

    image: np.ndarray
    proxy: np.ndarray

    @property
    def scale_xy(self) -> tuple[float, float]:
        """Picture pixels per proxy pixel along x and y (rounding makes them differ)."""
        (height, width), (rows, columns) = self.image.shape[:2], self.proxy.shape[:2]
        return width / columns, height / rows

    def enlarged(self, box: ArrayLike) -> Box:
        """A box of the proxy, (4,) xyxy, in the picture's own pixels."""
        x0, y0, x1, y1 = (np.asarray(box, np.float64) * np.tile(self.scale_xy, 2)).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True, eq=False)
class View(ProxyView):
    """A picture that both models have read, so that further phrases are cheap.

    `image` is the caller's array; `scale` is its pixels per proxy pixel; `timings` are seconds.
    """

    image: np.ndarray
    proxy: np.ndarray
    scale: float
    encoded: EncodedImage
    embedding: ImageEmbedding
    timings: Mapping[str, float]


def shrink_image(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """A copy of at most `longest` pixels on the longer side, and picture pixels per pixel of it."""
    height, width = image.shape[:2]
    scale = max(height, width) / longest
    if scale <= 1:
        return image, 1.0
    size = max(1, round(width / scale)), max(1, round(height / scale))
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        # Means of four pixels, ten times as fast as an area mean at another ratio.
        half = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(image, half, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def fitted_size(size_wh: tuple[int, int], longest: int) -> tuple[int, int]:
    """A width and height reduced to at most `longest`, never below one pixel."""
    shrink = min(1.0, longest / max(size_wh))
    return max(1, round(size_wh[0] * shrink)), max(1, round(size_wh[1] * shrink))


def resize_mask(mask: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """A mask at another size, interpolated bilinearly and cut at one half."""
    if mask.shape[::-1] == tuple(size_wh):
        return mask
    grey = np.ascontiguousarray(mask).view(np.uint8) * 255
    large = cv2.resize(grey, size_wh, interpolation=cv2.INTER_LINEAR)
    return cv2.threshold(large, 127, 1, cv2.THRESH_BINARY, dst=large)[1].view(np.bool_)


def resize_shares(values: NDArray[np.float32], size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """A map, or a mask as floats, at another size: area means if it shrinks, else bilinear."""
    how = cv2.INTER_AREA if values.shape[1] > size_wh[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size_wh, interpolation=how), np.float32)


def tight_box(mask: NDArray[np.bool_]) -> Box:
    """Tight xyxy box of a mask in its own pixels; without area where the mask is empty."""
    x, y, width, height = cv2.boundingRect(np.ascontiguousarray(mask).view(np.uint8))
    return float(x), float(y), float(x + width), float(y + height)


def tight_boxes(masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.float64]:
    """The :func:`tight_box` of each mask, (n, 4)."""
    return np.array([tight_box(mask) for mask in masks])


def boxes_and_centres(
    masks: Sequence[NDArray[np.bool_]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Tight boxes (n, 4) of masks, and the centres (n, 2) of their pixels furthest from an edge."""
    spots = []
    for mask in masks:
        depth = cv2.distanceTransform(np.pad(mask, 1).astype(np.uint8), cv2.DIST_L2, 3)[1:-1, 1:-1]
        spots.append(np.unravel_index(int(np.argmax(depth)), depth.shape)[::-1])
    return tight_boxes(masks), np.array(spots) + 0.5
