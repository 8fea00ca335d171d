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

from .callbacks import check_cancelled
from .crop import Crop
from .errors import InpaintError
from .prefill import halve, resize_image, resize_mask
from .settings import InpaintSettings, describe
from .support import Box, Size, box_slices, fill_holes, inward_feather, mask_box, mask_window

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
_POISSON_SIDE = 160
"""Longest side for solving: the correction is smooth, so a coarse one suffices."""
_LIMIT = 48.0
"""Largest correction in grey levels: more comes from an object on the border, and would bleed."""
_LEVELS = 5
_COARSE_SIDE = 512


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
        shape = (*crop.canvas[::-1], 3)
        if getattr(painted, "shape", None) != shape or painted.dtype != np.uint8:
            raise InpaintError(
                f"painted canvas: got {describe(painted)}; expected {shape} uint8 RGB. A painter "
                "must return the size it was given."
            )
        full = self.support[crop.slices].shape[::-1]
        size = finished_size(full, crop.canvas)
        beneath = resize_image(halved_window(self.image, crop) if halved is None else halved, size)
        support = resize_mask(self.support[crop.slices], size)
        painted = resize_image(painted, size)
        if settings.colour_match:
            painted = fit_colour(painted, beneath, ~support).apply(painted)
        alpha = self._alpha(crop, support, settings)
        check_cancelled()
        if settings.blend == "poisson":
            painted = poisson(painted, beneath, support)
        elif settings.blend == "laplacian":
            painted = laplacian(painted, beneath, alpha)
        check_cancelled()  # what follows has the picture's own size
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


def _bands(array: np.ndarray) -> Iterator[slice]:
    return (slice(row, row + _BAND) for row in range(0, len(array), _BAND))


