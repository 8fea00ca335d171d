"""The support beside things that must stay as they are: it gives way to them. Pure numpy/OpenCV."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from .crop import grow_box, mask_box
from .errors import InpaintError
from .settings import InpaintSettings
from .support import dilate, dilation_radius, fill_holes, support
from .validation import describe

RIM = 0.01
"""How far the support still goes where a spared thing touches the mask, over the square root of the
mask's area: a pixel of a thing of 100 x 100, so that no outline of the old one stays."""


def spared_support(
    mask: np.ndarray,
    settings: InpaintSettings,
    spare: np.ndarray | None,
    keep: np.ndarray | None = None,
) -> np.ndarray:
    """Return the declared support, `inpaint.support.support`, without what is to be spared.

    The mask with its holes closed always stays, and a rim (`RIM`) around it. What the spared things
    cut off from the mask is left out as well. Of what is to be kept nothing stays but the mask.

    Parameters
    ----------
    mask : (H, W) bool
    settings : InpaintSettings
        With `spare` False nothing is left out.
    spare, keep : (H, W) bool or None

    Examples
    --------
    >>> mask = np.array([[0, 0, 1, 1, 0, 0, 0, 0, 0]], bool)
    >>> spare = np.array([[0, 0, 0, 0, 0, 0, 1, 0, 0]], bool)
    >>> settings = InpaintSettings(dilate=4)
    >>> spared_support(mask, settings, spare).astype(int)
    array([[1, 1, 1, 1, 1, 1, 0, 0, 0]])
    """
    whole = _spared(support(mask, settings), mask, settings, spare)
    if keep is not None:
        whole &= ~keep | mask
    return whole


def _spared(
    whole: np.ndarray, mask: np.ndarray, settings: InpaintSettings, spare: np.ndarray | None
) -> np.ndarray:
    """The support, which is changed in place, without what is to be spared."""
    if spare is None or not settings.spare:
        return whole
    left, top, right, bottom = mask_box(whole)
    window = np.s_[top:bottom, left:right]
    area, given_up = whole[window], spare[window] & whole[window]
    if not given_up.any():
        return whole
    core = fill_holes(mask[window], settings.fill_holes)
    radius = dilation_radius(mask, RIM)
    left, top, right, bottom = grow_box(mask_box(given_up), radius, (area.shape[1], area.shape[0]))
    beside = np.s_[top:bottom, left:right]  # a large picture's rim is only drawn where it matters
    area[beside] &= dilate(core[beside], radius) | ~given_up[beside]
    area[:] = _reached(area, core)
    return whole


def check_spare(spare: Any, image: np.ndarray, name: str = "spare") -> np.ndarray | None:
    """Return `spare` if it is None or ``(H, W)`` bool of the image's size."""
    if spare is None:
        return None
    if (
        not isinstance(spare, np.ndarray)
        or spare.dtype != np.bool_
        or spare.shape != image.shape[:2]
    ):
        raise InpaintError(
            f"{name}: got {describe(spare)}; expected bool of the image's (height, width) "
            f"{image.shape[:2]}, True where nothing may be painted, or None."
        )
    return spare


def _reached(area: np.ndarray, core: np.ndarray) -> np.ndarray:
    """The parts of `area` (8 neighbours) that hold some of `core`."""
    count, labels = cv2.connectedComponents(area.view(np.uint8), connectivity=8)
    reached = np.zeros(count, np.bool_)
    reached[labels[core]] = True
    reached[0] = False
    return np.asarray(reached[labels])
