"""The two criteria of a localization head, and the elbow that sets the first threshold.

Kang, Kim, Kim, Hwang, "Your Large Vision-Language Model Only Needs A Few Attention Heads For
Visual Grounding", CVPR 2025, Sec. 4.
"""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_choice
from ..errors import GroundingError
from ..localize.maps import finite_array

Binarise = Literal["mean", "public-code"]
BINARISE = ("mean", "public-code")

PUBLIC_CODE_FLOOR = 0.001
PUBLIC_CODE_BOTTOM_ROW = 0.05


def attention_sums(rows: ArrayLike) -> NDArray[np.float64]:
    """Attention that each head gives to the image as a whole (Sec. 4, criterion 1).

    Parameters
    ----------
    rows : (..., L, H, P, Q) array of softmax attention over the image tokens.

    Returns (..., L, H) float64, each in [0, 1] when the rows are slices of a softmax.

    Raises GroundingError for fewer than four axes, an empty grid, or negative or infinite values.

    Examples
    --------
    >>> attention_sums(np.full((1, 2, 3, 3), 0.05)).round(2).tolist()
    [[0.45, 0.45]]
    """
    array = finite_array(
        rows,
        "attention rows",
        axes="(..., L, H, P, Q)",
        ndim=4,
        remedy="Half precision often overflows: run the model in float32 or bfloat16.",
    )
    if array.min() < 0:
        raise GroundingError(
            f"attention rows hold {array.min():.4g}; softmax weights are never negative. "
            "Pass the rows after the softmax, not the scores before it."
        )
    return array.sum(axis=(-2, -1), dtype=np.float64)


def phrase_contrast(rows: ArrayLike, others: ArrayLike) -> NDArray[np.float64]:
    """How much each head's row over one picture changes between two phrases.

    Half the absolute difference of the two rows, summed: at most the attention sum, and 0 for a
    head with the same row for every phrase. Not in the paper: in models so small that nearly all
    attention goes to the picture the attention sum admits every head, and heads that always attend
    to one band or blob then win by their low entropy. Needs no labels either.

    Parameters
    ----------
    rows, others : (..., L, H, P, Q) attention rows of two phrases over the same picture.

    Returns (..., L, H) float64, usable in place of `attention_sums`.

    Raises GroundingError for shapes that differ, or what `attention_sums` refuses.

    Examples
    --------
    >>> left, right = np.zeros((2, 1, 1, 1, 2))
    >>> left[..., 0] = right[..., 1] = 0.8
    >>> phrase_contrast(left, right).round(2).tolist(), phrase_contrast(left, left).tolist()
    ([[0.8]], [[0.0]])
    """
    attention_sums(rows), attention_sums(others)  # for their checks
    first, second = np.asarray(rows, np.float64), np.asarray(others, np.float64)
    if first.shape != second.shape:
        raise GroundingError(
            f"rows have shape {first.shape} and the others {second.shape}; expected two phrases "
            "over one picture, of one shape"
        )
    return 0.5 * np.abs(first - second).sum(axis=(-2, -1))


def elbow(values: ArrayLike) -> float:
    """Threshold at the elbow of the ascending curve of `values` (Fig. 3, chord method).

    The values are sorted; the elbow is the point farthest from the straight line that joins the
    curve's two ends (the lower one on a tie). Neither axis' scale matters: along the chord's normal
    all distances stretch alike.

    Parameters
    ----------
    values : (n,) numbers, at least three and not all on one line once sorted.

    Returns float, one of `values`.

    Raises GroundingError for fewer than three values, a value that is not finite, or no elbow.

    Examples
    --------
    >>> elbow([0.0, 0.9, 0.1, 0.2, 0.1])
    0.2
    """
    curve = np.sort(
        finite_array(values, "elbow values", axes="(n,)", ndim=1, exact=True).astype(float)
    )
    if curve.size < 3:
        raise GroundingError(
            f"an elbow needs at least 3 values, got {curve.size}; "
            "give the threshold as a number instead."
        )
    steps = np.linspace(0.0, 1.0, curve.size)
    spread = curve[-1] - curve[0]
    gaps = np.abs(curve - curve[0] - spread * steps)
    rounding = 1e-9 * max(abs(curve[-1]), abs(curve[0]))
    if gaps.max() <= rounding:
        raise GroundingError(
            f"the {curve.size} values lie on a straight line from {curve[0]:.4g} to "
            f"{curve[-1]:.4g}, which has no elbow; give the threshold as a number instead."
        )
    return float(curve[int(np.argmax(gaps >= gaps.max() - rounding))])


