"""Split one grounding into the instances of a plural, or the parts of stuff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..grounding.localize.edges import refine_edges
from ..grounding.localize.locate import are_separate
from ..grounding.metrics import mask_iou

if TYPE_CHECKING:
    from ..grounding.result import Grounding

LEVEL, COUNTED_LEVEL = 0.5, 0.1
"""Least mean of the map in a mask, over its mean in the best mask; lower if the phrase counts."""
WEAK, COUNTED_WEAK = 0.5, 0.3
"""Least score of a candidate, over the best one's; lower if the phrase counts."""
ALIKE = 0.85
"""The same for a mask found by a variant ("the left car") if the phrase does not count."""
SAME = 0.7
"""Masks with at least this IoU are one instance."""
MOST_COUNTED = 4
"""Largest count for which all combinations of masks are compared."""


@dataclass(frozen=True, eq=False)
class ScoredMask:
    """A mask (H, W) bool and its score."""

    mask: np.ndarray
    score: float


def split_instances(
    image: np.ndarray,
    grounding: Grounding,
    variants: Sequence[Grounding] = (),
    *,
    at_most: int | None = None,
    refine: bool = True,
) -> list[ScoredMask]:
    """Return the instances of a phrase that names several, best first.

    Parameters
    ----------
    image : (H, W, 3) uint8 RGB, for the masks' edges.
    grounding : With more candidates than a single thing needs.
    variants : Groundings of the things one by one ("the left car"); if the phrase counts, they come
        before the candidates.
    at_most : How many the phrase names ("two dogs"); None if it does not say.
    refine : Refine the candidates' borders with GrabCut.
    """
    if not grounding.found:
        return []
    instances = _one_by_one(grounding, variants, at_most)
    heat = grounding.map
    heat = np.clip(heat - heat.mean(), 0, None)
    counted = at_most is not None
    least_heat = (COUNTED_LEVEL if counted else LEVEL) * _mean(heat, grounding.mask)
    least_score = (COUNTED_WEAK if counted else WEAK) * grounding.score
    for candidate in grounding.candidates:
        if at_most is not None and len(instances) >= at_most:
            break
        mask = full_size_mask(candidate.mask, grounding.size_wh)
        strong = candidate.score >= least_score and _mean(heat, mask) >= least_heat
        if strong and all(are_separate(mask, other.mask) for other in instances):
            refined = refine_edges(image, mask) if refine else mask
            instances.append(ScoredMask(refined if refined.any() else mask, candidate.score))
    return instances


def _one_by_one(
    grounding: Grounding, variants: Sequence[Grounding], at_most: int | None
) -> list[ScoredMask]:
    """Return the distinct masks of a phrase and its variants, best first."""
    found = sorted(
        (ScoredMask(g.mask, g.score) for g in (grounding, *variants) if g.found),
        key=lambda one: -one.score,
    )
    least_score = (ALIKE if at_most is None else WEAK) * found[0].score
    distinct: list[ScoredMask] = []
    for one in found:
        same = any(mask_iou(one.mask, other.mask) >= SAME for other in distinct)
        if one.score >= least_score and not same:
            distinct.append(one)
    if at_most is not None and at_most <= MOST_COUNTED:
        return _best_combination(distinct, at_most)
    instances: list[ScoredMask] = []
    for one in distinct:
        if len(instances) != at_most and all(are_separate(one.mask, i.mask) for i in instances):
            instances.append(one)
    return instances


def _best_combination(distinct: Sequence[ScoredMask], number: int) -> list[ScoredMask]:
    """Return up to `number` masks apart from each other: most first, then the best scores.

    The best mask may cover two things; then the two are taken.
    """
    for count in range(min(number, len(distinct)), 1, -1):
        sets = [
            chosen
            for chosen in combinations(distinct, count)
            if all(are_separate(a.mask, b.mask) for a, b in combinations(chosen, 2))
        ]
        if sets:
            return list(max(sets, key=lambda chosen: sum(one.score for one in chosen)))
    return list(distinct[:1])


def full_size_mask(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """Return a candidate's mask (h, w) bool at the picture's size."""
    if mask.shape == size_wh[::-1]:
        return mask
    resized = cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
    return resized.astype(bool)


def _mean(heat: np.ndarray, mask: np.ndarray) -> float:
    return float(heat[mask].mean()) if mask.any() else 0.0
