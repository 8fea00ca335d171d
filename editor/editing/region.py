"""Find where to paint: a phrase, a mask, boxes or new sides, then operations on the mask."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from ...grounding.metrics import mask_iou
from ...inpaint.prefill import prefill
from ..errors import GroundbrushError
from ..masks.history import MaskHistory
from ..masks.operations import Boxes, MaskScene
from ..masks.source import box_notes, read_mask, region_notes
from ..pictures.picture import MAX_PIXELS, Picture

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ..finder import Finder
    from ..request import EditRequest, Sides


PART = 0.9, 3.0
"""A part lies in its whole by this share; the whole is at most so many times as large."""


@dataclass(frozen=True, eq=False)
class Region:
    """What to paint over.

    Attributes
    ----------
    picture : The picture to paint on: the one given, or that with new sides.
    history : Its mask and how it was made.
    grounding : Where the phrase is; None where a mask, boxes or sides were given.
    exact : The mask was drawn, not found: it is the support as it is.
    notes : What may not be meant as it was drawn.
    """

    picture: Picture
    history: MaskHistory
    grounding: Grounding | None = None
    exact: bool = False
    notes: tuple[str, ...] = ()

    @cached_property
    def mask(self) -> np.ndarray:
        """``(H, W)`` bool, after all operations."""
        return self.history.states[-1]

    @property
    def settings(self) -> dict[str, Any]:
        """Inpainting settings that follow from how the region was made."""
        changes: dict[str, Any] = {}
        if self.exact:
            changes |= {"dilate": 0, "fill_holes": 0, "spare": False}
        if self.exact or self.history.operations:
            # A drawn or corrected outline is meant; the hull of an inverted mask is everything.
            changes["shape"] = "outline"
        if self.history.operations and self.history.feather is not None:
            changes["feather"] = self.history.feather
        return changes


def unsearched(request: EditRequest) -> str:
    """A note about words to find beside a place: an edit takes the place alone; or empty."""
    if request.action != "edit" or request.find is None or not (request.mask or request.boxes):
        return ""
    return f"painted in the place that was given; {request.find!r} was not searched for"


def find_region(
    finder: Finder, picture: Picture, request: EditRequest, grounding: Grounding | None = None
) -> Region:
    """Find the region that a request names.

    `grounding` is the phrase's in this picture, where it is known already.

    Raises GroundbrushError for a mask of another size, a box outside the picture, an operation that
    cannot be done.
    """
    if request.extend is not None:
        return _extended(picture, request.extend)
    scene = finder.scene(picture)
    mask = np.zeros(picture.pixels.shape[:2], bool)  # a click says where
    known, exact, notes = None, False, tuple[str, ...]()
    if request.mask is not None:
        mask, _ = read_mask(request.mask, picture.size)
        # A mask that grows was found, in a step of a plan.
        exact, notes = True, () if "dilate" in request.settings else region_notes(mask)
    elif request.boxes is not None:
        mask = Boxes(request.boxes, snap=request.snap).apply(mask, scene)
        exact = not request.snap
        notes = (*box_notes(request.boxes, picture.size), *region_notes(mask))
    elif request.find is not None:
        known = grounding or finder.ground(picture, request.find)
        mask = chosen_mask(known, request.candidate)
        if request.action == "remove" and mask.any():
            mask, notes = _wholes(finder, picture, known, request, mask)
    history = MaskHistory((mask.copy(),), scene=scene)
    if mask.any() or request.clicked:  # absent: operations must not make something of nothing
        for operation in request.operations:
            history = history.do(operation)
    return Region(picture, history, known, exact, notes)


def _wholes(
    finder: Finder, picture: Picture, grounding: Grounding, request: EditRequest, found: np.ndarray
) -> tuple[np.ndarray, tuple[str, ...]]:
    """What is removed is removed whole: the mask, each thing grown from a part, and a note."""
    several = request.candidate is None and grounding.instances
    each = [one.mask for one in grounding.instances] if several else [found]
    grown = np.any([finder.whole(picture, mask) for mask in each], axis=0) | found
    more = int(grown.sum() - found.sum())
    if not more:
        return found, ()
    note = f"the mask was a part of a larger thing: {more} pixels were added to it"
    return grown, (note,)


def chosen_mask(grounding: Grounding, candidate: int | None) -> np.ndarray:
    """Return the grounding's mask, or that of one of its candidates at the picture's size."""
    if candidate is None:
        return grounding.mask
    if not 0 <= candidate < len(grounding.candidates):
        there = len(grounding.candidates)
        raise GroundbrushError(
            f"candidate {candidate} given; {grounding.phrase!r} has "
            + (f"those from 0 to {there - 1}" if there else "none; leave it out")
        )
    small = grounding.candidates[candidate].mask.astype(np.uint8)
    return cv2.resize(small, grounding.size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)


def choose_candidate(
    found: Grounding, target: np.ndarray, needed: float
) -> tuple[int | None, bool]:
    """Which candidate is a target (None = the first choice), and whether any is."""
    best, candidate = (_alike(found.mask, target) if found.found else 0.0), None
    if best >= needed:
        return None, True
    for k in range(len(found.candidates)):
        overlap = _alike(chosen_mask(found, k), target)
        if overlap > best:
            best, candidate = overlap, k
    return (candidate, True) if best >= needed else (None, False)


def _alike(mask: np.ndarray, target: np.ndarray) -> float:
    """IoU, or the share of the target in a mask that may be the whole of which it is a part."""
    share = float((mask & target).sum() / max(1, target.sum()))
    whole = share >= PART[0] and mask.sum() <= PART[1] * target.sum()
    return share if whole else mask_iou(mask, target)


def _extended(picture: Picture, sides: Sides) -> Region:
    """The picture with new sides, filled smoothly from its border, and these as the mask."""
    around = ((sides.top, sides.bottom), (sides.left, sides.right))
    height, width = (n + a + b for n, (a, b) in zip(picture.pixels.shape, around, strict=False))
    if width * height > MAX_PIXELS:
        raise GroundbrushError(
            f"extended it would be {width}x{height} = {width * height:,} pixels; expected at most "
            f"{MAX_PIXELS:,}; extend it by less"
        )
    mask = np.pad(np.zeros(picture.pixels.shape[:2], bool), around, constant_values=True)
    pixels = prefill(np.pad(picture.pixels, (*around, (0, 0))), mask, "blur")
    alpha = picture.alpha
    if alpha is not None:
        alpha = np.pad(alpha, around, constant_values=255)
    larger = replace(picture, pixels=pixels, alpha=alpha)
    return Region(larger, MaskHistory.start(mask, MaskScene(pixels)))
