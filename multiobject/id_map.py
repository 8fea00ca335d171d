"""Overlapping masks -> one id for every pixel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .errors import MultiObjectError

INSIDE = 0.6
"""A mask with at least this share inside a larger one lies on it and keeps its pixels."""
SMALLER = 0.8
"""A mask with less than this share of another's area is the smaller one."""
SAME = 0.7
"""Masks with at least this IoU cover one object; the better score takes it."""
SLIVER = 0.1
"""A mask left with less than this share of itself is removed."""


def resolve_overlaps(
    masks: Sequence[np.ndarray],
    scores: Sequence[float],
    maps: Sequence[Callable[[], np.ndarray]] | None = None,
) -> np.ndarray:
    """Assign every pixel to one mask.

    Masks are painted the largest first, so that a small one on a large one stays visible (the dog
    on the sofa). Of two masks of one object the better scored takes it. Where two merely touch,
    each pixel goes to the one with the larger score times map.

    Parameters
    ----------
    masks : (H, W) bool, all of one shape.
    maps : Functions that return a map (H, W) in [0, 1], called only for masks that touch others;
        None compares scores alone.

    Returns (H, W) int32: 0 = none, k + 1 = masks[k].

    Raises MultiObjectError for no mask, another shape or dtype, or counts that differ.

    Examples
    --------
    >>> sofa, dog = np.ones((1, 4), bool), np.array([[0, 1, 1, 0]], bool)
    >>> resolve_overlaps([sofa, dog], [0.9, 0.5]).tolist()
    [[1, 2, 2, 1]]
    """
    kinds = {f"{getattr(m, 'dtype', type(m))} {getattr(m, 'shape', '')}" for m in masks}
    if len(kinds) != 1 or not next(iter(kinds)).startswith("bool (") or masks[0].ndim != 2:
        given = ", ".join(sorted(kinds)) or "none"
        raise MultiObjectError(f"masks given: {given}; expected (H, W) bool, all of one shape")
    if {len(scores), len(masks if maps is None else maps)} != {len(masks)}:
        raise MultiObjectError(
            f"{len(masks)} masks, {len(scores)} scores and "
            f"{'no' if maps is None else len(maps)} maps; expected one for each mask"
        )
    ids = np.zeros(masks[0].shape, np.int32)
    areas = [int(mask.sum()) for mask in masks]

    def won(k: int, rival: int) -> np.ndarray:
        """Return the pixels that mask k takes from a rival painted before, which is no smaller."""
        contested = masks[k] & (ids == rival + 1)
        common = int((masks[k] & masks[rival]).sum())
        same = common >= SAME * (areas[k] + areas[rival] - common)
        if not same and common >= INSIDE * areas[k] and areas[k] <= SMALLER * areas[rival]:
            return contested
        if same or maps is None:
            return contested & (scores[k] > scores[rival])
        mine, theirs = float(scores[k]), float(scores[rival])
        return contested & (mine * maps[k]() > theirs * maps[rival]())

    for k in sorted((k for k in range(len(masks)) if areas[k]), key=lambda k: (-areas[k], k)):
        taken = masks[k] & (ids == 0)
        for other in np.flatnonzero(np.bincount(ids[masks[k]])):
            if other:
                taken |= won(k, int(other) - 1)
        ids[taken] = k + 1
    left = np.bincount(ids.ravel(), minlength=len(masks) + 1)
    for k, area in enumerate(areas):
        if 0 < left[k + 1] < SLIVER * area:
            ids[ids == k + 1] = 0
    return ids