def spatial_entropy(
    maps: ArrayLike, *, binarise: Binarise = "mean", blank: float = np.inf
) -> NDArray[np.float64]:
    """How scattered each map is: 0 for one blob, ln n for n equal blobs (Eqs. 3-7, criterion 2).

    Parameters
    ----------
    maps : (..., P, Q) array of any number of maps; one labelling call serves all of them.
    binarise : which cells count. ``"mean"``, the paper: cells above the map's mean; 8-connected
        components; P(C) = share of the cells; H = -sum P ln P, in nats. ``"public-code"``: cells
        above twice the mean by more than 0.001; P(C) = the component's mass above twice the mean
        over that of the whole map, as github.com/seilk/LocalizationHeads.
    blank : the entropy of a map with cells above twice the mean, none of them by more than 0.001.
        The public code gives it 0, the best there is.

    Returns
    -------
    (...) float64. A map without a counted cell, such as a constant one, gets ``inf``: it carries no
    location and the lowest entropy wins, so it must lose.

    Raises GroundingError for fewer than two axes, an empty grid, values that are not finite, or an
    unknown `binarise`.

    Examples
    --------
    >>> two_blobs = np.array([[1, 0, 0, 1], [1, 0, 0, 1]])
    >>> bool(np.isclose(spatial_entropy(two_blobs), np.log(2)))
    True
    """
    check_choice("binarise", binarise, BINARISE)
    array = finite_array(maps, "maps", axes="(..., P, Q)", ndim=2)
    stack = array.reshape(-1, *array.shape[-2:])
    level = stack.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    if binarise == "mean":
        # A constant map's mean can round to just below its cells.
        flat = stack.max(axis=(1, 2), keepdims=True) == stack.min(axis=(1, 2), keepdims=True)
        cells, weight = (stack > level) & ~flat, None
    else:
        weight = np.maximum(stack - 2 * level, 0.0)
        cells = weight > PUBLIC_CODE_FLOOR
    entropy = _component_entropy(cells, weight)
    if weight is not None:
        entropy[np.isinf(entropy) & weight.any(axis=(1, 2))] = blank
    return entropy.reshape(array.shape[:-2])


def _component_entropy(cells: NDArray[np.bool_], weight: NDArray[np.float64] | None) -> NDArray:
    """Entropy per map of a stack (N, P, Q) over its components' shares of `weight` (None: cells).

    One labelling call serves all maps: they lie under one another with an empty row between, so
    that no component reaches into the next. A label of three axes in scipy takes four times as
    long, and areas and places come with OpenCV's.
    """
    count, rows, columns = cells.shape
    strip = np.zeros((count, rows + 1, columns), np.uint8)
    strip[:, :rows] = cells
    found, labels, stats, _ = cv2.connectedComponentsWithStats(
        strip.reshape(-1, columns), connectivity=8, ltype=cv2.CV_32S
    )
    owner = stats[1:, cv2.CC_STAT_TOP] // (rows + 1)
    if weight is None:
        amount: NDArray = stats[1:, cv2.CC_STAT_AREA].astype(np.float64)
        total: NDArray = np.bincount(owner, amount, minlength=count)
    else:
        own = labels.reshape(strip.shape)[:, :rows].ravel()
        amount = np.bincount(own, weight.ravel(), minlength=found)[1:]
        total = weight.sum(axis=(1, 2))
    share = amount / total[owner]
    entropy = np.bincount(owner, -share * np.log(share), minlength=count) + 0.0
    entropy[~cells.any(axis=(1, 2))] = np.inf
    return entropy


def bottom_row_focus(maps: ArrayLike, limit: float = PUBLIC_CODE_BOTTOM_ROW) -> NDArray[np.bool_]:
    """Whether a map (..., P, Q) has a cell above `limit` in its last row, (...) bool.

    The public code drops such heads (attention sinks often sit there). The paper does not, and
    neither does `rank_heads`.
    """
    array = finite_array(maps, "maps", axes="(..., P, Q)", ndim=2)
    return np.asarray((array[..., -1, :] > limit).any(axis=-1))
