"""From a phrase's head maps to SAM masks, and from these to the Grounding (Kang et al., Sec. 5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..attention.types import Reading
from ..result import Box, Candidate, Grounding
from ..settings import GroundingSettings
from ..view import View, resize_mask, tight_box
from .boxes import grid_region, map_boxes, settled_map
from .edges import refine_edges
from .maps import combine_maps, token_map_to_image
from .proposals import Proposal, grow_best, propose_masks
from .status import OtherMatches, are_separate, decide_status, proposal_scores

if TYPE_CHECKING:
    from ..sam.segmenter import Segmenter


@dataclass(frozen=True, eq=False)
class Located:
    """A phrase's maps and the masks that SAM made of them, best first.

    Parameters
    ----------
    rows, presence : As read from the model.
    combined, region : The combined map (P, Q) and the rectangle of the proxy that it covers.
    ranked, scores : Proposals and their scores.
    """

    rows: np.ndarray
    presence: float | None
    combined: np.ndarray
    region: Box
    ranked: tuple[Proposal, ...]
    scores: tuple[float, ...]


def locate(
    segmenter: Segmenter, view: View, reading: Reading, settings: GroundingSettings
) -> Located:
    """Combine a phrase's head maps, box the combined map, and prompt SAM with the boxes."""
    assert reading.rows is not None  # LVLM.read always returns rows
    size, tokens = view.encoded.size_wh, view.encoded.tokens
    region = grid_region(tokens.region_xyxy, size, settings.boxes)
    combined = combine_maps(reading.rows, settings.sigma, settings.kernel)
    combined = settled_map(combined, region, size, settings.boxes)
    heat = token_map_to_image(combined, region, size)
    boxes = map_boxes(combined, heat, region, size, settings.boxes)
    ranked: tuple[Proposal, ...] = ()
    if boxes or settings.proposals.mode != "paper":  # a flat map has no box to prompt with
        ranked = propose_masks(segmenter, view.embedding, heat, boxes, settings.proposals)
    scores = proposal_scores(ranked, heat, reading.presence)
    return Located(reading.rows, reading.presence, combined, region, ranked, scores)


def grow(
    segmenter: Segmenter, view: View, located: Located, settings: GroundingSettings
) -> Located:
    """The same, with the best mask grown to the whole thing if it is a part of one."""
    heat = token_map_to_image(located.combined, located.region, view.encoded.size_wh)
    ranked = grow_best(segmenter, view.embedding, heat, located.ranked, settings.proposals)
    if ranked == located.ranked:
        return located
    scores = proposal_scores(ranked, heat, located.presence)
    return replace(located, ranked=ranked, scores=scores)


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
    mask = segmenter.full_mask(view.embedding, proposal.logits)
    if not mask.any():  # a speck lost between pixels: its box is still known
        x0, y0, x1, y1 = (round(v) for v in proposal.box)
        mask[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = True
    refined = refine_edges(view.proxy, mask) if refine else mask
    return resize_mask(refined if refined.any() else mask, view.image.shape[1::-1])
