"""One grounding with several places -> the instances of a plural, or the parts of stuff."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING

import cv2
import numpy as np

from ..grounding.localize.edges import refine_edges
from ..grounding.metrics import mask_iou

if TYPE_CHECKING:
    from ..grounding.result import Box
    from .find.packed import Found

LEVEL, COUNTED_LEVEL = 0.5, 0.1
"""A place counts where the map is on average at least this share of what it is at the best one;
less is needed where the words say that there are more."""
APART = 0.3
"""Two places share less than this of the smaller one."""
WEAK, COUNTED_WEAK = 0.5, 0.3
"""A place counts whose score is at least this share of the best one's; again for counted ones."""
ALIKE = 0.85
"""The same for a place found by other words ("the left car") where the words do not count."""
SAME = 0.7
"""Masks with at least this IoU are one place."""
MOST_COUNTED = 4
"""Up to here every choice of places is weighed."""


@dataclass(frozen=True, eq=False)
class Place:
    """A mask (H, W) bool and its score."""

    mask: np.ndarray
    score: float


def split_places(
    image: np.ndarray, looked: Found, *, at_most: int | None = None, refine: bool = True
) -> list[Place]:
    """The places of a phrase that names several, best first.

    Parameters
    ----------
    image
        (H, W, 3) uint8 RGB, for the masks' edges.
    looked
        A grounding with candidates, placed with more peaks and proposals than a single thing
        needs, and the groundings of the things one by one. Where words count, these come first.
    at_most
        How many the phrase says there are ("two dogs"); None = it does not say.
    refine
        Let GrabCut settle the borders.
    """
    found = looked.grounding
    if not found.found:
        return []
    places = _one_by_one(looked, at_most)
    heat = found.map
    heat = np.clip(heat - heat.mean(), 0, None)
    counted = at_most is not None
    needed = (COUNTED_LEVEL if counted else LEVEL) * _mean(heat, found.mask)
    weakest = (COUNTED_WEAK if counted else WEAK) * found.score
    for candidate in found.candidates:
        if at_most is not None and len(places) >= at_most:
            break
        mask = enlarged(candidate.mask, found.size_wh)
        strong = candidate.score >= weakest and _mean(heat, mask) >= needed
        if strong and all(_apart(mask, other.mask) for other in places):
            refined = refine_edges(image, mask) if refine else mask
            places.append(Place(refined if refined.any() else mask, candidate.score))
    return places


def _one_by_one(looked: Found, at_most: int | None) -> list[Place]:
    """The places of a phrase and of its other words, each once, best first."""
    every = sorted(
        (Place(g.mask, g.score) for g in (looked.grounding, *looked.others) if g.found),
        key=lambda place: -place.score,
    )
    weakest = (ALIKE if at_most is None else WEAK) * every[0].score
    distinct: list[Place] = []
    for place in every:
        if place.score >= weakest and all(
            mask_iou(place.mask, other.mask) < SAME for other in distinct
        ):
            distinct.append(place)
    if at_most is not None and at_most <= MOST_COUNTED:
        return _separate(distinct, at_most)
    places: list[Place] = []
    for place in distinct:
        if len(places) != at_most and all(_apart(place.mask, p.mask) for p in places):
            places.append(place)
    return places


def _separate(distinct: Sequence[Place], number: int) -> list[Place]:
    """As many places apart from each other as there should be, or nearly, with the best scores.

    The best one may lie over two things; then the two are taken.
    """
    for count in range(min(number, len(distinct)), 1, -1):
        sets = [
            chosen
            for chosen in combinations(distinct, count)
            if all(_apart(a.mask, b.mask) for a, b in combinations(chosen, 2))
        ]
        if sets:
            return list(max(sets, key=lambda chosen: sum(place.score for place in chosen)))
    return list(distinct[:1])


def tight_box(mask: np.ndarray) -> Box:
    """xyxy, half-open pixels, around a mask that is not empty."""
    xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    return float(xs[0]), float(ys[0]), float(xs[-1] + 1), float(ys[-1] + 1)


def enlarged(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A candidate's mask (h, w) bool at the picture's size."""
    if mask.shape == size_wh[::-1]:
        return mask
    small = mask.astype(np.uint8)
    return cv2.resize(small, size_wh, interpolation=cv2.INTER_NEAREST).astype(bool)


def _mean(heat: np.ndarray, mask: np.ndarray) -> float:
    return float(heat[mask].mean()) if mask.any() else 0.0


def _apart(a: np.ndarray, b: np.ndarray) -> bool:
    return bool((a & b).sum() < APART * max(1, min(a.sum(), b.sum())))
