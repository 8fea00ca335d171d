"""Metrics of boxes and masks: IoU, Acc@0.5, cIoU, gIoU, pointing, boundary F, intervals.

Boxes are xyxy, half-open pixels; masks (H, W) bool. A true mask may be an integer label map with
0, 1 and 255, where 255 is left out of every count (ReasonSeg). An empty union counts as IoU 1: a
correct "nothing there" is correct (LISA's convention for gIoU, used here throughout).
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage

from .errors import GroundingError
from .localize.maps import finite_array

IGNORE = 255


def box_iou(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """IoU of matched boxes, (..., 4) with (..., 4) -> (...), broadcasting as numpy does.

    Two boxes without area have IoU 0.

    Raises GroundingError for boxes that are not xyxy, or shapes that do not match.

    Examples
    --------
    >>> float(box_iou((0, 0, 2, 2), (1, 0, 3, 2)))
    0.3333333333333333
    """
    first, second = _boxes(a), _boxes(b)
    try:
        low = np.maximum(first[..., :2], second[..., :2])
        high = np.minimum(first[..., 2:], second[..., 2:])
    except ValueError as error:
        raise GroundingError(
            f"boxes of shapes {first.shape} and {second.shape} do not match one to one; "
            "use box_iou_pairwise to compare each with each."
        ) from error
    shared = np.prod(np.clip(high - low, 0, None), axis=-1)
    union = _areas(first) + _areas(second) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)


def box_iou_pairwise(a: ArrayLike, b: ArrayLike) -> NDArray[np.float64]:
    """IoU of each of (N, 4) boxes with each of (M, 4), as (N, M); N or M may be 0."""
    first, second = (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) for boxes in (a, b))
    if not (first.size and second.size):
        return np.zeros((len(first), len(second)))
    return box_iou(first[:, None], second[None])


def mask_overlap(pred: ArrayLike, true: ArrayLike) -> tuple[int, int]:
    """Pixels in the intersection and in the union of two (H, W) masks, ignored pixels left out."""
    guess, truth = np.asarray(pred), np.asarray(true)
    if guess.shape != truth.shape or guess.ndim != 2:
        raise GroundingError(
            f"masks have shapes {guess.shape} and {truth.shape}; expected one (H, W) for both. "
            "Resize the prediction to the truth's size first."
        )
    _labels(guess, "predicted", (0, 1))
    _labels(truth, "true", (0, 1, IGNORE))
    counted = truth != IGNORE
    guess, truth = (guess == 1) & counted, truth == 1
    return int((guess & truth).sum()), int((guess | truth).sum())


def mask_iou(pred: ArrayLike, true: ArrayLike) -> float:
    """IoU of two (H, W) masks; 1 where both are empty.

    Parameters
    ----------
    pred : (H, W) bool, or 0 and 1.
    true : (H, W) bool, or 0, 1 and 255 for pixels to leave out.

    Examples
    --------
    >>> mask_iou([[1, 1, 0]], [[0, 1, 1]])
    0.3333333333333333
    """
    return _ratio(*mask_overlap(pred, true))


def cumulative_iou(pred: Iterable[ArrayLike], true: Iterable[ArrayLike]) -> float:
    """cIoU: the sum of the intersections over the sum of the unions, over pairs of masks.

    Large things weigh more. Pairs are read one at a time, so generators are fine.

    Raises GroundingError for no pairs, more of one than of the other, or masks that `mask_overlap`
    refuses.
    """
    shared, union = np.sum(_overlaps(pred, true), axis=0)
    return _ratio(int(shared), int(union))


def generalized_iou_mean(pred: Iterable[ArrayLike], true: Iterable[ArrayLike]) -> float:
    """gIoU as LISA and ReasonSeg use the word: the mean over pairs of masks of each one's IoU.

    An empty union counts as 1. Not the box loss of the same name. Errors as `cumulative_iou`.
    """
    return float(np.mean([_ratio(*pair) for pair in _overlaps(pred, true)]))


def accuracy_at(ious: ArrayLike, threshold: float = 0.5) -> float:
    """Share of the IoUs that reach the threshold (>=): Acc@0.5.

    Examples
    --------
    >>> accuracy_at([0.5, 0.49, 1.0, 0.0])
    0.5
    """
    return float((_ious(ious) >= threshold).mean())


def average_recall(ious: ArrayLike) -> float:
    """Area under recall(IoU >= t) for t in [0, 1), which is the mean IoU (PNG's measure)."""
    return float(_ious(ious).mean())


def pointing_hit(map: ArrayLike, mask: ArrayLike, tolerance: float = 0.0) -> bool:
    """Whether the map's highest pixel lies on the mask, or within `tolerance` pixels of it.

    The pointing game of Zhang et al., ECCV 2016 (tolerance 15 there). Of equal maxima the first in
    reading order counts; an empty mask is never hit.

    Parameters
    ----------
    map : (H, W) map.
    mask : (H, W) bool.
    """
    array = finite_array(map, "the map", axes="(H, W)", ndim=2, exact=True)
    target = np.asarray(mask)
    if target.shape != array.shape:
        raise GroundingError(
            f"the map has shape {array.shape} and the mask {target.shape}; expected one (H, W)."
        )
    _labels(target, "true", (0, 1))
    y, x = np.unravel_index(np.argmax(array), array.shape)
    ys, xs = np.nonzero(target)
    return bool(xs.size and np.hypot(ys - y, xs - x).min() <= tolerance)


def boundary_f(pred: ArrayLike, true: ArrayLike, tolerance: float | None = None) -> float:
    """F measure of two masks' outlines (Perazzi et al., CVPR 2016, DAVIS).

    Parameters
    ----------
    pred, true : (H, W) bool masks.
    tolerance : how far, in pixels, an outline may be off; None takes 0.8% of the diagonal.

    Returns float in [0, 1]: 1 where neither mask has pixels, 0 where only one has.
    """
    mask_overlap(pred, true)
    _labels(np.asarray(true), "true", (0, 1))
    guess, truth = (np.asarray(m).astype(bool) for m in (pred, true))
    if not guess.any() or not truth.any():
        return float(guess.any() == truth.any())
    if tolerance is None:
        tolerance = float(np.ceil(0.008 * np.hypot(*truth.shape)))
    lines = [m & ~ndimage.binary_erosion(m) for m in (guess, truth)]
    reach = [ndimage.distance_transform_edt(~line) <= tolerance for line in lines]
    precision, recall = reach[1][lines[0]].mean(), reach[0][lines[1]].mean()
    both = precision + recall
    return float(2 * precision * recall / both) if both else 0.0


def bootstrap_interval(
    values: ArrayLike,
    denominators: ArrayLike | None = None,
    *,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean, or of a ratio of sums such as cIoU.

    Parameters
    ----------
    values : (n,) one number a sample: IoUs, hits, or intersections.
    denominators : (n,) unions, for the interval of sum(values) / sum(denominators).
    confidence : in (0, 1).
    resamples : how many resamples; samples are redrawn whole.
    seed : same seed, same interval.

    Returns (low, high).

    Examples
    --------
    >>> bootstrap_interval([0.5, 0.5, 0.5])
    (0.5, 0.5)
    """
    top = finite_array(values, "values", axes="(n,)", ndim=1, exact=True)
    bottom = finite_array(
        np.ones(top.shape) if denominators is None else denominators,
        "denominators",
        axes="(n,)",
        ndim=1,
        exact=True,
    )
    if bottom.shape != top.shape:
        raise GroundingError(
            f"{top.size} values but {bottom.size} denominators; expected one for each."
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise GroundingError(
            f"confidence is {confidence} and resamples {resamples}; "
            "expected between 0 and 1, such as 0.95, and at least 1."
        )
    rng = np.random.default_rng(seed)
    ratios = np.empty(resamples)
    for index in range(resamples):
        drawn = rng.integers(top.size, size=top.size)
        ratios[index] = _ratio(top[drawn].sum(), bottom[drawn].sum())
    low, high = np.quantile(ratios, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _ratio(shared: float, union: float) -> float:
    return float(shared / union) if union else 1.0


def _overlaps(pred: Iterable[ArrayLike], true: Iterable[ArrayLike]) -> list[tuple[int, int]]:
    """(intersection, union) of every pair."""
    found: list[tuple[int, int]] = []
    for guess, truth in zip_longest(pred, true):
        if guess is None or truth is None:
            missing = "predicted" if guess is None else "true"
            raise GroundingError(
                f"there are only {len(found)} {missing} masks; expected one for each of the others."
            )
        found.append(mask_overlap(guess, truth))
    if not found:
        raise GroundingError("there are no masks to score; pass at least one pair.")
    return found


def _labels(mask: NDArray, which: str, allowed: tuple[int, ...]) -> None:
    if mask.dtype.kind == "b":
        return
    if mask.dtype.kind not in "fiu" or not np.isin(mask, allowed).all():
        raise GroundingError(
            f"the {which} mask ({mask.dtype}) holds values other than {list(allowed)}; "
            "pass a boolean mask (mask > 0)."
        )


def _boxes(value: ArrayLike) -> NDArray[np.float64]:
    boxes = finite_array(value, "boxes", axes="(..., 4)", ndim=1).astype(np.float64)
    if boxes.shape[-1] != 4:
        raise GroundingError(f"boxes have shape {boxes.shape}; expected (..., 4) xyxy.")
    if (boxes[..., 2:] < boxes[..., :2]).any():
        bad = boxes.reshape(-1, 4)
        bad = bad[(bad[:, 2:] < bad[:, :2]).any(axis=1)][0]
        raise GroundingError(
            f"box {bad.tolist()} has x1 < x0 or y1 < y0; expected xyxy corners, not xywh."
        )
    return boxes


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.prod(boxes[..., 2:] - boxes[..., :2], axis=-1)


def _ious(value: ArrayLike) -> NDArray:
    ious = finite_array(value, "IoUs", axes="(n,)", ndim=1)
    if ious.min() < 0 or ious.max() > 1:
        raise GroundingError(
            f"IoUs run from {ious.min():.4g} to {ious.max():.4g}; expected fractions in [0, 1], "
            "not percent."
        )
    return ious
