"""Masks: close holes, dilate into the support, feather inward. Pure numpy/scipy/OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy import ndimage

from .crop import grow_box, mask_box
from .prefill import resize_mask
from .settings import InpaintSettings

_WORK_SIDE = 1024
"""Longest side on which a support is worked out."""


def dilation_radius(mask: np.ndarray, dilate: float) -> int:
    """Return `InpaintSettings.dilate` in pixels for this mask.

    Examples
    --------
    >>> dilation_radius(np.ones((100, 100), bool), 0.06)
    6
    >>> dilation_radius(np.ones((100, 100), bool), 15)
    15
    """
    if dilate >= 1:
        return int(dilate)
    # Rounded to 9 digits first: 0.06 * 100 is a hair above 6, and would become 7.
    return math.ceil(round(dilate * math.sqrt(np.count_nonzero(mask)), 9))


def dilate(mask: np.ndarray, radius: float) -> np.ndarray:
    """Return every pixel at most `radius` (Euclidean) from a True pixel.

    Parameters
    ----------
    mask : (H, W) bool
    radius : float
        Pixels; 0 returns a copy.

    Examples
    --------
    >>> dilate(np.array([[0, 0, 1, 0, 0]], bool), 1).astype(int)
    array([[0, 1, 1, 1, 0]])
    """
    result = mask.copy()
    box = mask_box(mask)
    if not any(box) or radius <= 0:
        return result
    left, top, right, bottom = grow_box(box, math.ceil(radius), mask.shape[::-1])
    part = mask[top:bottom, left:right]
    result[top:bottom, left:right] = _distance_to(part) <= radius
    return result


def fill_holes(mask: np.ndarray, fraction: float = 1.0) -> np.ndarray:
    """Close the holes whose area is at most `fraction` of the mask's; a large one is meant.

    A hole is background that does not reach the image's edge (4-connected). Returns a new mask.
    """
    result = mask.copy()
    box = mask_box(mask)
    if not any(box) or fraction <= 0:
        return result
    left, top, right, bottom = box
    part = result[top:bottom, left:right]
    labels, count = ndimage.label(ndimage.binary_fill_holes(part) & ~part)
    small = np.bincount(labels.ravel(), minlength=count + 1) <= fraction * np.count_nonzero(part)
    small[0] = False
    part |= small[labels]
    return result


def widen(mask: np.ndarray, shape: str) -> np.ndarray:
    """Return a mask in a shape that tells less of the thing: see `InpaintSettings.shape`.

    Parts that are connected (8 neighbours) are widened each for itself.

    Examples
    --------
    >>> widen(np.array([[1, 0, 0], [1, 0, 0], [1, 1, 1]], bool), "hull").astype(int)
    array([[1, 0, 0],
           [1, 1, 0],
           [1, 1, 1]])
    >>> bool(widen(np.array([[1, 0], [1, 1]], bool), "box").all())
    True
    """
    if shape == "outline" or not mask.any():
        return mask.copy()
    outlines, _ = cv2.findContours(
        mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    wide = mask.astype(np.uint8)
    for outline in outlines:
        if shape == "hull":
            cv2.fillConvexPoly(wide, cv2.convexHull(outline), 1)
        else:
            left, top, width, height = cv2.boundingRect(outline)
            wide[top : top + height, left : left + width] = 1
    return wide.astype(bool)


def support(mask: np.ndarray, settings: InpaintSettings) -> np.ndarray:
    """Return the declared support: holes closed, widened, dilated. It always contains `mask`.

    A large mask grows on a smaller copy, where it grows by a pixel or more there: distances of
    ten million pixels would take as long as painting.
    """
    radius = dilation_radius(mask, settings.dilate)
    left, top, right, bottom = grow_box(mask_box(mask), radius + 1, mask.shape[::-1])
    part = mask[top:bottom, left:right]
    scale = _WORK_SIDE / max(part.shape)
    if scale >= 1 or radius * scale < 1:
        whole = widen(fill_holes(mask, settings.fill_holes), settings.shape)
        return dilate(whole, radius)
    size = max(1, round(part.shape[1] * scale)), max(1, round(part.shape[0] * scale))
    small = widen(fill_holes(resize_mask(part, size), settings.fill_holes), settings.shape)
    small = dilate(small, radius * scale)
    grown = cv2.resize(small.view(np.uint8) * 255, part.shape[::-1], interpolation=cv2.INTER_LINEAR)
    result = mask.copy()
    result[top:bottom, left:right] |= grown >= 128
    return result


def inward_feather(support: np.ndarray, feather: int, core: np.ndarray | None = None) -> np.ndarray:
    """Return how much of the painted picture each pixel takes.

    The ramp lies wholly inside the support: 0 outside, 1 from ``feather + 1`` pixels inside.
    The image's border is no edge: where the support reaches it, nothing ramps.

    Parameters
    ----------
    support : (H, W) bool
    feather : int
        Width of the ramp in pixels; 0 gives a hard edge.
    core : (H, W) bool, optional
        Pixels that must be replaced wholly (the undilated mask). The ramp is then squeezed into
        the ring between them and the edge, so that no ghost of the old object stays.

    Returns
    -------
    (H, W) float32 in [0, 1], positive exactly on the support.

    Examples
    --------
    >>> line = np.array([[0, 1, 1, 1, 1, 1, 0]], bool)
    >>> inward_feather(line, 1)
    array([[0. , 0.5, 1. , 1. , 1. , 0.5, 0. ]], dtype=float32)
    """
    alpha = np.zeros(support.shape, np.float32)
    box = mask_box(support)
    if not any(box):
        return alpha
    # The nearest outside pixel of any support pixel touches the support, so one more is enough.
    left, top, right, bottom = grow_box(box, 1, support.shape[::-1])
    part = support[top:bottom, left:right]
    inside = _distance_to(~part)
    ramp = inside / np.float32(feather + 1)
    if core is not None and core.any():
        to_core = _distance_to(core[top:bottom, left:right])
        ramp = np.maximum(ramp, inside / np.maximum(inside + to_core, 1))
        ramp[core[top:bottom, left:right]] = 1
    alpha[top:bottom, left:right] = np.where(part, np.minimum(ramp, 1), 0)
    return alpha


def change_map(hole: np.ndarray, width: int, cell: int) -> np.ndarray:
    """Return how early each latent cell may change, for differential diffusion.

    Levin and Fried, "Differential diffusion: giving each pixel its strength" (2023): a cell is free
    once one less its value is below the share of the steps. Inside, the value ramps from the hole's
    edge to 1 over `width` pixels; a hole too narrow for that is stretched, so that some cell always
    starts free.

    Parameters
    ----------
    hole : (h, w) bool
        On the model's canvas, whose sides are multiples of `cell`.
    width, cell : int
        Pixels.

    Returns
    -------
    (h // cell, w // cell) float32 in [0, 1], positive exactly where a cell touches the hole.

    Examples
    --------
    >>> change_map(np.array([[0, 1, 1, 1, 1, 1, 0]], bool), 3, 1).round(2)
    array([[0.  , 0.33, 0.67, 1.  , 0.67, 0.33, 0.  ]], dtype=float32)
    """
    ramp = np.minimum(_distance_to(~hole) / np.float32(max(1, width)), 1)
    height, breadth = hole.shape
    cells = ramp.reshape(height // cell, cell, breadth // cell, cell).max((1, 3))
    return np.asarray(cells / max(float(cells.max()), 1e-6), np.float32)


def free_cells(change: np.ndarray, step: int, total: int) -> np.ndarray:
    """Return which cells of a `change_map` are painted in a step (0-based) of so many.

    Examples
    --------
    >>> [int(free_cells(np.array([0, 0.4, 1]), step, 4).sum()) for step in range(4)]
    [1, 1, 2, 2]
    """
    return change > 1 - (step + 1) / total


def _distance_to(target: np.ndarray) -> np.ndarray:
    """Euclidean distance in pixels to the nearest True pixel; larger than any if there is none."""
    if not target.any():
        return np.full(target.shape, np.float32(sum(target.shape) + 2**16))
    return cv2.distanceTransform((~target).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
