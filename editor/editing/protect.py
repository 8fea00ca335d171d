"""Find what an edit must spare: the things that touch the one it paints over.

They are found on the searched copy, whatever the picture's size, with the segmenter that has read
it already, and enlarged to the picture's own pixels around the edit only.
"""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ...grounding.errors import GroundingError
from ..errors import translate
from ..masks.shadow import find_shadow

if TYPE_CHECKING:
    from ...grounding.view import View
    from ...inpaint import InpaintSettings
    from ..finder import Finder
    from ..pictures.picture import Picture
    from ..request import EditRequest

Box = tuple[int, int, int, int]
_MARGIN = 16  # pixels beyond the support that a neighbour's edge is settled in
_SHADOW_SIDE = 192
_PIECE, _GAP = 0.25, 0.03  # share of a mask's area; of its square root
_EDGE = 1  # pixels of the searched copy that are a neighbour's soft edge


def find_protected(
    finder: Finder, picture: Picture, mask: np.ndarray, settings: InpaintSettings
) -> np.ndarray | None:
    """Find what the support of a mask must leave out.

    Returns
    -------
    (H, W) bool, or None where there is nothing to spare: no model is loaded if the support is the
    mask itself.
    """
    grows = settings.dilate > 0 or settings.shape != "outline"
    if not (settings.spare and grows and mask.any()):
        return None
    from ...grounding.localize.adjacent import find_adjacent
    from ...inpaint.support import mask_box, support

    view = finder.look(picture)
    small = _shrunk(mask, view)
    wide = support(small, _at_scale(settings, view.scale))
    with translate(GroundingError):
        beside = find_adjacent(finder.segmenter, view.embedding, small, wide)
        things = _without_shadow(view, small, beside)
        if not things:
            return None
        box = mask_box(wide, _MARGIN)
        part = _settled(view, np.any(things, axis=0), box)
    return _enlarged(part, box, wide.shape, mask.shape)


def touching_piece(mask: np.ndarray, spared: np.ndarray, settings: InpaintSettings) -> int:
    """Return the pixels of small spared pieces that touch the mask; 0 = none.

    A piece is small below `_PIECE` of the mask. It may be a thing of its own or a part of the
    masked one that the segmenter took for another: a rocket's flame.
    """
    from ...inpaint.support import dilate, mask_box, support

    wide = support(mask, settings)
    left, top, right, bottom = mask_box(wide, 1)
    near = dilate(mask, max(2, round(_GAP * float(np.sqrt(mask.sum())))))
    count, pieces, stats, _ = cv2.connectedComponentsWithStats((spared & ~mask).view(np.uint8))
    total = 0
    for k in range(1, count):
        x, y, width, height, area = (int(n) for n in stats[k])
        inside = x >= left - _MARGIN // 2 and y >= top - _MARGIN // 2
        inside &= x + width <= right + _MARGIN // 2 and y + height <= bottom + _MARGIN // 2
        if inside and area <= _PIECE * mask.sum() and (near & (pieces == k)).any():
            total += area
    return total


def protection_key(request: EditRequest, settings: InpaintSettings) -> str:
    """What the result of `find_protected` depends on besides picture and phrase, as a text."""
    how = [settings.spare, settings.dilate, settings.shape, settings.fill_holes]
    return json.dumps([request.candidate, [o.as_dict() for o in request.operations], *how])


def _shrunk(mask: np.ndarray, view: View) -> np.ndarray:
    """The mask on the searched copy, as it is in the middle of each pixel there."""
    size = view.proxy.shape[1::-1]
    if mask.shape[::-1] == size:
        return mask
    small = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return small.view(np.bool_)


def _at_scale(settings: InpaintSettings, scale: float) -> InpaintSettings:
    """The settings on a copy that is so many times smaller: pixels become fewer."""
    if settings.dilate < 1 or scale == 1:
        return settings
    return dataclasses.replace(settings, dilate=max(1, round(settings.dilate / scale)))


def _without_shadow(view: View, mask: np.ndarray, beside: np.ndarray) -> list[np.ndarray]:
    """Those (n, h, w) that are no shadow of the masked thing, which goes with it."""
    from ...inpaint.prefill import prefill

    if not len(beside):
        return []
    # On a few pixels: the time it takes grows with their square.
    scale = max(1.0, max(mask.shape) / _SHADOW_SIDE)
    size = max(1, round(mask.shape[1] / scale)), max(1, round(mask.shape[0] / scale))
    pixels = cv2.resize(view.proxy, size, interpolation=cv2.INTER_AREA)
    thing, *few = (
        cv2.resize(one.view(np.uint8) * 255, size, interpolation=cv2.INTER_AREA) > 127
        for one in (mask, *beside)
    )
    kept = []
    for k, one in enumerate(few):
        # The others would colour what the ground is taken to be without a shadow.
        others = np.asarray(np.delete(few, k, axis=0).any(0))
        shadow = find_shadow(prefill(pixels, others, "blur"), thing)
        if (one & shadow).sum() <= 0.5 * one.sum():
            kept.append(beside[k])
    return kept


def _settled(view: View, near: np.ndarray, box: Box) -> np.ndarray:
    """What of the neighbours lies in a box of the copy, up to their edges and a little further."""
    from ...grounding.localize.edges import refine_edges
    from ...inpaint.support import dilate

    left, top, right, bottom = box
    window = np.s_[top:bottom, left:right]
    pixels, part = (np.ascontiguousarray(one[window]) for one in (view.proxy, near))
    return dilate(refine_edges(pixels, part, largest_only=False), _EDGE)


def _enlarged(
    part: np.ndarray, box: Box, small: tuple[int, int], large: tuple[int, int]
) -> np.ndarray:
    """A box's part of a mask of shape `small` at its place in one of shape `large`."""
    rows, columns = (new / old for new, old in zip(large, small, strict=True))
    left, right = (round(x * columns) for x in box[::2])
    top, bottom = (round(y * rows) for y in box[1::2])
    result = np.zeros(large, np.bool_)
    grey = part.view(np.uint8) * 255
    size = right - left, bottom - top
    result[top:bottom, left:right] = cv2.resize(grey, size, interpolation=cv2.INTER_LINEAR) >= 128
    return result
