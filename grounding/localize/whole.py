"""Find the whole of which a found mask is a part: a sunflower of which the leaves are missing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from ..sam.segmenter import ImageEmbedding, Segmenter, read_answers
from ..view import boxes_and_centres, resize_shares

_STEPS = 3
_BEYOND, _RIM = (0.05, 0.5), 0.06
"""Share of a part by which its whole reaches beyond it and its rim; the rim's width over the square
root of the part's area."""
_SURE, _FALLS, _STEADY, _HOLDS = 0.8, 0.02, 0.97, 0.9
"""Least score and stability; how far the score may fall in a step; least IoU of a mask and the one
of which the box was the prompt; least share of the part that a whole holds."""


def steady_whole(
    segmenter: Segmenter, embedding: ImageEmbedding, mask: NDArray[np.bool_]
) -> NDArray[np.bool_] | None:
    """The whole of which a mask is a part, or None where there is none.

    SAM's largest answer to the box and the innermost point of a part often reaches a little into
    the rest. Prompted with the box of that answer, it reaches further, and so on. A whole is where
    this ends: SAM answers its box with itself, and is as sure of it as of the part. A mask that
    leaks into the ground or into another thing leaks further or is less and less sure.

    Returns a mask of the same shape that contains the given one.
    """
    grid_wh = embedding.frame.grid_wh
    part = resize_shares(mask.astype(np.float32), grid_wh) >= 0.5
    if not part.any():
        return None
    cell_xy = np.array(embedding.size_wh) / np.array(grid_wh)
    box, point = boxes_and_centres([part])
    reached, least = part, _SURE
    for _ in range(_STEPS):
        prompt = {"boxes": box * np.tile(cell_xy, 2), "points": point * cell_xy}
        (several,) = read_answers(segmenter, embedding, **prompt)
        largest = max(several, key=lambda one: int(one.grid.sum()))
        grid, score = largest.grid, largest.score
        holds = (grid & part).sum() >= _HOLDS * part.sum()
        if not holds or not _BEYOND[0] <= _beyond(grid, part) <= _BEYOND[1]:
            return None
        if score < least or largest.stability < _SURE:
            return None
        whole = grid | part
        if (whole & reached).sum() >= _STEADY * (whole | reached).sum():
            return mask | segmenter.full_masks(embedding, [largest.logits])[0]
        reached, least = whole, max(least, score - _FALLS)
        box, _ = boxes_and_centres([whole])
    return None


def _beyond(grid: NDArray[np.bool_], part: NDArray[np.bool_]) -> float:
    """Area of a mask beyond a part and its rim, over the part's."""
    area = float(part.sum())
    away = cv2.distanceTransform((~part).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_5)
    return float((grid & (away > max(1, _RIM * area**0.5))).sum() / area)
