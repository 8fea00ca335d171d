"""Metrics against counted pixels."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.grounding.errors import GroundingError
from groundbrush.grounding.metrics import (
    accuracy_at,
    average_recall,
    bootstrap_interval,
    boundary_f,
    box_iou,
    box_iou_pairwise,
    cumulative_iou,
    generalized_iou_mean,
    mask_iou,
    mask_overlap,
    pointing_hit,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

whole_boxes = st.tuples(*[st.integers(0, 12)] * 4).map(
    lambda b: (min(b[0], b[2]), min(b[1], b[3]), max(b[0], b[2]), max(b[1], b[3]))
)


def draw(box) -> np.ndarray:
    """A box of whole pixels as a mask."""
    canvas = np.zeros((12, 12), dtype=bool)
    x0, y0, x1, y1 = box
    canvas[y0:y1, x0:x1] = True
    return canvas


# --- boxes


def test_box_iou_by_hand():
    a = [(0, 0, 4, 4), (0, 0, 2, 2), (0, 0, 2, 2), (1, 1, 1, 1)]
    b = [(2, 2, 6, 6), (2, 0, 4, 2), (0, 0, 2, 2), (1, 1, 1, 1)]
    assert box_iou(a, b) == pytest.approx([4 / 28, 0, 1, 0])
    assert box_iou(a[0], b).shape == (4,)


def test_box_iou_pairwise():
    found = box_iou_pairwise(
        [(0, 0, 2, 2), (0, 0, 4, 2)], [(0, 0, 2, 2), (2, 0, 4, 2), (9, 9, 10, 10)]
    )
    assert found == pytest.approx(np.array([[1, 0, 0], [0.5, 0.5, 0]]))
    assert box_iou_pairwise([], [(0, 0, 1, 1)]).shape == (0, 1)


@settings(deadline=None)
@given(whole_boxes, whole_boxes)
def test_box_iou_counts_pixels(a, b):
    first, second = draw(a), draw(b)
    union = (first | second).sum()
    expected = (first & second).sum() / union if union else 0.0
    assert box_iou(a, b) == pytest.approx(expected)
    assert box_iou(a, b) == box_iou(b, a)


@pytest.mark.parametrize(
    ("a", "b", "message"),
    [
        ((0, 0, 2), (0, 0, 2), r"boxes have shape \(3,\); expected \(\.\.\., 4\) xyxy"),
        ((5, 5, 2, 9), (0, 0, 1, 1), r"box \[5.0, 5.0, 2.0, 9.0\] has x1 < x0.*not xywh"),
        ([(0, 0, 1, 1)] * 2, [(0, 0, 1, 1)] * 3, r"\(2, 4\) and \(3, 4\) do not match"),
        ((0, 0, np.inf, 1), (0, 0, 1, 1), "not finite"),
    ],
)
def test_box_iou_refuses(a, b, message):
    with pytest.raises(GroundingError, match=message):
        box_iou(a, b)


# --- masks


def test_mask_iou_by_hand():
    pred = np.array([[1, 1, 0, 0]], dtype=bool)
    assert mask_iou(pred, [[0, 1, 1, 0]]) == pytest.approx(1 / 3)
    assert mask_overlap(pred, [[0, 1, 255, 255]]) == (1, 2)
    assert mask_iou(pred, [[255, 1, 0, 0]]) == 1
    assert mask_iou([[0, 0]], [[0, 255]]) == 1
    assert mask_iou([[1, 0]], [[0, 0]]) == 0


def test_ignored_pixels_never_count():
    rng = np.random.default_rng(0)
    truth = rng.choice([0, 1, 255], (8, 8)).astype(np.uint8)
    pred = rng.random((8, 8)) > 0.5
    flipped = np.where(truth == 255, ~pred, pred)
    assert mask_overlap(pred, truth) == mask_overlap(flipped, truth)


def test_cumulative_and_mean_iou_by_hand():
    pred = [np.array([[1, 1, 0, 0]]), np.array([[1, 0, 0, 0]]), np.array([[0, 0, 0, 0]])]
    true = [np.array([[1, 1, 1, 1]]), np.array([[1, 0, 0, 0]]), np.array([[0, 0, 0, 255]])]
    assert cumulative_iou(pred, true) == pytest.approx((2 + 1 + 0) / (4 + 1 + 0))
    assert generalized_iou_mean(pred, true) == pytest.approx((0.5 + 1 + 1) / 3)
    assert cumulative_iou(pred[2:], true[2:]) == 1


@settings(deadline=None)
@given(hnp.arrays(bool, (3, 2, 4, 5)))
def test_iou_means_from_pixel_counts(stack):
    pairs = [((p & t).sum(), (p | t).sum()) for p, t in stack]
    each = [i / u if u else 1.0 for i, u in pairs]
    total = sum(u for _, u in pairs)
    assert generalized_iou_mean(stack[:, 0], iter(stack[:, 1])) == pytest.approx(np.mean(each))
    assert cumulative_iou(iter(stack[:, 0]), stack[:, 1]) == pytest.approx(
        sum(i for i, _ in pairs) / total if total else 1.0
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: mask_iou(np.eye(2), np.eye(3)), r"shapes \(2, 2\) and \(3, 3\).*Resize"),
        (lambda: mask_iou([1, 0], [1, 0]), r"expected one \(H, W\)"),
        (lambda: mask_iou(np.eye(2) * 255, np.eye(2)), "the predicted mask .* other than .0, 1."),
        (lambda: mask_iou(np.eye(2), np.eye(2) * 7), "the true mask .* other than .0, 1, 255."),
        (lambda: cumulative_iou([], []), "no masks to score"),
        (lambda: cumulative_iou([np.eye(2)], []), "only 0 true masks"),
        (lambda: generalized_iou_mean([np.eye(2)], [np.eye(2)] * 2), "only 1 predicted masks"),
    ],
)
def test_masks_refuse(call, message):
    with pytest.raises(GroundingError, match=message):
        call()


# --- numbers over samples


def test_accuracy_includes_the_threshold():
    assert accuracy_at([0.5, 0.4999, 0.9, 0.0]) == 0.5
    assert accuracy_at([0.5, 0.9], threshold=0.9) == 0.5


def test_average_recall_is_the_area_under_the_recall_curve():
    ious = np.random.default_rng(0).random(50)
    levels = (np.arange(20000) + 0.5) / 20000
    area = np.mean([(ious >= t).mean() for t in levels])
    assert average_recall(ious) == pytest.approx(area, abs=1e-4)


@pytest.mark.parametrize("score", [accuracy_at, average_recall])
def test_ious_are_fractions(score):
    with pytest.raises(GroundingError, match="IoUs run from 50 to 73.2; expected fractions"):
        score([50.0, 73.2])
    with pytest.raises(GroundingError, match="non-empty"):
        score([])


def test_bootstrap_interval_of_a_coin():
    hits = np.r_[np.ones(200), np.zeros(200)]
    low, high = bootstrap_interval(hits)
    # The normal interval is 0.5 -+ 1.96 * 0.025.
    assert (low, high) == pytest.approx((0.451, 0.549), abs=0.006)
    assert bootstrap_interval(hits) == (low, high)
    assert bootstrap_interval(hits, seed=1) != (low, high)
    narrow = bootstrap_interval(hits, confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


def test_bootstrap_interval_of_a_ratio():
    unions = np.array([10.0, 100.0, 1000.0, 20.0])
    assert bootstrap_interval(unions / 4, unions) == pytest.approx((0.25, 0.25))
    low, high = bootstrap_interval([10, 50, 0, 20], unions)
    assert 0 <= low < 80 / 1130 < high <= 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"denominators": [1.0]}, "2 values but 1 denominators"),
        ({"confidence": 95}, "confidence is 95"),
        ({"resamples": 0}, "resamples 0"),
    ],
)
def test_bootstrap_refuses(kwargs, message):
    with pytest.raises(GroundingError, match=message):
        bootstrap_interval([0.1, 0.2], **kwargs)


# --- pointing and outlines


def test_pointing_hit():
    heat = np.zeros((5, 5))
    heat[1, 3] = 1
    mask = np.zeros((5, 5), dtype=bool)
    mask[4, 3] = True
    assert not pointing_hit(heat, mask)
    assert not pointing_hit(heat, mask, tolerance=2.9)
    assert pointing_hit(heat, mask, tolerance=3)
    mask[1, 3] = True
    assert pointing_hit(heat, mask)
    assert not pointing_hit(heat, np.zeros((5, 5), dtype=bool), tolerance=99)
    with pytest.raises(GroundingError, match=r"shape \(5, 5\) and the mask \(2, 2\)"):
        pointing_hit(heat, np.eye(2))


def test_boundary_f():
    square = np.zeros((20, 20), dtype=bool)
    square[5:15, 5:15] = True
    moved = np.roll(square, 2, axis=1)
    empty = np.zeros_like(square)
    assert boundary_f(square, square) == 1
    assert boundary_f(square, moved, tolerance=2) == 1
    # Of each outline's 36 pixels 16 are also the other's: 8 on the top row and 8 on the bottom.
    assert boundary_f(square, moved, tolerance=0) == pytest.approx(16 / 36)
    assert boundary_f(empty, empty) == 1
    assert boundary_f(empty, square) == boundary_f(square, empty) == 0
    corner = np.zeros_like(square)
    corner[0, 0] = True
    assert boundary_f(corner, square) == 0
    with pytest.raises(GroundingError, match="the true mask"):
        boundary_f(square, square * 255)
