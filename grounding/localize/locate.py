"""One phrase in a picture that both models have read: its head maps, masks, status and score.

Kang et al., CVPR 2025, Sec. 5; phrases are normalised first, and the maps of the terms that they
exclude subtracted.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from ..attention.normalize import query_terms
from ..attention.reading import Reading
from ..result import Box, Candidate, Grounding
from ..settings import GroundingSettings
from ..view import View, resize_mask, tight_box
from .boxes import box_map, cells_on_picture
from .edges import refine_edges
from .maps import combine_maps, peaks, pseudo_mask
from .proposals import Proposal, propose_masks

if TYPE_CHECKING:
    from ..attention.model import LVLM
    from ..attention.reading import EncodedImage
    from ..sam.segmenter import Segmenter

_SEPARATE = 0.3  # two objects share less than this of the smaller mask
_SPREAD = 0.25  # of the grid's side: heads with peaks further apart point at different places
_REMEDY = "add a colour, side or neighbour, or take a candidate"


@dataclass(frozen=True, eq=False)
class OtherMatches:
    """What a phrase matches once the best match is covered.

    Attributes
    ----------
    matches : Proposals separate from it, in the order in which they were found, with their scores.
    beside : It was also seen next to or over a covered mask: that mask may hold a part of the
        object, or parts of two.
    complete : With all of these covered, the model answered that there are no more.
    """

    matches: tuple[tuple[Proposal, float], ...]
    beside: bool = False
    complete: bool = True


@dataclass(frozen=True, eq=False)
class Located:
    """A phrase's maps and the masks that SAM made of them, best first.

    `region` is the rectangle of the proxy that the combined map (P, Q) covers.
    """

    rows: np.ndarray
    presence: float | None
    combined: np.ndarray
    region: Box
    ranked: tuple[Proposal, ...]
    scores: tuple[float, ...]


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
    terms = [query_terms(phrase) for phrase in phrases]
    queries = [words for words, _ in terms]
    readings = lvlm.read(encoded, [*queries, *(other for _, other in terms if other)], heads)
    excluded = iter(readings[len(queries) :])
    within = None
    if settings.boxes.cells == "picture" and len(readings) > len(queries):
        tokens = encoded.tokens
        within = cells_on_picture(tokens.grid_hw, tokens.region_xyxy, encoded.size_wh)
    return [
        _subtracted(own, next(excluded), settings.absent_below, within) if other else own
        for own, (_, other) in zip(readings[: len(queries)], terms, strict=True)
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


def locate(
    segmenter: Segmenter, view: View, reading: Reading, settings: GroundingSettings
) -> Located:
    """Combine a phrase's head maps, box the combined map, and prompt SAM with the boxes.

    The best mask is grown to the whole thing if it is a part of one.
    """
    assert reading.rows is not None  # LVLM.read always returns rows
    size, tokens = view.encoded.size_wh, view.encoded.tokens
    combined = combine_maps(reading.rows, settings.sigma, settings.kernel)
    combined, region, heat, boxes = box_map(combined, tokens.region_xyxy, size, settings.boxes)
    ranked: tuple[Proposal, ...] = ()
    if boxes or settings.proposals.mode != "paper":  # a flat map has no box to prompt with
        ranked = propose_masks(segmenter, view.embedding, heat, boxes, settings.proposals)
    scores = proposal_scores(ranked, heat, reading.presence)
    return Located(reading.rows, reading.presence, combined, region, ranked, scores)


def answer(
    segmenter: Segmenter,
    view: View,
    phrase: str,
    located: Located,
    settings: GroundingSettings,
    others: OtherMatches | None = None,
) -> Grounding:
    """The Grounding: status, the best mask at the picture's size, and the candidates."""
    ranked, scores = located.ranked, located.scores
    status, reason = decide_status(settings, ranked, scores, located.presence, located.rows, others)
    absent = status == "absent"
    matches = sorted(others.matches if others else (), key=lambda match: -match[1])
    taken = [*ranked[:1], *(proposal for proposal, _ in matches)]
    rest = [
        (proposal, score)
        for proposal, score in zip(ranked[1:], scores[1:], strict=True)
        if all(are_separate(proposal.mask, one.mask) for one in taken)
    ]
    guess = list(zip(ranked[:1], scores[:1], strict=True)) if absent else []
    mask = (
        np.zeros(view.image.shape[:2], bool)
        if absent
        else _full_mask(segmenter, view, ranked[0], settings.refine)
    )
    return Grounding(
        phrase=phrase,
        status=status,
        reason=reason,
        box=None if absent else tight_box(mask),
        mask=mask,
        score=scores[0] if scores else 0.0,
        candidates=tuple(
            Candidate(view.enlarged(proposal.box), score, proposal.mask)
            for proposal, score in (*guess, *matches, *rest)
        ),
        heads=(),
        token_map=located.combined,
        region=view.enlarged(located.region),
        presence=located.presence,
    )


