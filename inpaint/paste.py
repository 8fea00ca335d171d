"""Paste a painted canvas into its picture: resize, match colours, blend, composite, check.

A canvas has about a thousand pixels a side: blending it at the resolution of a large picture would
take seconds and gain nothing. A large window is therefore finished on a copy of at most `FINEST`
times the canvas; only the ramp between old and new pixels is computed at full size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product

import cv2
import numpy as np

from .blend import laplacian, poisson
from .callbacks import check_cancelled
from .crop import Crop
from .errors import InpaintError
from .prefill import halve, resize_image, resize_mask
from .settings import InpaintSettings
from .support import Box, Size, box_slices, fill_holes, inward_feather, mask_box
from .validation import check_image

FINEST = 2
"""Most pixels of the finished copy for each pixel of the canvas, along a side."""
_BAND = 64
"""Rows enlarged or compared at a time, so that they stay in the processor's cache."""
_TILE = 128
"""Side of the squares that are blended: most lie wholly inside or outside the support."""
BLOCK = 4
MIN_BLOCKS = 16
MAX_BLOCKS = 65_536
GAIN_RANGE = (0.8, 1.25)
OFFSET_RANGE = (-32.0, 32.0)
_FLAT = 2.0


@dataclass(frozen=True, eq=False)
class Target:
    """The picture, its mask (replaced wholly) and its support (may change; contains the mask)."""

    image: np.ndarray
    mask: np.ndarray
    support: np.ndarray

    def paste(
        self,
        painted: np.ndarray,
        crop: Crop,
        settings: InpaintSettings,
        halved: np.ndarray | None = None,
    ) -> np.ndarray:
        """Return the picture with the painted canvas in the crop's window.

        `halved` is the picture's `halved_window`, where it is known.
        """
        if check_image(painted).shape[1::-1] != crop.canvas:
            raise InpaintError(
                f"painted canvas: got {painted.shape[1::-1]} (width, height); expected "
                f"{crop.canvas}. A painter must return the size it was given."
            )
        full = self.support[crop.slices].shape[::-1]
        size = finished_size(full, crop.canvas)
        beneath = resize_image(halved_window(self.image, crop) if halved is None else halved, size)
        support = resize_mask(self.support[crop.slices], size)
        painted = resize_image(painted, size)
        check_cancelled()  # each part may take a second at 40 megapixels
        if settings.colour_match:
            painted = fit_colour(painted, beneath, ~support).apply(painted)
        check_cancelled()
        alpha = self._alpha(crop, support, settings)
        check_cancelled()
        if settings.blend == "poisson":
            painted = poisson(painted, beneath, support)
        elif settings.blend == "laplacian":
            painted = laplacian(painted, beneath, alpha)
        check_cancelled()
        if size == full:
            return composite(self.image, painted, alpha, crop.window)
        box = mask_box(self.support[crop.slices])
        painted, alpha = resize_image(painted, full), self._enlarged(alpha, crop, box, settings)
        window = tuple(np.add(box, crop.window[:2] * 2).tolist())
        return composite(self.image, painted[box_slices(box)], alpha, window)

    def _alpha(self, crop: Crop, support: np.ndarray, settings: InpaintSettings) -> np.ndarray:
        """Return the ramp of the finished copy; `support` is every pixel that it touches."""
        scale = support.shape[1] / (crop.window[2] - crop.window[0])
        mask = resize_mask(self.mask[crop.slices], support.shape[::-1])
        core = fill_holes(mask, settings.fill_holes) & support
        # Where the mask itself is the support, and only there, the ramp may lie on the old object.
        ramped_outside = bool((support & ~core).any())
        if scale < 1:
            # Enlarged, it then reaches 0 at the border, not beyond; a thin support would vanish.
            inner = ~resize_mask(~self.support[crop.slices], support.shape[::-1])
            support = inner if 2 * inner.sum() >= support.sum() else support
        feather = max(1, round(settings.feather * scale)) if settings.feather else 0
        # The window's border is an edge, unless it is the picture's.
        (left, top, right, bottom), (height, width) = crop.window, self.image.shape[:2]
        around = (int(top > 0), int(bottom < height)), (int(left > 0), int(right < width))
        alpha = inward_feather(
            np.pad(support, around), feather, np.pad(core, around) if ramped_outside else None
        )
        rows, columns = support.shape
        return alpha[around[0][0] :, around[1][0] :][:rows, :columns]

    def _enlarged(
        self, alpha: np.ndarray, crop: Crop, box: Box, settings: InpaintSettings
    ) -> np.ndarray:
        """Return a box of the ramp at full size: 0 outside the support, and 1 where the mask is."""
        inner = box_slices(box)
        mask, support = self.mask[crop.slices][inner], self.support[crop.slices][inner]
        full = self.support[crop.slices].shape[::-1]
        # Unblurred, the copy's pixels would show as jagged edges.
        soft = cv2.GaussianBlur(alpha, (5, 5), 1)
        wide = np.asarray(cv2.resize(soft, full, interpolation=cv2.INTER_CUBIC))[inner]
        if settings.feather == 0:
            mask = support
        elif not (support & ~mask).any():
            mask = np.zeros_like(mask)
        for band in _bands(wide):
            # In place: ten million new pixels take longer to get from the system than to fill.
            part = np.clip(wide[band], 0, 1, out=wide[band])
            np.maximum(np.multiply(part, support[band], out=part), mask[band], out=part)
        return wide


