"""From mask to support: close holes, widen, dilate, leave out what is protected; and its ramps."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np

from .errors import InpaintError
from .prefill import resize_mask
from .settings import InpaintSettings, describe

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, half-open."""
Size = tuple[int, int]
"""Width and height."""

RIM = 0.01
"""Width of the rim around the mask that is painted even on a spared object, over the square root of
the mask's area: 1 pixel for an object of 100 x 100, so that no outline of the old one stays."""
_WORK_SIDE = 1024
"""Longest side of the copy on which a support is computed."""


def mask_box(mask: np.ndarray, margin: int = 0) -> Box:
    """Return the smallest box around the True pixels of an ``(H, W)`` mask, grown by `margin`.

    It is cut at the image's edge. An empty mask's box before growing is ``(0, 0, 0, 0)``.

    Examples
    --------
    >>> mask_box(np.eye(3, dtype=bool)[:2])
    (0, 0, 2, 2)
    """
    if not mask.size:
        return 0, 0, 0, 0
    # Called several times an edit: numpy's `any` of 48 megapixels takes ten times as long.
    left, top, width, height = cv2.boundingRect(mask.view(np.uint8))
    right, bottom = left + width + margin, top + height + margin
    left, top = max(0, left - margin), max(0, top - margin)
    return left, top, min(mask.shape[1], right), min(mask.shape[0], bottom)


def box_slices(box: Box) -> tuple[slice, slice]:
    """Return a box's index in an ``(H, W, ...)`` array."""
    left, top, right, bottom = box
    return slice(top, bottom), slice(left, right)


def mask_window(mask: np.ndarray, margin: int = 0) -> tuple[slice, slice]:
    """Return the index of a mask's box, grown by `margin`, in an ``(H, W, ...)`` array."""
    return box_slices(mask_box(mask, margin))


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
    """Return every pixel at most `radius` pixels (Euclidean) from a True one.

    Examples
    --------
    >>> dilate(np.array([[0, 0, 1, 0, 0]], bool), 1).astype(int)
    array([[0, 1, 1, 1, 0]])
    """
    result = mask.copy()
    if radius > 0 and any(mask_box(mask)):
        part = mask_window(mask, math.ceil(radius))
        result[part] = _distance_to(mask[part]) <= radius
    return result


def fill_holes(mask: np.ndarray, fraction: float = 1.0) -> np.ndarray:
    """Return the mask, closing holes with an area of at most `fraction` of the mask's.

    A hole is background that does not reach the image's edge (4-connected).
    """
    result = mask.copy()
    part = result[mask_window(mask)]
    # Flooding takes a tenth of the time of components, which only the holes' window needs.
    flooded = np.pad(part.view(np.uint8), 1)
    cv2.floodFill(flooded, None, (0, 0), 1, flags=4)
    holes = flooded[1:-1, 1:-1] == 0
    window = mask_window(holes)
    if not holes[window].size:
        return result
    _, labels, stats, _ = cv2.connectedComponentsWithStats(
        holes[window].view(np.uint8), connectivity=4
    )
    small = stats[:, cv2.CC_STAT_AREA] <= fraction * np.count_nonzero(part)
    small[0] = False
    part[window] |= small[labels]
    return result


def widen(mask: np.ndarray, shape: str) -> np.ndarray:
    """Return each connected part (8 neighbours) in another `InpaintSettings.shape`.

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
    """Return the support: holes closed, widened, dilated. It always contains `mask`."""
    return support_without(mask, settings, None)


def support_without(
    mask: np.ndarray,
    settings: InpaintSettings,
    spare: np.ndarray | None,
    keep: np.ndarray | None = None,
) -> np.ndarray:
    """Return `support` without the pixels of protected objects.

    All arrays are ``(H, W)`` bool. Of `spare`, the mask with its holes closed and a rim (`RIM`)
    around it stay in the support; parts that spared objects separate from the mask leave it.
    `settings.spare` False ignores `spare`. Of `keep`, only the mask itself stays in the support.

    Examples
    --------
    >>> mask = np.array([[0, 0, 1, 1, 0, 0, 0, 0, 0]], bool)
    >>> spare = np.array([[0, 0, 0, 0, 0, 0, 1, 0, 0]], bool)
    >>> settings = InpaintSettings(dilate=4)
    >>> support_without(mask, settings, spare).astype(int)
    array([[1, 1, 1, 1, 1, 1, 0, 0, 0]])
    """
    _check_protected("spare", spare, mask)
    _check_protected("keep", keep, mask)
    radius = dilation_radius(mask, settings.dilate)
    window = mask_window(mask, radius + 1)  # a large picture is read here only
    part = mask[window]
    grown = _grown(part, radius, settings)
    if spare is not None and settings.spare:
        grown = _left(grown, part, settings, spare[window])
    if keep is not None:
        grown &= ~keep[window] | part
    result = np.zeros_like(mask)
    result[window] = grown
    return result


def _grown(mask: np.ndarray, radius: int, settings: InpaintSettings) -> np.ndarray:
    """Return the mask with holes closed, widened and dilated.

    A large one grows on a smaller copy if it grows by a pixel or more there: distances of ten
    million pixels would take as long as painting.
    """
    scale = _WORK_SIDE / max(mask.shape)
    if scale >= 1 or radius * scale < 1:
        return dilate(widen(fill_holes(mask, settings.fill_holes), settings.shape), radius)
    size = max(1, round(mask.shape[1] * scale)), max(1, round(mask.shape[0] * scale))
    small = widen(fill_holes(resize_mask(mask, size), settings.fill_holes), settings.shape)
    small = dilate(small, radius * scale)
    grown = cv2.resize(small.view(np.uint8) * 255, mask.shape[::-1], interpolation=cv2.INTER_LINEAR)
    return mask | (grown >= 128)


def _check_protected(name: str, protected: Any, mask: np.ndarray) -> None:
    """Raise unless `protected` is None or ``(H, W)`` bool of the image's size."""
    good = isinstance(protected, np.ndarray) and protected.dtype == np.bool_
    if protected is not None and (not good or protected.shape != mask.shape):
        raise InpaintError(
            f"{name}: got {describe(protected)}; expected bool of the image's (height, width) "
            f"{mask.shape}, True where nothing may be painted, or None."
        )


