"""The support that leaves out protected objects beside the mask."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .crop import box_slices, grow_box, mask_box
from .errors import InpaintError
from .settings import InpaintSettings
from .support import dilate, dilation_radius, fill_holes, support
from .validation import describe

RIM = 0.01
"""Width of the rim around the mask that is painted even on a spared object, over the square root of
the mask's area: 1 pixel for an object of 100 x 100, so that no outline of the old one stays."""


def support_without(
    mask: np.ndarray,
    settings: InpaintSettings,
    spare: np.ndarray | None,
    keep: np.ndarray | None = None,
) -> np.ndarray:
    """Return `inpaint.support.support` without the pixels of protected objects.

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
    result = support(mask, settings)
    if spare is not None and settings.spare:
        _leave_out(result, mask, settings, spare)
    if keep is not None:
        result &= ~keep | mask
    return result


def check_protected(name: str, protected: Any, image: np.ndarray) -> np.ndarray | None:
    """Return `protected` if it is None or ``(H, W)`` bool of the image's size."""
    good = isinstance(protected, np.ndarray) and protected.dtype == np.bool_
    if protected is not None and (not good or protected.shape != image.shape[:2]):
        raise InpaintError(
            f"{name}: got {describe(protected)}; expected bool of the image's (height, width) "
            f"{image.shape[:2]}, True where nothing may be painted, or None."
        )
    return protected


def _leave_out(
    whole: np.ndarray, mask: np.ndarray, settings: InpaintSettings, spare: np.ndarray
) -> None:
    """Remove spared pixels from the support, in place."""
    window = box_slices(mask_box(whole))
    area, spared = whole[window], spare[window] & whole[window]
    if not spared.any():
        return
    core = fill_holes(mask[window], settings.fill_holes)
    radius = dilation_radius(mask, RIM)
    # A large picture's rim is only computed where it matters.
    beside = box_slices(grow_box(mask_box(spared), radius, (area.shape[1], area.shape[0])))
    area[beside] &= dilate(core[beside], radius) | ~spared[beside]
    area[:] = _parts_with(area, core)


def _parts_with(area: np.ndarray, core: np.ndarray) -> np.ndarray:
    """Return the connected parts of `area` (8 neighbours) that hold some of `core`."""
    count, labels = cv2.connectedComponents(area.view(np.uint8), connectivity=8)
    reached = np.zeros(count, np.bool_)
    reached[labels[core]] = True
    reached[0] = False
    return np.asarray(reached[labels])