def halved_window(image: np.ndarray, crop: Crop) -> np.ndarray:
    """Return the crop's window, halved as far as its canvas and its finished copy both allow."""
    window = image[crop.slices]
    finished = finished_size(window.shape[1::-1], crop.canvas)
    return halve(window, (max(finished[0], crop.canvas[0]), max(finished[1], crop.canvas[1])))


def finished_size(window: Size, canvas: Size) -> Size:
    """Return the (width, height) at which a window is finished.

    Examples
    --------
    >>> finished_size((900, 600), (1024, 1024)), finished_size((6000, 4000), (1024, 1024))
    ((900, 600), (2048, 1365))
    """
    scale = FINEST * max(canvas) / max(window)
    if scale >= 1:
        return window
    return max(1, round(window[0] * scale)), max(1, round(window[1] * scale))


def composite(image: np.ndarray, painted: np.ndarray, alpha: np.ndarray, window: Box) -> np.ndarray:
    """Blend `painted`, a window (xyxy), into a copy of `image`; both are uint8 RGB.

    `alpha`, ``(h, w)`` float32 in [0, 1], is the painted pixel's weight; where it is 0 the input
    stays.
    """
    result = image.copy()
    part = result[box_slices(window)]
    for row, column in product(*(range(0, side, _TILE) for side in alpha.shape)):
        tile = np.s_[row : row + _TILE, column : column + _TILE]
        least, most, *_ = cv2.minMaxLoc(alpha[tile])
        if least == 1:
            part[tile] = painted[tile]
        elif most > 0:
            old, new, weight = part[tile], painted[tile], alpha[tile]
            # OpenCV divides by the sum of both weights plus 1e-5, which changes no grey level.
            cv2.blendLinear(old, new, 1 - weight, weight, dst=old)
    return result


def is_preserved(original: np.ndarray, result: np.ndarray, support: np.ndarray) -> bool:
    """Return whether every pixel outside `support` is equal in two ``(H, W, 3)`` uint8 images."""
    return not any(
        cv2.norm(original[band], result[band], cv2.NORM_INF)  # most bands are wholly outside
        and cv2.norm(original[band], result[band], cv2.NORM_INF, (~support[band]).view(np.uint8))
        for band in _bands(support)
    )


def same_pixels(first: np.ndarray, second: np.ndarray) -> bool:
    """Return whether two arrays are equal, comparing a band of rows at a time."""
    return first is second or (
        first.shape == second.shape
        and all(np.array_equal(first[band], second[band]) for band in _bands(first))
    )