def _left(
    area: np.ndarray, mask: np.ndarray, settings: InpaintSettings, spare: np.ndarray
) -> np.ndarray:
    """Return what is left of the support `area` without spared pixels."""
    spared = spare & area
    if not spared.any():
        return area
    core = fill_holes(mask, settings.fill_holes)
    radius = dilation_radius(mask, RIM)
    # A large picture's rim is only computed where it matters.
    beside = mask_window(spared, radius)
    area[beside] &= dilate(core[beside], radius) | ~spared[beside]
    return _parts_with(area, core)


def _parts_with(area: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Return the connected parts of `area` (8 neighbours) that hold some of `core`."""
    count, labels = cv2.connectedComponents(area.view(np.uint8), connectivity=8)
    if count <= 2:  # one part, which holds it
        return area
    reached = np.zeros(count, np.bool_)
    reached[labels[core]] = True
    reached[0] = False
    return np.asarray(reached[labels])


def inward_feather(support: np.ndarray, feather: int, core: np.ndarray | None = None) -> np.ndarray:
    """Return the weight of the painted picture: float32 in [0, 1], positive on the support only.

    The ramp lies inside the support and reaches 1 at ``feather + 1`` pixels from its edge. The
    image's border is no edge: where the support reaches it, nothing ramps. `core`, the undilated
    mask, has weight 1, so that no ghost of the old object stays: the ramp is squeezed into the ring
    around it.

    Examples
    --------
    >>> line = np.array([[0, 1, 1, 1, 1, 1, 0]], bool)
    >>> inward_feather(line, 1)
    array([[0. , 0.5, 1. , 1. , 1. , 0.5, 0. ]], dtype=float32)
    """
    alpha = np.zeros(support.shape, np.float32)
    if not any(mask_box(support)):
        return alpha
    # The nearest outside pixel of any support pixel touches the support, so one more is enough.
    part = mask_window(support, 1)
    inside = _distance_to(~support[part])
    ramp = inside / np.float32(feather + 1)
    if core is not None and core.any():
        ramp = np.maximum(ramp, inside / np.maximum(inside + _distance_to(core[part]), 1))
        ramp[core[part]] = 1
    alpha[part] = np.where(support[part], np.minimum(ramp, 1), 0)
    return alpha


def change_map(hole: np.ndarray, width: int, cell: int) -> np.ndarray:
    """Return how early each latent cell may change, for differential diffusion.

    Levin and Fried, "Differential diffusion: giving each pixel its strength" (2023): a cell is free
    once one minus its value is below the share of the steps. The value, float32, is 0 for cells
    outside the hole and ramps to 1 over `width` pixels; a narrower hole is scaled up, so that some
    cell always starts free. `cell` is a cell's side in pixels, a divisor of the hole's sides.

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
    """Return which cells of a `change_map` are painted in a 0-based step.

    Examples
    --------
    >>> [int(free_cells(np.array([0, 0.4, 1]), step, 4).sum()) for step in range(4)]
    [1, 1, 2, 2]
    """
    return change > 1 - (step + 1) / total


def _distance_to(target: np.ndarray) -> np.ndarray:
    """Return the distance to the nearest True pixel; if there is none, larger than any."""
    if not target.any():
        return np.full(target.shape, np.float32(sum(target.shape) + 2**16))
    return cv2.distanceTransform((~target).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
