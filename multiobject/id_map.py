"""Masks that overlap -> one id for every pixel. Pure numpy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from .errors import MultiObjectError

INSIDE = 0.6
"""A mask with at least this share inside a larger one lies on it and keeps its pixels."""
SMALLER = 0.8
"""Larger: with less than this share of its area is the other one smaller."""
SAME = 0.7
"""Masks with at least this IoU are one place; the better score has it."""
SLIVER = 0.1
"""A mask left with less than this share of itself is not painted at all."""


def resolve_overlaps(
    masks: Sequence[np.ndarray],
    scores: Sequence[float],
    maps: Sequence[Callable[[], np.ndarray]] | None = None,
) -> np.ndarray:
    """Give every pixel to one mask.

    Masks are painted the largest first, so that a small one on a large one leaves a hole in it
    (the dog on the sofa). Of two masks of one place the better scored has it. Where two merely
    touch, each pixel goes to the one with the larger score times map.

    Parameters
    ----------
    masks
        n masks (H, W) bool.
    scores
        n numbers.
    maps
        n functions that give a map (H, W) in [0, 1], called only for masks that touch others;
        None = scores alone.

    Returns
    -------
    (H, W) int32: 0 = none, k + 1 = masks[k].

    Raises
    ------
    MultiObjectError
        No masks, or masks of different shapes.

    Examples
    --------
    >>> sofa, dog = np.ones((1, 4), bool), np.array([[0, 1, 1, 0]], bool)
    >>> resolve_overlaps([sofa, dog], [0.9, 0.5]).tolist()
    [[1, 2, 2, 1]]
    """
    _check(masks, scores, maps)
    ids = np.zeros(masks[0].shape, np.int32)
    areas = [int(mask.sum()) for mask in masks]
    order = sorted((k for k in range(len(masks)) if areas[k]), key=lambda k: (-areas[k], k))
    for k in order:
        mask = masks[k]
        taken = mask & (ids == 0)
        for other in np.flatnonzero(np.bincount(ids[mask])):
            if other == 0:
                continue
            rival = int(other) - 1
            contested = mask & (ids == other)
            taken |= _won(k, rival, contested, masks, areas, scores, maps)
        ids[taken] = k + 1
    _drop_slivers(ids, masks, areas)
    return ids


def _won(
    k: int,
    rival: int,
    contested: np.ndarray,
    masks: Sequence[np.ndarray],
    areas: Sequence[int],
    scores: Sequence[float],
    maps: Sequence[Callable[[], np.ndarray]] | None,
) -> np.ndarray:
    """Which contested pixels mask k takes from a mask painted before it, which is no smaller."""
    common = int((masks[k] & masks[rival]).sum())
    if common >= SAME * (areas[k] + areas[rival] - common):
        return contested if scores[k] > scores[rival] else np.zeros_like(contested)
    if common >= INSIDE * areas[k] and areas[k] <= SMALLER * areas[rival]:
        return contested
    mine, theirs = float(scores[k]), float(scores[rival])
    if maps is None:
        return contested if mine > theirs else np.zeros_like(contested)
    return contested & (mine * maps[k]() > theirs * maps[rival]())


def _drop_slivers(ids: np.ndarray, masks: Sequence[np.ndarray], areas: Sequence[int]) -> None:
    """Unpaint what is left of masks that lost nearly all of their pixels."""
    left = np.bincount(ids.ravel(), minlength=len(masks) + 1)
    for k, area in enumerate(areas):
        if 0 < left[k + 1] < SLIVER * area:
            ids[ids == k + 1] = 0


def _check(masks: Sequence[np.ndarray], scores: Sequence[float], maps: Sequence | None) -> None:
    if not masks:
        raise MultiObjectError("no masks were given; expected at least one")
    for mask in masks:
        if mask.dtype != bool or mask.ndim != 2 or mask.shape != masks[0].shape:
            raise MultiObjectError(
                f"a mask is {mask.dtype} {mask.shape}; expected (H, W) bool, all of one shape, "
                f"here {masks[0].shape}"
            )
    if len(scores) != len(masks) or (maps is not None and len(maps) != len(masks)):
        raise MultiObjectError(
            f"{len(masks)} masks, {len(scores)} scores and "
            f"{'no' if maps is None else len(maps)} maps; expected one for each mask"
        )
