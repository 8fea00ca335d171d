"""Why a phrase was found where it was: what each localization head looks at, and what to try.

A find backend has no heads; its map of scores is shown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..grounding.errors import GroundingError
from ..grounding.heads.criteria import attention_sums, spatial_entropy
from ..grounding.localize.boxes import box_map, cells_to_mask, map_mask
from ..grounding.localize.maps import combine_maps, normalise_map, token_map_to_image
from ..grounding.settings import BoxSettings
from ..grounding.view import shrink_image
from .errors import translate
from .pictures.overlay import shrink
from .pictures.picture import Picture

if TYPE_CHECKING:
    from ..grounding.result import Grounding
    from .api import Editor

LONGEST = 320

_TRY = {
    "found": "Nothing: look at the mask, and correct it by a click if a part is missing.",
    "absent": "Check the words against the picture, name the thing more simply (“the cup”), take "
    "a candidate if one is right, or mark the place by a click or a box.",
    "ambiguous": "Add what sets it apart: a colour, a side (“on the left”), a neighbour (“next to "
    "the dog”); or take the candidate that is meant.",
    "uncertain": "Compare the heads' maps under “Why here?”: where they look at different places, "
    "use other words; where they agree, check the mask's border and correct it.",
}
_TRY_BACKEND = {
    "uncertain": "Look at the map of scores under “Why here?”: where other places are nearly as "
    "bright, use other words; where one is, check the mask's border and correct it."
}


@dataclass(frozen=True, eq=False)
class HeadView:
    """One localization head on one phrase.

    Attributes
    ----------
    head
        (layer, head), 0-based.
    attention_sum
        Share of its attention that falls on the picture.
    entropy
        Spatial entropy of its map (Kang et al., Sec. 4): low where it looks at one place.
    picture
        ``(h, w, 3)`` uint8: its map over the picture.
    """

    head: tuple[int, int]
    attention_sum: float
    entropy: float
    picture: np.ndarray


@dataclass(frozen=True, eq=False)
class Why:
    """What stands behind a grounding.

    Attributes
    ----------
    reason, advice
        One sentence on the status; what to try.
    heads
        Each head that was read; none where a find backend looked.
    combined
        ``(h, w, 3)`` uint8: the smoothed sum of their maps over the picture, or a backend's map of
        scores.
    presence
        As `Grounding.presence`.
    """

    reason: str
    advice: str
    heads: tuple[HeadView, ...]
    combined: np.ndarray
    presence: float | None


def explain(editor: Editor, picture: Picture, found: Grounding) -> Why:
    """Read a grounding's phrase once more, head by head.

    Raises
    ------
    GroundbrushError
        When the model fails.
    """
    small = shrink(picture.pixels, LONGEST)
    combined = _over(small, found.token_map, found.region, picture.size)
    if not found.heads:
        return Why(_with_rivals(found), advise(found), (), combined, found.presence)
    view = editor.finder.look(picture)
    with translate(GroundingError):
        reading = editor.models.grounder().read(view, [found.phrase], found.heads)[0]
    rows = np.asarray(reading.rows)
    region = view.enlarged(view.encoded.tokens.region_xyxy)
    sums, entropies = attention_sums(rows[None])[0], spatial_entropy(rows)
    heads = tuple(
        HeadView(head, float(total), float(entropy), _over(small, row, region, picture.size))
        for head, total, entropy, row in zip(found.heads, sums, entropies, rows, strict=True)
    )
    return Why(found.reason, advise(found), heads, combined, found.presence)


def attention_arrays(editor: Editor, picture: Picture, phrase: str) -> dict[str, np.ndarray]:
    """Attention rows of every head for a phrase as it stands, and what they mean.

    Returns
    -------
    dict of numpy.ndarray
        ``rows`` (L, H, P, Q) float32; ``sums`` and ``entropies`` (L, H); ``region`` (4,) xyxy, the
        rectangle of the picture that the grid covers, in its pixels; ``size`` (W, H); ``tokens``
        and ``ids`` of the prompt, ``query``, the position of the token that the rows are of,
        ``query_mode``, ``image_tokens``, the positions of the grid's cells; ``heads`` (k, 2) of the
        preset; ``phrase``.

    Raises
    ------
    GroundbrushError
        Where the preset has no LVLM, or the model fails.
    """
    preset = editor.models.preset
    lvlm = editor.models.lvlm()
    with translate(GroundingError):
        proxy, _ = shrink_image(picture.pixels, int(preset.grounding.get("proxy", 1536)))
        encoded = lvlm.encode(proxy, all_layers=True)
        (rows,) = lvlm.head_rows(encoded, [phrase])
        prompt = lvlm.family.prompts.build(phrase)
        sums, entropies = attention_sums(rows), spatial_entropy(rows)
    prefix, usual = encoded.prefix_ids, len(lvlm.family.prefix_ids)
    ids = [*prefix, *prompt.ids[usual:]]
    scale = np.tile(np.divide(picture.size, encoded.size_wh), 2)
    return {
        "rows": rows,
        "sums": sums,
        "entropies": entropies,
        "region": np.array(encoded.tokens.region_xyxy) * scale,
        "size": np.array(picture.size),
        "ids": np.array(ids),
        "tokens": np.array(lvlm.family.prompts.tokenizer.convert_ids_to_tokens(list(ids))),
        "query": np.array(prompt.query - usual + len(prefix)),
        "query_mode": np.array(lvlm.family.query),
        "image_tokens": encoded.tokens.positions,
        "heads": np.array(preset.lvlm.get("heads", [])).reshape(-1, 2).astype(int),
        "phrase": np.array(prompt.phrase),
    }


def pseudo_mask_of(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, dict[str, Any]]:
    """The pseudo-mask (H, W) of the preset's heads, before SAM, and its box as the public code's.

    Parameters
    ----------
    arrays
        From `attention_arrays`, with heads.

    Returns
    -------
    mask, facts
        The cells above the mean of the smoothed sum of the maps (Kang et al., Sec. 5), and
        ``bbox_xyxy`` of the largest hull, in whole pixels, the last ones included, as
        github.com/seilk/LocalizationHeads writes it; zeros where nothing is above the mean.
    """
    heads = [(int(layer), int(head)) for layer, head in arrays["heads"]]
    width, height = (int(v) for v in arrays["size"])
    x0, y0, x1, y1 = (float(v) for v in arrays["region"])
    region, size, settings = (x0, y0, x1, y1), (width, height), BoxSettings(component="hull")
    combined = combine_maps(np.stack([arrays["rows"][head] for head in heads]), 1.0, 7)
    combined, region, heat, boxes = box_map(combined, region, size, settings)
    mask = cells_to_mask(map_mask(combined, heat, region, size, settings), region, size)
    left, top, right, bottom = boxes[0] if boxes else (0, 0, 1, 1)
    return mask, {
        "bbox_xyxy": [int(left), int(top), math.ceil(right) - 1, math.ceil(bottom) - 1],
        "image_size": [width, height],
        "selected_heads": [
            {"layer": a, "head": b, "spatial_entropy": float(arrays["entropies"][a, b])}
            for a, b in heads
        ],
    }


def why_sheet(why: Why) -> np.ndarray:
    """The combined map and each head's, side by side, ``(h, w, 3)`` uint8."""
    gap = np.full((why.combined.shape[0], 4, 3), 255, np.uint8)
    parts = [why.combined, *(one.picture for one in why.heads)]
    return np.hstack([piece for part in parts for piece in (part, gap)][:-1])


def advise(found: Grounding) -> str:
    """What to try, in words."""
    own = {} if found.heads else _TRY_BACKEND
    return own.get(found.status, _TRY[found.status])


def _with_rivals(found: Grounding) -> str:
    """The reason, with what a backend gave to the other places."""
    others = ", ".join(f"{one.score:.2f}" for one in found.candidates)
    return f"{found.reason} (other places: {others})" if others else found.reason


def _over(
    small: np.ndarray, token_map: np.ndarray, region: tuple[float, ...], size: tuple[int, int]
) -> np.ndarray:
    """A token map as heat over a small copy of the picture."""
    import cv2

    height, width = small.shape[:2]
    scale = width / size[0]
    x0, y0, x1, y1 = (v * scale for v in region)
    heat = normalise_map(token_map_to_image(token_map, (x0, y0, x1, y1), (width, height)))
    colours = cv2.applyColorMap((heat * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    return cv2.addWeighted(small, 0.4, np.ascontiguousarray(colours), 0.6, 0)
