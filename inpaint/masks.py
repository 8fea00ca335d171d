"""Masks: close holes, dilate into the support, feather inward. Pure numpy/scipy/OpenCV."""

from __future__ import annotations

import math

import cv2
import numpy as np
from scipy import ndimage

from inpaint.geometry import grow_box, mask_box
from inpaint.settings import InpaintSettings


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


def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
    """Return every pixel at most `radius` (Euclidean) from a True pixel.

    Parameters
    ----------
    mask : (H, W) bool
    radius : int
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
    left, top, right, bottom = grow_box(box, radius, mask.shape[::-1])
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


def support(mask: np.ndarray, settings: InpaintSettings) -> np.ndarray:
    """Return the declared support: holes closed, then dilated. It always contains `mask`."""
    return dilate(fill_holes(mask, settings.fill_holes), dilation_radius(mask, settings.dilate))


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


def _distance_to(target: np.ndarray) -> np.ndarray:
    """Euclidean distance in pixels to the nearest True pixel; larger than any if there is none."""
    if not target.any():
        return np.full(target.shape, np.float32(sum(target.shape) + 2**16))
    return cv2.distanceTransform((~target).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
