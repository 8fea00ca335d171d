"""Find the objects beside a found one that reach into the area to be painted.

The segmenter is prompted with points in and just beyond that area, which gives candidate regions;
then with the box and the innermost point of each region, twice, which gives the object its
outline: a single point near an edge rarely does. Everything is decided on the decoder's own grid,
and only what passes becomes a mask of the picture.
"""

from __future__ import annotations

from functools import cached_property
from operator import attrgetter

import cv2
import numpy as np
from numpy.typing import NDArray

from ..sam.segmenter import GridMask, ImageEmbedding, Segmenter, read_answers
from ..view import boxes_and_centres, resize_shares

Mask = NDArray[np.bool_]
Floats = NDArray[np.float32]

_SURETY = attrgetter("surety")
_ROUNDS = 2  # of box prompts: the second starts from what no longer is the found object's
_SAME = 0.5  # of two answers that share so much of the smaller one the lower ranked is dropped
_LEAST = 4  # cells of the decoder's grid: less is a speck
_TRIED = 4096  # pixels among which the points are chosen
_MILD = (0.4, 0.4, 0.3)  # least score, most overlap, least outside of a region prompted again

# What counts as an object of its own; chosen on composed validation scenes, where the values are
# not critical.
_POINTS = 16  # point prompts at first
_REACH = 0.25  # how far beyond the support these lie, over the square root of the mask's area
_REGIONS = 6  # regions that are prompted again at most
_OVERLAP, _TAKEN = 0.3, 0.25  # most share of it in the found mask, and of the found mask in it
_OUTSIDE = 0.4  # least share of it outside the support: a leaf, a wheel, a handle has less
_SURROUND = 0.35  # most share of the ring between mask and support: the ground covers more
_SCORE, _STABILITY = 0.6, 0.6  # least of the segmenter's score, and of its stability


def find_adjacent(
    segmenter: Segmenter, embedding: ImageEmbedding, mask: Mask, support: Mask
) -> Mask:
    """Masks of the objects beside a found one that reach into the area around it.

    `mask`, the found object, and `support`, which contains it and is to be painted, are (H, W) bool
    of the picture that was read.

    Returns (n, H, W) bool: Best first, including what of them lies outside the support or in the
    found mask. Empty where `support` is no larger than `mask`.
    """
    size = embedding.frame.size_wh[::-1]
    none = np.zeros((0, *size), np.bool_)
    if not mask.any() or not (support & ~mask).any():
        return none
    ring = _Ring(embedding, mask, support)
    spots = _spread_points(mask, support)
    answers = ring.beside(read_answers(segmenter, embedding, points=spots))
    regions = ring.regions([one for several in answers for one in several])
    for _ in range(_ROUNDS):
        if not regions:
            return none
        boxes, inner = ring.prompts(regions)
        answers = ring.beside(read_answers(segmenter, embedding, boxes=boxes, points=inner))
        regions = [max(several, key=_SURETY) for several in answers if several]
    passed = ring.adjacent([one for several in answers for one in several])
    return segmenter.full_masks(embedding, [one.logits for one in passed]) if passed else none


class _Ring:
    """Found object and support on the decoder's grid, as shares of each cell."""

    def __init__(self, embedding: ImageEmbedding, mask: Mask, support: Mask) -> None:
        grid = embedding.frame.grid_wh
        self.found, self.support = (
            resize_shares(area.astype(np.float32), grid) for area in (mask, support)
        )
        self.cell_xy = np.array(embedding.frame.size_wh) / np.array(grid)

    @cached_property
    def ring(self) -> Floats:
        return np.clip(self.support - self.found, 0, 1)

    def free(self, grid: Mask) -> Mask:
        """The part of an answer outside the found object."""
        return grid & (self.found < 0.5)

    def beside(self, answers: list[list[GridMask]]) -> list[list[GridMask]]:
        """Each prompt's answers that hold more than a speck beside the found object."""
        return [
            [one for one in several if self.free(one.grid).sum() >= _LEAST] for several in answers
        ]

    def prompts(self, found: list[GridMask]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Boxes and innermost points, in the picture's pixels, of the parts outside the object."""
        boxes, inner = boxes_and_centres([self.free(one.grid) for one in found])
        return boxes * np.tile(self.cell_xy, 2), inner * self.cell_xy

    def regions(self, answers: list[GridMask]) -> list[GridMask]:
        """Where there may be another object, best first."""
        score, overlap, outside = _MILD
        likely = [
            one
            for one in answers
            if one.score >= score
            and self._share(one.grid, self.found) <= overlap
            and 1 - self._share(one.grid, self.support) >= outside
        ]
        return _distinct(likely)[:_REGIONS]

    def adjacent(self, answers: list[GridMask]) -> list[GridMask]:
        """The answers that are objects of their own, one for each."""
        return _distinct([one for one in answers if self._is_adjacent(one)])

    def _is_adjacent(self, one: GridMask) -> bool:
        grid = one.grid
        if one.score < _SCORE or one.stability < _STABILITY or _spans(grid):
            return False
        held = float(self.ring[grid].sum())
        return bool(
            0 < held <= _SURROUND * float(self.ring.sum())
            and self._share(grid, self.found) <= _OVERLAP
            and float(self.found[grid].sum()) <= _TAKEN * float(self.found.sum())
            and 1 - self._share(grid, self.support) >= _OUTSIDE
        )

    @staticmethod
    def _share(grid: Mask, area: Floats) -> float:
        return float(area[grid].mean())


def _distinct(answers: list[GridMask]) -> list[GridMask]:
    """Best first, without those that largely share a better one's cells."""
    kept: list[GridMask] = []
    for one in sorted(answers, key=_SURETY, reverse=True):
        if all(_common(one.grid, other.grid) <= _SAME for other in kept):
            kept.append(one)
    return kept


def _spread_points(mask: Mask, support: Mask) -> NDArray[np.float64]:
    """Points (n, 2) xy in the ring and just beyond it, by farthest-point sampling."""
    reach = max(1.0, _REACH * float(np.sqrt(np.count_nonzero(mask))))
    left, top, width, height = cv2.boundingRect(support.view(np.uint8))
    x0, y0 = max(0, left - int(reach)), max(0, top - int(reach))
    window = np.s_[y0 : top + height + int(reach), x0 : left + width + int(reach)]
    apart = cv2.distanceTransform((~support[window]).view(np.uint8), cv2.DIST_L2, 5)
    ys, xs = np.nonzero((apart <= reach) & ~mask[window])
    every = max(1, len(ys) // _TRIED)
    spots = np.stack([xs[::every] + x0, ys[::every] + y0], 1) + 0.5
    chosen, nearest = [0], np.full(len(spots), np.inf)
    while len(chosen) < min(_POINTS, len(spots)):
        nearest = np.minimum(nearest, np.square(spots - spots[chosen[-1]]).sum(1))
        chosen.append(int(np.argmax(nearest)))
    return np.asarray(spots[chosen], np.float64)


def _spans(grid: Mask) -> bool:
    """Whether it reaches from the picture's left side to its right: a floor, a table, the sky."""
    return bool(grid[:, 0].any() and grid[:, -1].any())


def _common(a: Mask, b: Mask) -> float:
    """Share of the smaller one that lies in the other."""
    return float((a & b).sum() / max(1, min(a.sum(), b.sum())))
