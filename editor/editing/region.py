"""Where to paint: a phrase, a mask, boxes or new sides, then operations on the mask."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ...grounding.errors import GroundingError
from ..errors import GroundbrushError, translate
from ..masks.history import MaskHistory
from ..masks.operations import Boxes, MaskScene
from ..masks.source import read_boxes, read_mask
from ..pictures.picture import MAX_PIXELS, Picture
from ..request import extra

if TYPE_CHECKING:
    from ...grounding.result import Grounding
    from ..api import Editor


@dataclass(frozen=True, eq=False)
class Place:
    """What to paint over.

    Attributes
    ----------
    picture
        The picture to paint on: the one given, or that with new sides.
    history
        Its mask and how it came about.
    grounding
        Where the phrase is; None where a mask, boxes or sides were given.
    exact
        The mask was drawn, not found: it is the support as it stands.
    spare
        ``(H, W)`` bool: what the support leaves out; see `editor.editing.protect`.
    """

    picture: Picture
    history: MaskHistory
    grounding: Grounding | None = None
    exact: bool = False
    spare: np.ndarray | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Settings of the painting that follow from the place."""
        changes: dict[str, Any] = {}
        if self.exact:
            # Nothing looks at the picture for a drawn mask, unless it is asked to.
            changes |= {"dilate": 0, "fill_holes": 0, "spare": False}
        if self.exact or self.history.operations:
            # Whoever drew or changed it meant it so; the hull of an inverted mask is everything.
            changes["shape"] = "outline"
        if self.history.feather is not None:
            changes["feather"] = self.history.feather
        return changes


def find_place(
    editor: Editor, picture: Picture, request: Mapping[str, Any], grounding: Grounding | None = None
) -> Place:
    """The place a request names.

    Parameters
    ----------
    editor
        Grounds and segments, where the request needs it.
    picture
        As given.
    request
        From `editor.request.make_request`.
    grounding
        Of the request's phrase in this picture, where it is known already.

    Raises
    ------
    GroundbrushError
        For a mask of another size, a box outside the picture, an operation that cannot be done.
    """
    if request["action"] == "extend":
        return _extended(picture, extra(request, "extend"))
    scene = MaskScene(picture.pixels, segment_on(editor, picture))
    mask, boxes = extra(request, "mask"), extra(request, "boxes")
    if mask is not None:
        place = Place(picture, MaskHistory.start(read_mask(mask, picture.size), scene), exact=True)
    elif boxes is not None:
        snap = extra(request, "snap")
        empty = np.zeros(picture.pixels.shape[:2], bool)
        drawn = Boxes(read_boxes(boxes), snap=snap).apply(empty, scene)
        place = Place(picture, MaskHistory.start(drawn, scene), exact=not snap)
    else:
        grounding = grounding or editor.ground(picture, request["find"])
        found = chosen_mask(grounding, request["candidate"])
        place = Place(picture, MaskHistory.start(found, scene), grounding)
    if not place.history.mask.any():  # absent: operations must not make something of nothing
        return place
    history = place.history
    for operation in extra(request, "operations"):
        history = history.do(operation)
    return Place(picture, history, place.grounding, place.exact)


def segment_on(editor: Editor, picture: Picture) -> Any:
    """The preset's segmenter on a picture, as `MaskScene` wants it; loads nothing until asked."""

    def segment(**prompt: Any) -> tuple[np.ndarray, np.ndarray]:
        view = editor.look(picture)
        scales = {"box": np.tile(view.scale_xy, 2), "points": np.array(view.scale_xy)}
        scaled: dict[str, Any] = {
            name: np.asarray(value, float) / scales[name] if name in scales else value
            for name, value in prompt.items()
        }
        with translate(GroundingError):
            masks = editor.models.grounder().segmenter.predict(
                view.embedding, size_wh=picture.size, **scaled
            )
        return masks.masks, masks.scores

    return segment


def chosen_mask(grounding: Grounding, candidate: int | None) -> np.ndarray:
    """The grounding's mask, or that of one of its candidates at the picture's size."""
    if candidate is None:
        return grounding.mask
    if not 0 <= candidate < len(grounding.candidates):
        there = len(grounding.candidates)
        raise GroundbrushError(
            f"candidate {candidate} asked for; {grounding.phrase!r} has "
            + (f"those from 0 to {there - 1}" if there else "none; leave it out")
        )
    import cv2

    small = grounding.candidates[candidate].mask.astype(np.uint8)
    return cv2.resize(small, grounding.size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)


def _extended(picture: Picture, sides: Mapping[str, int]) -> Place:
    """The picture with new sides, filled smoothly from its border, and these as the mask."""
    from ...inpaint.prefill import prefill

    around = ((sides["top"], sides["bottom"]), (sides["left"], sides["right"]))
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
    return Place(larger, MaskHistory.start(mask, MaskScene(pixels)))
