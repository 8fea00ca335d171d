"""Query the model with normalised phrases, and subtract the maps of the terms they exclude."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..attention.normalize import definite, read_negation
from ..settings import GroundingSettings
from .boxes import cells_on_picture
from .maps import combine_maps, pseudo_mask

if TYPE_CHECKING:
    from ..attention.model import LVLM
    from ..attention.types import EncodedImage, Reading


def read_phrases(
    lvlm: LVLM,
    encoded: EncodedImage,
    phrases: Sequence[str],
    heads: Sequence[tuple[int, int]] | None,
    settings: GroundingSettings,
) -> list[Reading]:
    """As :meth:`LVLM.read`, with phrases normalised first if `settings.reword` is set.

    An excluded term with a presence answer below `settings.absent_below` is not in the picture,
    and its map is not subtracted: its heads may then look at the thing that is meant.
    """
    if not settings.reword:
        return lvlm.read(encoded, phrases, heads)
    words = [definite(phrase) for phrase in phrases]
    negations = [read_negation(phrase) for phrase in words]
    queries = [one.phrase if one else text for one, text in zip(negations, words, strict=True)]
    readings = lvlm.read(encoded, [*queries, *(one.excluded for one in negations if one)], heads)
    excluded = iter(readings[len(queries) :])
    within = None
    if settings.boxes.cells == "picture" and any(negations):
        tokens = encoded.tokens
        within = cells_on_picture(tokens.grid_hw, tokens.region_xyxy, encoded.size_wh)
    return [
        _subtracted(own, next(excluded), settings.absent_below, within) if one else own
        for own, one in zip(readings[: len(queries)], negations, strict=True)
    ]


def subtract_maps(
    rows: NDArray[np.floating],
    excluded: NDArray[np.floating],
    within: NDArray[np.bool_] | None = None,
) -> NDArray[np.float32]:
    """Head maps without the cells where the same heads look for the excluded term.

    Parameters
    ----------
    rows, excluded : (..., P, Q) attention of the phrase, and of the term it excludes, head by head.
    within : (P, Q) cells that count in the mean, as for `pseudo_mask`; None = all.

    Returns (..., P, Q) float32; a head with no weight left keeps its whole map.
    """
    kept = np.array(rows, np.float32)
    heads = kept.reshape(-1, *kept.shape[-2:])  # a view
    for own, other in zip(heads, excluded.reshape(heads.shape), strict=True):
        rest = np.where(pseudo_mask(combine_maps(other[None]), within), 0, own)
        if rest.any():
            own[:] = rest
    return kept


def _subtracted(
    own: Reading, other: Reading, absent_below: float, within: NDArray[np.bool_] | None
) -> Reading:
    absent = other.presence is not None and other.presence < absent_below
    if absent or own.rows is None or other.rows is None:
        return own
    return dataclasses.replace(own, rows=subtract_maps(own.rows, other.rows, within))