def _full_mask(segmenter: Segmenter, view: View, proposal: Proposal, refine: bool) -> np.ndarray:
    """A proposal's mask at the picture's size, refined on the proxy."""
    (mask,) = segmenter.full_masks(view.embedding, [proposal.logits])
    if not mask.any():  # a speck lost between pixels: its box is still known
        x0, y0, x1, y1 = (round(v) for v in proposal.box)
        mask[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = True
    refined = refine_edges(view.proxy, mask) if refine else mask
    return resize_mask(refined if refined.any() else mask, view.image.shape[1::-1])


def decide_status(
    settings: GroundingSettings,
    ranked: Sequence[Proposal],
    scores: Sequence[float],
    presence: float | None,
    rows: np.ndarray,
    others: OtherMatches | None = None,
) -> tuple[str, str]:
    """Status and the reason for it.

    Parameters
    ----------
    settings : Its thresholds.
    ranked, scores : The proposals, best first, and their :func:`proposal_scores`.
    presence : The model's answer; None without a presence question.
    rows : (k, P, Q) head maps.
    others : Matches found with the best one covered; None where there was no such search, and
        rivals are counted on the map alone.
    """
    if presence is not None and presence < settings.absent_below:
        return "absent", (
            f"the model answers that it is not there (presence {presence:.2f}, needed "
            f"{settings.absent_below:.2f}); check the words{', or take a candidate' * bool(ranked)}"
        )
    if not ranked:
        return "absent", "no mask agrees with where the model looks; name the thing in other words"
    if others and others.matches:
        many = "" if others.complete and not others.beside else "at least "
        return "ambiguous", f"{many}{1 + len(others.matches)} places fit; {_REMEDY}"
    if others and others.beside:
        return "uncertain", (
            "it is still seen beside its mask, which may hold a part of it or parts of two; check "
            "the mask before painting"
        )
    near = 1 if others else _count_rivals(ranked, settings.ambiguous_above)
    if near > 1:
        return "ambiguous", f"{near} places fit nearly as well; {_REMEDY}"
    if scores[0] < settings.uncertain_below:
        spread = _peak_spread(rows)
        why = "its heads look at different places" if spread > _SPREAD else "the map is diffuse"
        return "uncertain", f"score {scores[0]:.2f}: {why}; check the mask before painting"
    unchecked = "; presence was not checked" if presence is None else ""
    return "found", f"score {scores[0]:.2f}: its heads and the segmenter agree{unchecked}"


def proposal_scores(
    ranked: Sequence[Proposal], heat: np.ndarray, presence: float | None
) -> tuple[float, ...]:
    """Geometric mean of presence, the map's weight on the mask and SAM's score, per proposal.

    `ranked` have masks of one size; `heat` is the (H, W) map over the picture; without presence the
    mean leaves it out.
    """
    if not ranked:
        return ()
    size = ranked[0].mask.shape
    if heat.shape != size:
        heat = cv2.resize(heat, size[::-1], interpolation=cv2.INTER_AREA)
    above = np.clip(heat - heat.mean(), 0, None)
    total = max(float(above.sum()), 1e-12)
    rest = [] if presence is None else [presence]

    def score(proposal: Proposal) -> float:
        share = float(above[proposal.mask].sum() / total)
        parts = [min(1.0, 2 * share), float(np.clip(proposal.score, 0, 1)), *rest]
        return float(np.prod(parts) ** (1 / len(parts)))

    return tuple(map(score, ranked))


def are_separate(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    """Whether two masks are different objects: they share little of the smaller one."""
    return bool((a & b).sum() < _SEPARATE * max(1, min(a.sum(), b.sum())))


def _count_rivals(ranked: Sequence[Proposal], share: float) -> int:
    """How many separate masks rank above a share of the best one's rank value."""
    kept: list[Proposal] = []
    for one in ranked:
        near = not kept or one.rank_value > share * ranked[0].rank_value
        if near and all(are_separate(one.mask, other.mask) for other in kept):
            kept.append(one)
    return len(kept)


def _peak_spread(rows: np.ndarray) -> float:
    """Mean distance of the heads' peaks from their mean, as a share of the grid's longer side."""
    tops = np.array([(peaks(row, 1).tolist() or [[0, 0]])[0] for row in rows], float)
    return float(np.linalg.norm(tops - tops.mean(0), axis=1).mean() / max(rows.shape[-2:]))
