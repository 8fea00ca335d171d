"""How visible a repainted region is: its seam, and its colours beside the border.

Both are in grey levels (0 to 255, mean over channels); 0 is best. Both use only a band around the
border of the support, not what was painted in the middle.
"""

from __future__ import annotations

import cv2
import numpy as np

from .prefill import resize_image, resize_mask
from .support import mask_window

_FINEST_RING = 8
"""Rings at least twice as wide are measured on a smaller copy, where they are about so wide."""


def seam_error(image: np.ndarray, support: np.ndarray) -> float:
    """Return how much larger the step across the support's border is than the steps beside it.

    A step is the difference of two neighbouring pixels of which one lies inside. The steps that
    texture causes anyway are taken from the next pair outside and the next pair inside, in the same
    direction. 0 where the support has no border.

    Examples
    --------
    >>> image = np.zeros((6, 6, 3), np.uint8)
    >>> support = np.zeros((6, 6), bool)
    >>> support[:, 3:] = True
    >>> seam_error(image, support)
    0.0
    >>> image[:, 3:] = 40
    >>> seam_error(image, support)
    40.0
    """
    part = mask_window(support, 3)
    pixels, inside = image[part], support[part]
    sides = [_steps(pixels, inside, axis) for axis in (1, 0)]
    across, beside = (np.concatenate(kind) for kind in zip(*sides, strict=True))
    if not across.size:
        return 0.0
    usual = float(beside.mean()) if beside.size else 0.0
    return max(0.0, float(across.mean()) - usual)


def _steps(image: np.ndarray, inside: np.ndarray, axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps along an axis across the border, and those of the pairs next to them."""
    cross = inside[1:] != inside[:-1] if axis == 0 else inside[:, 1:] != inside[:, :-1]
    across = np.flatnonzero(cross)
    places = np.unravel_index(across, cross.shape)[axis]
    step = (cross.shape[1], 1)[axis]
    last = cross.shape[axis] - 1
    beside = np.concatenate([across[places > 0] - step, across[places < last] + step])

    def difference(pairs: np.ndarray) -> np.ndarray:
        rows, columns = np.unravel_index(pairs, cross.shape)
        after = image[rows + (axis == 0), columns + (axis == 1)]
        return np.asarray(np.abs(after.astype(np.int16) - image[rows, columns]).mean(-1))

    return difference(across), difference(np.setdiff1d(beside, across))


def ring_colour_error(
    image: np.ndarray, original: np.ndarray, support: np.ndarray, width: int | None = None
) -> float:
    """Return how far the colours just inside the support are from the true ones just outside.

    Along the border, the local mean of `image` in a ring inside is compared with the local mean
    of `original` in a ring outside: a colour cast, a halo or a drift of the whole picture counts;
    fine texture does not. An object painted up to the border counts too, and so does, a little, a
    slope of the background. `width` is that of each ring in pixels, by default 4% of the square
    root of the area and at least 3. 0 where the support has no border.

    Examples
    --------
    >>> image = np.full((20, 20, 3), 90, np.uint8)
    >>> support = np.zeros((20, 20), bool)
    >>> support[5:15, 5:15] = True
    >>> round(ring_colour_error(image + 10, image, support), 3)
    10.0
    """
    ring = width or max(3, round(0.04 * float(np.count_nonzero(support)) ** 0.5))
    part = mask_window(support, 3 * ring)
    image, original, inside, outside = image[part], original[part], support[part], ~support[part]
    if inside.all():
        return 0.0
    step = ring // _FINEST_RING
    if step > 1:
        # Wide means are the same on a smaller copy. Its pixels that lie on both sides are left out.
        size = max(1, inside.shape[1] // step), max(1, inside.shape[0] // step)
        image, original = resize_image(image, size), resize_image(original, size)
        inside, outside = ~resize_mask(outside, size), ~resize_mask(inside, size)
        ring //= step
    depth, height = _distance(inside), _distance(outside)
    near_in, near_out = inside & (depth <= ring), outside & (height <= ring)
    painted, truth = _local_mean(image, near_in, ring), _local_mean(original, near_out, ring)
    border = near_in & (depth <= 1.5)
    if not border.any() or not near_out.any():
        return 0.0
    return float(np.abs(painted - truth).mean(-1)[border].mean())


def _distance(mask: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest False pixel. The image's border is no edge."""
    return cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)


def _local_mean(image: np.ndarray, where: np.ndarray, ring: int) -> np.ndarray:
    """Return the Gaussian mean of the pixels `where` around each pixel, float32."""
    weight = where.astype(np.float32)
    size = (4 * ring + 1, 4 * ring + 1)
    shown = cv2.multiply(image, cv2.merge([weight] * 3), dtype=cv2.CV_32F)
    total, share = cv2.GaussianBlur(shown, size, ring), cv2.GaussianBlur(weight, size, ring)
    return total / np.maximum(share, 1e-6)[..., None]
