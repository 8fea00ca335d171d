"""What counts as a thing of its own: a segmenter that knows a drawn map of regions by heart."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from groundbrush.grounding.localize.adjacent import find_adjacent
from groundbrush.grounding.sam.coordinates import SquareFrame
from groundbrush.grounding.sam.segmenter import ImageEmbedding

SIDE = 64


class DrawnSegmenter:
    """Answers with the region under a point, or under a box's inner point."""

    def __init__(self, regions: np.ndarray, score: float = 0.9, steep: float = 8.0) -> None:
        self.regions, self.score, self.steep = regions, score, steep
        self.asked: list[int] = []

    def prompt_logits(self, embedding, *, boxes=None, points, mask=None, multimask=True):
        assert boxes is None or len(boxes) == len(points)
        self.asked.append(len(points))
        under = [self.regions[int(y), int(x)] for x, y in np.asarray(points)]
        logits = [np.where(self.regions == one, self.steep, -8.0) for one in under]
        logits = np.array(logits, np.float32)[:, None]
        return logits, np.full((len(points), 1), self.score, np.float32)

    def full_masks(self, embedding, logits, size_wh=None):
        return embedding.frame.masks(logits, size_wh)


def embedding(width: int = SIDE, height: int = SIDE) -> ImageEmbedding:
    return ImageEmbedding(SquareFrame((width, height), SIDE, SIDE), torch.zeros(1))


def scene() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ground 0 and the found thing 1 in its middle; its mask, and a support 6 pixels wider."""
    regions = np.zeros((SIDE, SIDE), int)
    regions[24:40, 24:40] = 1
    support = np.zeros((SIDE, SIDE), bool)
    support[18:46, 18:46] = True
    return regions, regions == 1, support


def found(regions: np.ndarray, mask: np.ndarray, support: np.ndarray, **settings) -> np.ndarray:
    return find_adjacent(DrawnSegmenter(regions, **settings), embedding(), mask, support)


def test_a_thing_that_touches_is_a_neighbour_and_the_ground_is_not():
    regions, mask, support = scene()
    regions[26:38, 40:60] = 2
    segmenter = DrawnSegmenter(regions)
    made = find_adjacent(segmenter, embedding(), mask, support)
    np.testing.assert_array_equal(made, (regions == 2)[None])
    assert segmenter.asked == [16, 2, 2]  # the points, then the ground and the thing, twice


def test_several_are_told_apart():
    regions, mask, support = scene()
    regions[26:38, 42:60] = 2
    regions[4:22, 26:38] = 3
    made = found(regions, mask, support)
    assert sorted(int(one.sum()) for one in made) == [12 * 18, 18 * 12]


def test_a_thing_that_does_not_reach_the_support_is_none():
    regions, mask, support = scene()
    regions[26:38, 50:62] = 2
    assert not len(found(regions, mask, support))


def test_a_leaf_or_a_shadow_inside_the_support_is_none():
    regions, mask, support = scene()
    regions[40:45, 24:40] = 2
    assert not len(found(regions, mask, support))


def test_what_goes_round_or_from_side_to_side_is_the_ground():
    regions, mask, support = scene()
    around = (np.hypot(*np.mgrid[-32:32, -32:32]) < 31) & ~mask
    regions[around] = 2  # a plate
    assert not len(found(regions, mask, support))
    regions, mask, support = scene()
    regions[40:50] = 2  # a table's edge
    assert not len(found(regions, mask, support))
    regions[40:50, 0] = 0  # the same, ending inside the picture
    assert len(found(regions, mask, support))


def test_the_whole_of_which_the_found_thing_is_a_part_is_none():
    regions, mask, support = scene()
    regions[24:40, 40:60] = 2
    half = mask.copy()
    half[:, 32:] = False  # found: the left half only; queried for the rest, the whole answers
    regions[regions == 2] = 1
    assert not len(found(regions, half, support))


def test_a_found_mask_that_took_some_of_the_neighbour_still_has_one():
    regions, mask, support = scene()
    regions[26:38, 40:60] = 2
    regions[26:38, 36:40] = 2
    made = found(regions, mask, support)  # a sixth of it lies in the found mask
    np.testing.assert_array_equal(made[0], regions == 2)


@pytest.mark.parametrize("weak", [{"score": 0.5}, {"steep": 0.9}], ids=["unsure", "unsteady"])
def test_an_unsure_answer_is_none(weak):
    regions, mask, support = scene()
    regions[26:38, 40:60] = 2
    assert not len(found(regions, mask, support, **weak))


def test_nothing_is_asked_where_nothing_is_beside():
    regions, mask, _ = scene()
    segmenter = DrawnSegmenter(regions)
    assert find_adjacent(segmenter, embedding(), mask, mask).shape == (0, SIDE, SIDE)
    nothing = np.zeros_like(mask)
    assert not len(find_adjacent(segmenter, embedding(), nothing, nothing))
    assert segmenter.asked == []


def test_a_picture_of_another_shape_and_size():
    """A picture of 96 x 48 lies shrunk in the square; masks come back at its own size."""
    mask, support = np.zeros((48, 96), bool), np.zeros((48, 96), bool)
    mask[18:30, 30:48], support[12:36, 24:54] = True, True
    other = np.zeros((48, 96), bool)
    other[18:30, 48:84] = True
    grid = np.zeros((SIDE, SIDE), int)
    rows, columns = np.mgrid[:32, :SIDE]
    grid[:32] = other[(rows * 1.5).astype(int), (columns * 1.5).astype(int)]

    class Scaled(DrawnSegmenter):
        def prompt_logits(self, embedding, *, points, **more):
            return super().prompt_logits(embedding, points=np.asarray(points) / 1.5, **more)

    made = find_adjacent(Scaled(grid), embedding(96, 48), mask, support)
    assert made.shape == (1, 48, 96)
    assert (made[0] & other).sum() / (made[0] | other).sum() > 0.9


# --- the thresholds, each at its edge ---------------------------------------------------------


@pytest.mark.parametrize(("right", "count"), [(51, 1), (49, 0)])
def test_more_than_four_tenths_of_it_lie_outside_the_support(right: int, count: int) -> None:
    regions, mask, support = scene()
    regions[26:38, 40:right] = 2  # the support ends at column 46: 5 of 11 outside, 3 of 9
    assert len(found(regions, mask, support)) == count


@pytest.mark.parametrize(("left", "count"), [(34, 1), (33, 0)])
def test_less_than_three_tenths_of_it_lie_in_the_found_mask(left: int, count: int) -> None:
    regions, mask, support = scene()
    regions[30:34, left : left + 21] = 2  # the mask ends at column 40: 6 or 7 of 21 inside
    assert len(found(regions, mask, support)) == count


@pytest.mark.parametrize(("rows", "count"), [(16, 1), (17, 0)])
def test_a_quarter_of_the_found_mask_may_lie_in_it(rows: int, count: int) -> None:
    regions, _, support = scene()
    mask = np.zeros_like(support)
    mask[20:44, 30:40] = True  # 240 cells, of which 4 columns are the other's
    regions[22 : 22 + rows - 1, 36:60] = 2
    mine = (regions == 2) & mask
    assert (mine.sum() <= 0.25 * mask.sum()) == bool(count)
    assert len(found(regions, mask, support)) == count


@pytest.mark.parametrize(("score", "count"), [(0.6, 1), (0.59, 0)])
def test_the_segmenters_score_counts_from_six_tenths(score: float, count: int) -> None:
    regions, mask, support = scene()
    regions[26:38, 40:60] = 2
    assert len(found(regions, mask, support, score=np.float32(score))) == count
