"""Propose masks with SAM from several prompts, and rank them by agreement with the map.

The paper prompts SAM with one box, that of the pseudo-mask (Kang et al., CVPR 2025, Sec. 5);
`mode="paper"` does that. Heads of smaller models cover only part of an object and sit low on it,
so the default also prompts with the map's peaks, lets SAM find the extent, and keeps the mask that
agrees best with the whole map. Ranking uses the decoder's own grid: no proposal is ever held
at the picture's size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import GroundingError
from ..metrics import mask_iou
from ..sam.segmenter import GridMask, ImageEmbedding, Segmenter, read_answers
from ..settings import ProposalSettings
from ..view import boxes_and_centres, fitted_size, resize_shares, tight_boxes
from .maps import Box, finite_array, normalise_map, peaks

_ROUNDS, _MARGIN = 2, 0.25
"""How often a part is prompted again, and how far beyond its box, as a share of the box."""
_LARGER, _HOLDS, _AGREES = (1.05, 3.0), 0.9, 0.9
"""Areas of a whole over that of its part; share of the part that it holds; least agreement with the
map over that of the part."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """One mask SAM proposed, and how well it fits the map.

    Parameters
    ----------
    mask : (h, w) bool at the proxy size; :meth:`Segmenter.full_masks` makes the picture-sized mask
        from `logits`.
    box : Tight box of the mask, xyxy half-open, in the picture's own pixels.
    score : SAM's predicted IoU, in [0, 1].
    agreement : With the map, at most 1.
    rank_value : What proposals are ordered by: agreement times score to the power set (mode
        "paper": the score).
    prompt : Which of :data:`PROMPTS` it came from.
    logits : (m, m) float32 on the decoder's grid.
    """

    mask: NDArray[np.bool_]
    box: Box
    score: float
    agreement: float
    rank_value: float
    prompt: str
    logits: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Rated:
    """An answer of SAM to a prompt, and how well it fits the map."""

    answer: GridMask
    prompt: str
    agreement: float
    value: float


def propose_masks(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    map: ArrayLike,
    boxes: ArrayLike,
    settings: ProposalSettings | None = None,
) -> tuple[Proposal, ...]:
    """Masks of the object that a map points at, best first; the best grown to the whole thing.

    Parameters
    ----------
    map : (h, w) map over the whole picture, edge to edge, at any resolution (see
        `token_map_to_image`, which undoes padding and cropping).
    boxes : (n, 4) xyxy in the picture's own pixels: the pseudo-mask's box first, as the paper has
        it, then those of its other components; n may be 0 where only peaks are wanted.

    Returns the best first, near-duplicates left out; none where SAM answers every prompt with
    nothing. Raises GroundingError in mode "paper" without a box, or for wrong shapes.
    """
    settings = settings or ProposalSettings()
    given = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    paper = settings.mode == "paper"
    if paper and not len(given):
        raise GroundingError("mode 'paper' prompts with a box, and none was given")
    heat = finite_array(map, "the map", axes="(h, w)", ndim=2, exact=True).astype(np.float32)
    heat = normalise_map(resize_shares(heat, embedding.frame.grid_wh))
    prompts: list[tuple[str, dict]] = [("box", {"boxes": given[:1], "multimask": False})]
    if not paper:
        prompts = _prompts(embedding, heat, given, settings)
    rated = [
        one
        for name, prompt in prompts
        for one in _rate(read_answers(segmenter, embedding, **prompt), name, heat, settings)
        if one.answer.grid.any()
    ]
    kept = _distinct(sorted(rated, key=lambda one: -one.value), settings)
    found = _finish(segmenter, embedding, kept, settings.proxy)
    if paper or not kept:
        return found
    best = _grown(segmenter, embedding, heat, kept[0], settings)
    if best is kept[0]:
        return found
    (grown,) = _finish(segmenter, embedding, [best], settings.proxy)
    rest = [one for one in found[1:] if mask_iou(one.mask, grown.mask) <= settings.duplicate_iou]
    return grown, *rest


def _grown(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    heat: NDArray[np.float32],
    part: _Rated,
    settings: ProposalSettings,
) -> _Rated:
    """The whole thing if a mask is a part of one, else the mask.

    SAM's answer to a point is often a part: the lower half of a book, a rocket without its nose.
    Prompted again with the box and the innermost point of that part, it answers with the whole, is
    surer of it and gives it a steadier outline.
    """
    for _ in range(_ROUNDS):
        whole = _whole(segmenter, embedding, heat, part, settings)
        if whole is None:  # the same prompt would have the same answer
            break
        part = whole
    return part


def _whole(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    heat: NDArray[np.float32],
    part: _Rated,
    settings: ProposalSettings,
) -> _Rated | None:
    """The larger mask around a part that SAM is surest of; None if that is not much surer."""
    cell = np.array(embedding.frame.size_wh) / np.array(embedding.frame.grid_wh)
    (box,), (centre,) = boxes_and_centres([part.answer.grid])
    margin = _MARGIN * np.tile(box[2:] - box[:2], 2) * (-1, -1, 1, 1)
    boxes = np.stack([box, box + margin]) * np.tile(cell, 2)
    points = np.tile(centre * cell, (2, 1))
    found = read_answers(segmenter, embedding, boxes=boxes, points=points)
    answers = _rate(found, part.prompt, heat, settings)
    area, needed = part.answer.grid.sum(), part.answer.surety + settings.surer
    larger = [
        one
        for one in answers
        if one.answer.surety >= needed
        and _LARGER[0] * area <= one.answer.grid.sum() <= _LARGER[1] * area
        and (one.answer.grid & part.answer.grid).sum() >= _HOLDS * area
        and one.agreement >= _AGREES * part.agreement
    ]
    return max(larger, key=lambda one: one.answer.surety, default=None)


def _cosine(mask: NDArray[np.bool_], heat: NDArray) -> float:
    """Cosine of the angle between them: 1 where the mask holds the map's weight evenly."""
    length = float(np.sqrt(np.square(heat, dtype=np.float64).sum() * mask.sum()))
    return float(heat[mask].sum(dtype=np.float64)) / length if length > 0 else 0.0


