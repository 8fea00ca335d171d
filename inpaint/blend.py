"""Poisson and Laplacian blending of a painted window, before the ramp pastes it."""

from __future__ import annotations

import cv2
import numpy as np

from .prefill import resize_mask
from .support import mask_window

_POISSON_SIDE = 160
"""Longest side for solving: the correction is smooth, so a coarse one suffices."""
_LIMIT = 48.0
"""Largest correction in grey levels: more comes from an object on the border, and would bleed."""
_LEVELS = 5
_COARSE_SIDE = 512


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