def _bands(array: np.ndarray) -> Iterator[slice]:
    return (slice(row, row + _BAND) for row in range(0, len(array), _BAND))


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


@dataclass(frozen=True)
class ColourFit:
    """``corrected = gain * (value - pivot) + pivot + offset``, per channel, in 0 ... 255.

    The pivot is the median of the fitted pixels: bounding the offset there bounds the shift of the
    colours that occur, which bounding an intercept at black would not.
    """

    gain: tuple[float, float, float] = (1.0, 1.0, 1.0)
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    pivot: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def apply(self, image: np.ndarray) -> np.ndarray:
        """Return the corrected ``(H, W, 3)`` uint8 image."""
        values = np.arange(256)
        result = np.empty_like(image)
        for channel in range(3):
            gain, offset, pivot = (part[channel] for part in (self.gain, self.offset, self.pivot))
            table = np.clip(np.rint(gain * (values - pivot) + pivot + offset), 0, 255)
            result[..., channel] = table.astype(np.uint8)[image[..., channel]]
        return result


def fit_colour(generated: np.ndarray, original: np.ndarray, known: np.ndarray) -> ColourFit:
    """Fit a gain and an offset per channel that bring `generated` to `original`.

    Least squares on the unmasked pixels, `known`, trimmed three times at 2.5 robust standard
    deviations (drifted shapes must not pull at the colours), with the gain clipped to `GAIN_RANGE`
    and the offset to `OFFSET_RANGE`. It compares means of 4 x 4 pixels, so that lost sharpness or a
    shift by a pixel does not count as lost contrast. The identity if fewer than `MIN_BLOCKS` blocks
    are wholly known; gain 1 if they are nearly flat.

    Examples
    --------
    >>> ramp = np.arange(20, 220).repeat(6).reshape(20, 20, 3).astype(np.uint8)
    >>> fit_colour(ramp, ramp + 10, np.ones((20, 20), bool)).offset
    (10.0, 10.0, 10.0)
    """
    places = np.flatnonzero(_blocks(known).all(-1))
    if places.size < MIN_BLOCKS:
        return ColourFit()
    # Every n-th block, never a random draw: the same input gives the same fit.
    places = places[:: -(-places.size // MAX_BLOCKS)]
    painted, truth = (
        np.stack([_blocks(image[..., channel])[places].mean(-1) for channel in range(3)], -1)
        for image in (generated, original)
    )
    fits = [_fit_channel(painted[:, channel], truth[:, channel]) for channel in range(3)]
    gain, offset, pivot = zip(*fits, strict=True)
    return ColourFit(gain, offset, pivot)


def _blocks(plane: np.ndarray) -> np.ndarray:
    """Cut an (H, W) array into (n, 16) blocks of 4 x 4; incomplete blocks are left out."""
    rows, columns = plane.shape[0] // BLOCK, plane.shape[1] // BLOCK
    plane = plane[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return plane.swapaxes(1, 2).reshape(rows * columns, BLOCK * BLOCK)


def _fit_channel(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    pivot = float(np.median(x))
    x, y = x - pivot, y - pivot
    gain, offset = 1.0, float(np.median(y - x))
    for _ in range(3):
        residual = np.abs(y - gain * x - offset)
        keep = residual <= max(2.5 * 1.4826 * float(np.median(residual)), 1.0)
        kept_x, kept_y = x[keep], y[keep]
        mean_x, mean_y = kept_x.mean(), kept_y.mean()
        variance = ((kept_x - mean_x) ** 2).mean()
        gain = 1.0
        if variance > _FLAT**2:
            gain = float(((kept_x - mean_x) * (kept_y - mean_y)).mean() / variance)
            gain = float(np.clip(gain, *GAIN_RANGE))
        offset = float(mean_y - gain * mean_x)
    return gain, round(float(np.clip(offset, *OFFSET_RANGE)), 9), pivot
