"""Propose masks with SAM from several prompts, and rank them by agreement with the map.

The paper prompts SAM with one box, that of the pseudo-mask (Kang et al., CVPR 2025, Sec. 5);
`mode="paper"` does that. Heads of smaller models cover only part of an object and sit low on it,
so the default also prompts with the map's peaks, lets SAM find the extent, and keeps the mask that
agrees best with the whole map. Ranking uses the decoder's own grid: no proposal is ever held
at the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..checks import check_choice, finite_array
from ..errors import GroundingError
from ..sam.segmenter import ImageEmbedding, Segmenter
from ..settings import ProposalSettings
from ..view import fitted_size, resize_shares, tight_box
from .maps import Box, normalise_map, peaks

Answer = tuple[str, NDArray[np.float32], float]
"""(prompt, logits, score) of one mask."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """One mask SAM proposed, and how well it fits the map.

    Parameters
    ----------
    mask : (h, w) bool at the proxy size; :meth:`Segmenter.full_mask` makes the picture-sized mask
        from `logits`.
    box : Tight box of the mask, xyxy half-open, in the picture's own pixels.
    score : SAM's predicted IoU, in [0, 1].
    agreement : With the map, at most 1; nan in mode "paper" without a map.
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
class _GridMask:
    """A mask on the decoder's grid, cut to the picture."""

    grid: NDArray[np.bool_]
    logits: NDArray[np.float32]
    score: float
    agreement: float
    value: float
    prompt: str


def propose_masks(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    map: ArrayLike | None,
    boxes: ArrayLike,
    settings: ProposalSettings | None = None,
) -> tuple[Proposal, ...]:
    """Masks of the object that a map points at, best first.

    Parameters
    ----------
    segmenter, embedding : The model and the picture it has read.
    map : (h, w) map over the whole picture, edge to edge, at any resolution (see
        `token_map_to_image`, which undoes padding and cropping); None only in mode "paper".
    boxes : (n, 4) xyxy in the picture's own pixels: the pseudo-mask's box first, as the paper has
        it, then those of its other components; n may be 0 where only peaks are wanted.
    settings : See :class:`ProposalSettings`.

    Returns
    -------
    tuple of Proposal
        Best first, near-duplicates left out; empty where SAM answers every prompt with nothing.

    Raises GroundingError for no map and no box to go by, or wrong shapes.
    """
    settings = settings or ProposalSettings()
    given = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    paper = settings.mode == "paper"
    if paper and not len(given):
        raise GroundingError("mode 'paper' prompts with a box, and none was given")
    if not paper and map is None:
        raise GroundingError("mode 'map' ranks by the map, and none was given; mode='paper'?")
    cols, rows = embedding.frame.grid_wh
    heat = None if map is None else _map_on_grid(map, (cols, rows))
    if paper or heat is None:
        found = _query(segmenter, embedding, "box", boxes=given[:1], multimask=False)
    else:
        found = _query_all(segmenter, embedding, heat, given, settings)
    candidates = []
    for prompt, logits, score in found:
        grid = logits[:rows, :cols] > 0
        if grid.any():
            fit = np.nan if heat is None else map_agreement(grid, heat, settings.agreement)
            value = score if paper else fit * score**settings.score_power
            candidates.append(_GridMask(grid, logits, score, float(fit), float(value), prompt))
    kept = _distinct(sorted(candidates, key=lambda one: -one.value), settings)
    return tuple(_finish(segmenter, embedding, one, settings.proxy) for one in kept)


def map_agreement(mask: NDArray[np.bool_], map: ArrayLike, kind: str = "cosine") -> float:
    """How well a mask fits a map of the same shape.

    ``"cosine"``: of the angle between them as vectors, in [0, 1] for a map without negative
    values; it is largest for the mask that holds all of the map's weight and nothing else.
    ``"contrast"``: mean of the map inside the mask minus its mean outside.

    Examples
    --------
    >>> map_agreement(np.array([[True, False]]), [[1.0, 0.0]])
    1.0
    >>> map_agreement(np.array([[True, True]]), [[1.0, 0.0]]).__round__(3)
    0.707
    """
    heat = finite_array(map, "the map", axes="(h, w)", ndim=2, exact=True)
    if mask.shape != heat.shape or mask.dtype != bool:
        raise GroundingError(
            f"mask {mask.dtype} {mask.shape} and map {heat.shape}; expected bool of one shape"
        )
    check_choice("kind", kind, _AGREEMENTS)
    return _AGREEMENTS[kind](mask, heat)


def _cosine(mask: NDArray[np.bool_], heat: NDArray) -> float:
    length = float(np.sqrt(np.square(heat, dtype=np.float64).sum() * mask.sum()))
    return float(heat[mask].sum(dtype=np.float64)) / length if length > 0 else 0.0


def _contrast(mask: NDArray[np.bool_], heat: NDArray) -> float:
    if not mask.any() or mask.all():
        return 0.0
    return float(heat[mask].mean(dtype=np.float64) - heat[~mask].mean(dtype=np.float64))


_AGREEMENTS = {"cosine": _cosine, "contrast": _contrast}


def _query_all(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    heat: NDArray[np.float32],
    boxes: NDArray[np.float64],
    settings: ProposalSettings,
) -> list[Answer]:
    """Every mask of every prompt; peaks are placed on SAM's grid, which is fine enough."""
    cells = peaks(heat, settings.peaks, 0.1 * max(heat.shape))
    spots = (cells + 0.5) * (np.array(embedding.size_wh) / np.array(heat.shape[::-1]))
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
    chosen = [(name, prompt) for name, prompt in prompts if name in settings.prompts]
    return [one for name, p in chosen for one in _query(segmenter, embedding, name, **p)]


def _query(
    segmenter: Segmenter, embedding: ImageEmbedding, name: str, **prompt: object
) -> list[Answer]:
    logits, scores = segmenter.prompt_logits(embedding, **prompt)  # type: ignore[arg-type]
    flat = logits.reshape(-1, *logits.shape[2:])
    return [(name, one, float(score)) for one, score in zip(flat, scores.ravel(), strict=True)]


def _map_on_grid(map: ArrayLike, grid_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The map over the picture at the decoder's grid, in [0, 1]."""
    heat = finite_array(map, "the map", axes="(h, w)", ndim=2, exact=True).astype(np.float32)
    return normalise_map(resize_shares(heat, grid_wh))


def _distinct(ranked: list[_GridMask], settings: ProposalSettings) -> list[_GridMask]:
    """The best ones, without those that nearly repeat a better one."""
    kept: list[_GridMask] = []
    for one in ranked:
        if all(_iou(one.grid, other.grid) <= settings.duplicate_iou for other in kept):
            kept.append(one)
            if len(kept) == settings.keep:
                break
    return kept


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _finish(
    segmenter: Segmenter, embedding: ImageEmbedding, one: _GridMask, proxy: int
) -> Proposal:
    size = fitted_size(embedding.size_wh, proxy)
    mask = segmenter.full_mask(embedding, one.logits, size)
    known = mask if mask.any() else one.grid  # a mask lost between pixels is still on the grid
    step = np.array(embedding.size_wh) / np.array(known.shape[::-1])
    x0, y0, x1, y1 = (np.array(tight_box(known)) * np.tile(step, 2)).tolist()
    box = x0, y0, x1, y1
    return Proposal(mask, box, one.score, one.agreement, one.value, one.prompt, one.logits)
