"""Search for other matches: cover the one found and query the model with the phrase again.

Heads look at one of several alike and their map says little about the others, so "the apple" among
three looks as certain as the only apple. But a model that still sees "the apple" once the first
one is covered sees another. `python -m benchmarks.ambiguity` measures both.

Only a phrase that merely names a thing can be repeated so. "The left apple" moves on to the next
one when the leftmost is covered, and models answer that "the apple next to the cup" is there when
any apple is.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..settings import GroundingSettings
from ..view import View, fitted_size, tight_box
from .locate import Located, OtherMatches, locate, read_phrases
from .proposals import Proposal

if TYPE_CHECKING:
    from ..attention.model import LVLM
    from ..sam.segmenter import Segmenter

_RIM = 0.05
"""How far a cover reaches beyond its mask, as a share of the masked thing's longer side."""
_MIX_SIDE = 64
"""Longest side of the copy on which the colours of a cover are mixed."""
_MIX_SIGMA = 6.0
"""Sigma of that mixture, in pixels of the copy."""

_SEPARATE, _COVERED, _HELD = 0.3, 0.7, 0.5
"""Shares of a new mask that may be covered for it to be another object, and that make it an old
one; and of an old mask that may lie in it."""

_SINGLES_OUT = re.compile(
    # places and relations
    r"\b(?:on|in|at|near(?:er|by)?|next|under(?:neath)?|beneath|below|above|over|behind|beside|"
    r"between|among|inside|outside|by|with(?:out)?|of|to|from|around|against|across|along|through|"
    r"left|right|top|bottom|upper|lower|middle|cent(?:er|re)|corner|front|back|rear|side|close|far|"
    # order and number
    r"first|second|third|fourth|fifth|sixth|last|next|other|another|only|same|one|ones|two|three|"
    r"four|five|six|seven|eight|nine|ten|both|all|every|each|several|many|some|few|\d+\w*|"
    # sizes, which compare
    r"large|larger|big|bigger|small|smaller|little|tiny|huge|tall|taller|short|shorter|long|longer|"
    r"wide|wider|\w+most|(?:large|bigg|small|tall|short|long|wid|clos|near|farth|furth|old|young|"
    r"bright|dark|high|low)est|"
    # clauses and negations
    r"that|which|who|whose|is|are|not|non|no|and|or|but|than)\b"
    r"|n['’]t\b|['’]s\b|,|\b\w+ing\s+\w",  # "the man wearing a hat", not "the red building"
    re.IGNORECASE,
)


def find_other_matches(
    lvlm: LVLM,
    segmenter: Segmenter,
    view: View,
    phrase: str,
    found: Located,
    settings: GroundingSettings,
) -> OtherMatches | None:
    """What a phrase matches with the found mask covered; None where the search does not apply.

    It applies if `settings.looks` allows it, the model answers that the phrase is there, and the
    phrase only names a thing.
    """
    there = found.presence is not None and found.presence >= settings.absent_below
    if not (settings.looks and there and found.ranked and names_only(phrase)):
        return None
    known, matches = [found.ranked[0]], list[tuple[Proposal, float]]()
    beside = complete = False
    for _ in range(settings.looks):
        covered = cover(view.proxy, [one.mask for one in known])
        again = dataclasses.replace(view, encoded=lvlm.encode(covered))
        (reading,) = read_phrases(lvlm, again.encoded, [phrase], lvlm.heads, settings)
        if (reading.presence or 0.0) <= settings.again_above:
            complete = True
            break
        # SAM has read the picture itself, so masks are of it; only the map is the covered one's.
        seen = locate(segmenter, again, reading, settings)
        where = overlap(seen.ranked[0], known) if seen.ranked else "covered"
        if where == "covered":
            break
        if where == "apart":
            matches.append((seen.ranked[0], seen.scores[0]))
        beside = beside or where == "beside"
        known.append(seen.ranked[0])
    return OtherMatches(tuple(matches), beside, complete)


def names_only(phrase: str) -> bool:
    """Whether a phrase names a thing, perhaps with its colour, and nothing that singles it out.

    English; words it does not know count as names, so that in other languages every phrase is one.

    Examples
    --------
    >>> names_only("the red apple"), names_only("a dog")
    (True, True)
    >>> names_only("the red apple on the left"), names_only("the smaller dog")
    (False, False)
    """
    return _SINGLES_OUT.search(phrase) is None


def overlap(new: Proposal, known: Sequence[Proposal]) -> str:
    """How a mask found on a covered picture lies to those that were covered.

    ``covered``: it is one of them, for models may look at the cover itself; ``apart``: little of
    it is covered and it holds none of them; else ``beside``.
    """
    area = max(1, int(new.mask.sum()))
    shared = [int((new.mask & one.mask).sum()) for one in known]
    held = max(s / max(1, int(k.mask.sum())) for s, k in zip(shared, known, strict=True))
    hidden = int((new.mask & np.any([one.mask for one in known], axis=0)).sum()) / area
    if hidden >= _COVERED:
        return "covered"
    return "apart" if hidden < _SEPARATE and held < _HELD else "beside"


def cover(image: NDArray[np.uint8], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint8]:
    """A copy of a picture, (H, W, 3) uint8, with masked things covered by the colours around them.

    Masks are (h, w) bool over the whole picture at any resolution. The copy equals `image` outside
    the masks and a narrow rim of each.
    """
    height, width = image.shape[:2]
    hole = np.any([_with_rim(mask, (width, height)) for mask in masks], axis=0)
    small = fitted_size((width, height), _MIX_SIDE)
    kept = ~hole
    weight = cv2.resize(kept.astype(np.float32), small, interpolation=cv2.INTER_AREA)
    around = cv2.copyTo(image, kept.view(np.uint8))  # black in the hole
    shown = cv2.resize(around, small, interpolation=cv2.INTER_AREA).astype(np.float32)
    mixed = cv2.GaussianBlur(shown, (0, 0), _MIX_SIGMA)
    total = cv2.GaussianBlur(weight, (0, 0), _MIX_SIGMA)[..., None]
    # Deep inside a thing that fills the picture there is nothing to mix, and grey says least.
    colours = np.where(total > 1e-3, mixed / np.maximum(total, 1e-3), 127.0)
    filled = cv2.resize(
        colours.clip(0, 255).astype(np.uint8), (width, height), interpolation=cv2.INTER_LINEAR
    )
    return np.asarray(cv2.copyTo(image, kept.view(np.uint8), filled))


def _with_rim(mask: NDArray[np.bool_], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask at the picture's size, grown by its rim."""
    full = cv2.resize(mask.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST)
    x0, y0, x1, y1 = (int(v) for v in tight_box(full.view(np.bool_)))
    radius = max(2, round(_RIM * max(x1 - x0, y1 - y0)))
    # By distance: a disc of this size would take a second on a large picture.
    reach = int(radius / 0.955)  # a step to the next pixel counts 0.955
    near = np.s_[max(0, y0 - reach) : y1 + reach, max(0, x0 - reach) : x1 + reach]
    full[near] = cv2.distanceTransform(1 - full[near], cv2.DIST_L2, cv2.DIST_MASK_3) <= radius
    return full.view(np.bool_)