def assert_preserved(original: np.ndarray, result: np.ndarray, support: np.ndarray) -> None:
    """Raise InpaintError unless every pixel outside `support` is equal in both images."""
    if is_preserved(original, result, support):
        return
    changed = (original != result).any(-1) & ~support
    row, column = np.unravel_index(int(changed.argmax()), changed.shape)
    raise InpaintError(
        f"{np.count_nonzero(changed)} pixels outside the support changed, the first at x={column}, "
        f"y={row}; expected none. Composite again from the original image, or declare a larger "
        "support."
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


def poisson(painted: np.ndarray, original: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Return `painted` plus the smooth correction that makes it meet `original` at the border.

    Perez, Gangnet and Blake, "Poisson image editing" (SIGGRAPH 2003), in its membrane form: the
    correction is harmonic inside the support and equals ``original - painted`` on its rim. The
    difference on the rim is smoothed and bounded first, so that texture does not bleed inward.
    Outside the support, or if the support has no rim, the result is `painted`.
    """
    if support.all() or not support.any():
        return painted
    height, width = support.shape
    scale = min(1.0, _POISSON_SIDE / max(height, width))
    size = max(2, round(width * scale)), max(2, round(height * scale))
    hole = resize_mask(support, size)
    if hole.all():
        return painted
    offset = (original.astype(np.float32) - painted).clip(-_LIMIT, _LIMIT)
    known = (~support).astype(np.float32)
    # Only pixels outside are true: average these, not blocks half inside.
    share = cv2.resize(known, size, interpolation=cv2.INTER_AREA)
    mean = cv2.resize(offset * known[..., None], size, interpolation=cv2.INTER_AREA)
    rim = cv2.GaussianBlur(mean, (5, 5), 1) / np.maximum(
        cv2.GaussianBlur(share, (5, 5), 1), 1e-6
    ).reshape(*share.shape, 1)
    field = cv2.resize(_membrane(rim, hole), (width, height), interpolation=cv2.INTER_LINEAR)
    corrected = np.clip(np.rint(painted + field), 0, 255).astype(np.uint8)
    return np.where(support[..., None], corrected, painted)


def _membrane(values: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Replace the hole's values by the harmonic function that meets the others around it."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    result = values.astype(np.float32)
    number = np.cumsum(hole).reshape(hole.shape) - 1
    count = int(hole.sum())
    rows, columns, right = [], [], np.zeros((count, 3))
    degree = np.zeros(count)
    for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
        there = np.roll(np.ones_like(hole), 0)
        edge = [slice(None), slice(None)]
        edge[axis] = slice(-1, None) if step == 1 else slice(0, 1)
        there[tuple(edge)] = False  # neighbours beyond the picture do not pull
        pulled = hole & there
        beside = np.roll(hole, -step, axis)
        inner, outer = pulled & beside, pulled & ~beside
        rows.append(number[inner])
        columns.append(np.roll(number, -step, axis)[inner])
        np.add.at(right, number[outer], np.roll(values, -step, axis)[outer])
        np.add.at(degree, number[pulled], 1)
    row, column = np.concatenate(rows), np.concatenate(columns)
    # A part of the hole that touches no known pixel has no rim: the tiny weight keeps it at 0.
    matrix = sparse.coo_matrix((-np.ones(row.size), (row, column)), (count, count))
    matrix = (matrix + sparse.diags(degree + 1e-9)).tocsc()
    result[hole] = splu(matrix).solve(right).astype(np.float32)
    return result


def _levels(alpha: np.ndarray) -> int:
    """Return how many bands: the widest must fit twice between the hole's edge and its middle."""
    within = (alpha > 0).view(np.uint8)
    # A coarse copy suffices for holes wide enough for all bands.
    step = max(1, max(alpha.shape) // _COARSE_SIDE)
    for spacing in (step, 1) if step > 1 else (1,):
        padded = np.pad(within[::spacing, ::spacing], 1)
        radius = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE).max()
        if spacing * (radius - 2) > 2 << _LEVELS:
            return _LEVELS
    return int(np.clip(np.log2(max(float(radius), 1.0) / 2), 0, _LEVELS))


def laplacian(painted: np.ndarray, original: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    """Return both blended band by band: low frequencies widely, fine ones sharply.

    Burt and Adelson, "A multiresolution spline with application to image mosaics" (TOG 1983).
    `alpha` is the weight of `painted`; far inside, where it is 1, the result is `painted`.
    """
    levels = _levels(alpha)
    # Pixels farther from the hole than the widest band reaches are not used.
    part = mask_window(alpha > 0, 8 << levels)
    result = original.copy()
    result[part] = _blended(painted[part], original[part], alpha[part], levels)
    return result


def _blended(
    painted: np.ndarray, original: np.ndarray, alpha: np.ndarray, levels: int
) -> np.ndarray:
    # The old object lies where alpha is 1: there the painting is blended with itself, or the
    # object's low frequencies would stay.
    base = original.copy()
    cv2.copyTo(np.ascontiguousarray(painted), (alpha >= 1).view(np.uint8), base)
    difference = cv2.subtract(painted, base, dtype=cv2.CV_32F)
    weights: list[np.ndarray] = [alpha.astype(np.float32)]
    bands: list[np.ndarray] = []
    for _ in range(levels):
        smaller = cv2.pyrDown(difference)
        back = cv2.pyrUp(smaller, dstsize=difference.shape[1::-1])
        bands.append(cv2.subtract(difference, back, dst=back))
        difference = smaller
        weights.append(cv2.pyrDown(weights[-1]))
    result = _weighted(difference, weights[-1])
    for band, weight in zip(bands[::-1], weights[-2::-1], strict=True):
        wide = cv2.pyrUp(result, dstsize=band.shape[1::-1])
        result = cv2.add(wide, _weighted(band, weight), dst=wide)
    return np.asarray(cv2.add(base, result, dtype=cv2.CV_8U))


def _weighted(band: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return ``band * weight[..., None]``, three times as fast as numpy."""
    return np.asarray(cv2.multiply(band, cv2.merge([weight] * 3)))