def _contrast(mask: NDArray[np.bool_], heat: NDArray) -> float:
    """Mean of the map inside the mask minus its mean outside."""
    if not mask.any() or mask.all():
        return 0.0
    return float(heat[mask].mean(dtype=np.float64) - heat[~mask].mean(dtype=np.float64))


AGREEMENTS = {"cosine": _cosine, "contrast": _contrast}
"""How well a mask fits a map of the same shape."""


def _prompts(
    embedding: ImageEmbedding,
    heat: NDArray[np.float32],
    boxes: NDArray[np.float64],
    settings: ProposalSettings,
) -> list[tuple[str, dict]]:
    """The prompts of each kind; peaks are placed on SAM's grid, which is fine enough.

    Each kind is a pass of its own: kinds differ in their number of tokens, and a mask prompt is
    shared by all of a pass.
    """
    cells = peaks(heat, settings.peaks, 0.1 * max(heat.shape))
    spots = (cells + 0.5) * (np.array(embedding.frame.size_wh) / np.array(heat.shape[::-1]))
    prompts: list[tuple[str, dict]] = []
    if len(boxes):
        prompts.append(("box", {"boxes": boxes[:1]}))
        prompts.append(("box+map", {"boxes": boxes[:1], "mask": embedding.frame.map_logits(heat)}))
        x0, y0, x1, y1 = boxes[0]
        within = [p for p in spots if x0 <= p[0] < x1 and y0 <= p[1] < y1][:1]
        if within:
            prompts.append(("box+peak", {"boxes": boxes[:1], "points": within}))
    if len(boxes) > 1:
        prompts.append(("component", {"boxes": boxes[1:]}))
    if len(spots):
        prompts.append(("peak", {"points": spots}))
    return [(name, prompt) for name, prompt in prompts if name in settings.prompts]


def _rate(
    answers: Sequence[Sequence[GridMask]],
    prompt: str,
    heat: NDArray[np.float32],
    settings: ProposalSettings,
) -> list[_Rated]:
    """All answers to the prompts of one kind, with their agreement and rank value."""
    weight = 1.0 if prompt == "peak" else settings.box_weight
    power, paper = settings.score_power, settings.mode == "paper"
    rated = []
    for one in (one for several in answers for one in several):
        fit = AGREEMENTS[settings.agreement](one.grid, heat)
        value = one.score if paper else weight * fit * one.score**power
        rated.append(_Rated(one, prompt, fit, float(value)))
    return rated


def _distinct(ranked: list[_Rated], settings: ProposalSettings) -> list[_Rated]:
    """The best ones, without those that nearly repeat a better one."""
    kept: list[_Rated] = []
    for one in ranked:
        if all(
            _iou(one.answer.grid, other.answer.grid) <= settings.duplicate_iou for other in kept
        ):
            kept.append(one)
            if len(kept) == settings.keep:
                break
    return kept


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _finish(
    segmenter: Segmenter, embedding: ImageEmbedding, found: Sequence[_Rated], proxy: int
) -> tuple[Proposal, ...]:
    """Masks at the proxy size, and their boxes in the picture's own pixels."""
    size_wh = embedding.frame.size_wh
    answers = [one.answer for one in found]
    logits = [one.logits for one in answers]
    masks = segmenter.full_masks(embedding, logits, fitted_size(size_wh, proxy))
    # A mask lost between pixels is still on the grid.
    known = [m if m.any() else one.grid for m, one in zip(masks, answers, strict=True)]
    steps = [np.tile(np.array(size_wh) / np.array(one.shape[::-1]), 2) for one in known]
    boxes = [(box * step).tolist() for box, step in zip(tight_boxes(known), steps, strict=True)]
    return tuple(
        Proposal(mask, tuple(box), a.score, r.agreement, r.value, r.prompt, a.logits)
        for r, a, mask, box in zip(found, answers, masks, boxes, strict=True)
    )
