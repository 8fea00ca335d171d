"""Explain a grounding: the map of each localization head, and what to try next.

A detector has no heads; its map of scores is shown instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..grounding.errors import GroundingError
from ..grounding.heads.criteria import attention_sums, spatial_entropy
from ..grounding.localize.maps import normalise_map, token_map_to_image
from .errors import translate

if TYPE_CHECKING:
    from ..grounding.result import Grounding
    from .api import Editor
    from .pictures.picture import Picture

LONGEST = 320
"""Longest side of the pictures of maps, in pixels."""
_ADVICE = {
    "found": "Nothing: look at the mask, and correct it by a click if a part is missing.",
    "absent": "Check the words against the picture, name the thing more simply (“the cup”), take "
    "a candidate if one is right, or mark the place by a click or a box.",
    "ambiguous": "Add what sets it apart: a colour, a side (“on the left”), a neighbour (“next to "
    "the dog”); or take the candidate that is meant.",
    "uncertain": "Compare the heads' maps under “Why here?”: where they look at different places, "
    "use other words; where they agree, check the mask's border and correct it.",
}
_DETECTOR_ADVICE = {
    "uncertain": "Look at the map of scores under “Why here?”: where other places are nearly as "
    "bright, use other words; where one is, check the mask's border and correct it."
}


@dataclass(frozen=True, eq=False)
class HeadExplanation:
    """One localization head on one phrase.

    Attributes
    ----------
    head
        (layer, head), 0-based.
    attention_sum
        Share of its attention that falls on the picture.
    entropy
        Spatial entropy of its map (Kang et al., Sec. 4).
    picture
        ``(h, w, 3)`` uint8: its map over the picture.
    """

    head: tuple[int, int]
    attention_sum: float
    entropy: float
    picture: np.ndarray


@dataclass(frozen=True, eq=False)
class Explanation:
    """What a grounding is based on.

    Attributes
    ----------
    reason, advice
        Why it has its status; what to try.
    heads
        Each head that was read; none for a detector.
    combined
        ``(h, w, 3)`` uint8: the smoothed sum of the heads' maps, or a detector's map of scores,
        over the picture.
    presence
        As `Grounding.presence`.
    """

    reason: str
    advice: str
    heads: tuple[HeadExplanation, ...]
    combined: np.ndarray
    presence: float | None


def explain(editor: Editor, picture: Picture, found: Grounding) -> Explanation:
    """Read the heads of a grounding again, one by one.

    Raises
    ------
    GroundbrushError
        If the model fails.
    """
    width, height = picture.size
    scale = min(1.0, LONGEST / max(width, height))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = cv2.resize(picture.pixels, size, interpolation=cv2.INTER_AREA)
    combined = _heat(small, found.token_map, found.region, width)
    if not found.heads:
        return Explanation(_with_scores(found), advise(found), (), combined, found.presence)
    view = editor.finder.look(picture)
    with translate(GroundingError):
        reading = editor.models.grounder().read(view, [found.phrase], found.heads)[0]
    rows = np.asarray(reading.rows)
    region = view.enlarged(view.encoded.tokens.region_xyxy)
    sums, entropies = attention_sums(rows[None])[0], spatial_entropy(rows)
    heads = tuple(
        HeadExplanation(head, float(total), float(entropy), _heat(small, row, region, width))
        for head, total, entropy, row in zip(found.heads, sums, entropies, rows, strict=True)
    )
    return Explanation(found.reason, advise(found), heads, combined, found.presence)


def advise(found: Grounding) -> str:
    """What to try next, by the status."""
    own = {} if found.heads else _DETECTOR_ADVICE
    return own.get(found.status, _ADVICE[found.status])


def _with_scores(found: Grounding) -> str:
    """The reason, with a detector's scores of the other places."""
    others = ", ".join(f"{one.score:.2f}" for one in found.candidates)
    return f"{found.reason} (other places: {others})" if others else found.reason


def _heat(
    small: np.ndarray, token_map: np.ndarray, region: tuple[float, ...], full_width: int
) -> np.ndarray:
    """A token map as colours over a small copy of the picture."""
    height, width = small.shape[:2]
    x0, y0, x1, y1 = (v * width / full_width for v in region)
    heat = normalise_map(token_map_to_image(token_map, (x0, y0, x1, y1), (width, height)))
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return np.asarray(cv2.addWeighted(small, 0.4, np.ascontiguousarray(colours), 0.6, 0))
