"""Which larger answers are the whole of a found part, by a segmenter that repeats a given list."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from groundbrush.grounding.localize.whole import steady_whole
from groundbrush.grounding.sam.coordinates import SquareFrame
from groundbrush.grounding.sam.segmenter import ImageEmbedding

SIDE = 64
EMBEDDING = ImageEmbedding(SquareFrame((SIDE, SIDE), SIDE, SIDE), torch.zeros(1))


def flower(stem: int, width: int = 20) -> np.ndarray:
    """A head of 20 by 20 and so many rows of what stands below it."""
    mask = np.zeros((SIDE, SIDE), bool)
    mask[10:30, 20:40] = True
    mask[30 : 30 + stem, 30 - width // 2 : 30 + width // 2] = True
    return mask


class Answers:
    """Answers the first prompt with the first mask and its score, and so on; then repeats."""

    def __init__(self, masks: Sequence[np.ndarray], scores: Sequence[float] = (0.9,)) -> None:
        self.masks, self.scores, self.boxes = masks, scores, []

    def prompt_logits(self, embedding, *, boxes, points, mask=None, multimask=True):
        assert np.abs(points - (30, 20)).max() <= 1, "the innermost point of the part"
        k = len(self.boxes)
        self.boxes.append(boxes[0].tolist())
        whole, score = (
            self.masks[min(k, len(self.masks) - 1)],
            self.scores[min(k, len(self.scores) - 1)],
        )
        logits = [np.where(one, 8.0, -8.0) for one in (flower(0), whole, flower(0))]
        return np.array([logits], np.float32), np.array([[0.99, score, 0.99]], np.float32)

    def full_masks(self, embedding, logits, size_wh=None):
        return np.asarray(logits) > 0


def test_a_part_grows_to_what_its_own_box_answers():
    """The leaves in two steps: the box of the first answer shows more of them."""
    segmenter = Answers([flower(4), flower(8), flower(8)])
    np.testing.assert_array_equal(steady_whole(segmenter, EMBEDDING, flower(0)), flower(8))
    assert segmenter.boxes == [[20, 10, 40, 30], [20, 10, 40, 34], [20, 10, 40, 38]]


@pytest.mark.parametrize(
    ("answers", "why"),
    [
        (Answers([flower(0)]), "no more than the part"),
        (Answers([flower(1)]), "a rim"),
        (Answers([flower(3), flower(6), flower(9)]), "it still grows: the ground"),
        (Answers([flower(6)], [0.9, 0.87]), "less sure: a leak"),
        (Answers([flower(6)], [0.79]), "unsure"),
        (Answers([flower(13)]), "more than half as large again: another thing"),
        (Answers([flower(8) & ~flower(0)]), "it does not hold the part"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_no_whole(answers, why):
    assert steady_whole(answers, EMBEDDING, flower(0)) is None


def test_a_mask_that_is_lost_between_cells_has_no_whole():
    assert steady_whole(Answers([flower(4)]), EMBEDDING, np.zeros((SIDE, SIDE), bool)) is None
