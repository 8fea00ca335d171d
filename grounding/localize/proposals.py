"""Masks that agree with an attention map: propose with SAM from several prompts, rank by the map.

The paper prompts SAM with one box, that of the pseudo-mask (Kang et al., CVPR 2025, Sec. 5);
`mode="paper"` does that. Heads of smaller models cover only part of an object and sit low on it,
so the default also prompts with the map's peaks, lets SAM find the extent, and keeps the mask that
agrees best with the whole map. Ranking happens on the decoder's own grid: no proposal is ever held
at the picture's size.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from .._arrays import finite_array
from ..errors import GroundingError
from ..sam.segmenter import ImageEmbedding, Segmenter
from .maps import normalise_map, peaks

__all__ = ["PROMPTS", "Proposal", "ProposalSettings", "map_agreement", "propose_masks"]

PROMPTS = ("box", "peak", "box+peak", "box+map", "component")
"""The first box; each peak; the first box with a peak inside it; with the map as mask; the rest."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ProposalSettings:
    """How masks are proposed and ranked.

    Parameters
    ----------
    mode
        ``"map"``: all `prompts`, ranked by agreement and score; ``"paper"``: the first box alone,
        SAM's single mask.
    prompts
        Which of :data:`PROMPTS` to try. Not ``"box+map"`` unless asked for: where a map covers a
        part of the object, the mask it prompts covers that part and agrees with it too well.
    peaks
        How many peaks of the map serve as points.
    agreement
        ``"cosine"`` between mask and map, or ``"contrast"``, mean inside minus mean outside.
    score_power
        Masks are ranked by agreement times score to this power. At 1, maps that cover a third of
        the object pull out parts of objects (mean IoU .66 on drawn maps, .80 at 2).
    duplicate_iou
        Of two masks with a larger IoU only the better ranked stays.
    keep
        How many proposals to return at most.
    proxy
        Longest side, in pixels, of the returned masks; smaller pictures keep their size.
    """

    mode: str = "map"
    prompts: tuple[str, ...] = ("box", "peak", "box+peak", "component")
    peaks: int = 3
    agreement: str = "cosine"
    score_power: float = 2.0
    duplicate_iou: float = 0.85
    keep: int = 6
    proxy: int = 1024

    def __post_init__(self) -> None:
        if self.mode not in ("map", "paper"):
            raise GroundingError(f"mode is {self.mode!r}; expected 'map' or 'paper'")
        unknown = [name for name in self.prompts if name not in PROMPTS]
        if unknown or not self.prompts:
            raise GroundingError(
                f"prompts are {self.prompts!r}; expected some of {', '.join(PROMPTS)}"
            )
        if self.agreement not in _AGREEMENTS:
            raise GroundingError(f"agreement is {self.agreement!r}; expected {_names()}")
        if not 0 <= self.score_power < 100:
            raise GroundingError(f"score_power is {self.score_power}; expected 0 or more")
        if not 0 < self.duplicate_iou <= 1:
            raise GroundingError(f"duplicate_iou is {self.duplicate_iou}; expected above 0, to 1")
        for name in ("peaks", "keep", "proxy"):
            if getattr(self, name) < 1:
                raise GroundingError(f"{name} is {getattr(self, name)}; expected at least 1")


@dataclass(frozen=True, eq=False)
class Proposal:
    """One mask SAM proposed, and how well it fits the map.

    Parameters
    ----------
    mask
        (h, w) bool at the proxy size; :meth:`Segmenter.full_mask` makes the picture-sized mask
        from `logits`.
    box
        Tight box of the mask, xyxy half-open, in the picture's own pixels.
    score
        SAM's predicted IoU, in [0, 1].
    agreement
        With the map, at most 1; nan in mode "paper" without a map.
    rank_value
        What proposals are ordered by: agreement times score to the power set (mode "paper": the
        score).
    prompt
        Which of :data:`PROMPTS` it came from.
    logits
        (m, m) float32 on the decoder's grid.
    """

    mask: NDArray[np.bool_]
    box: Box
    score: float
    agreement: float
    rank_value: float
    prompt: str
    logits: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class _Candidate:
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
    """Masks for the place a map points at, best first.

    Parameters
    ----------
    segmenter, embedding
        The model and the picture it has read.
    map
        (h, w) map over the whole picture, edge to edge, at any resolution (see
        `token_map_to_image`, which undoes padding and cropping); None only in mode "paper".
    boxes
        (n, 4) xyxy in the picture's own pixels: the pseudo-mask's box first, as the paper has it,
        then those of its other components; n may be 0 where only peaks are wanted.
    settings
        See :class:`ProposalSettings`.

    Returns
    -------
    tuple of Proposal
        Best first, near-duplicates left out; empty where SAM answers every prompt with nothing.

    Raises
    ------
    GroundingError
        No map and no box to go by, or wrong shapes.
    """
    settings = settings or ProposalSettings()
    places = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    if settings.mode == "paper":
        if not len(places):
            raise GroundingError("mode 'paper' prompts with a box, and none was given")
        found = _answers(segmenter, embedding, "box", boxes=places[:1], multimask=False)
        weigh = False
    else:
        if map is None:
            raise GroundingError("mode 'map' ranks by the map, and none was given; mode='paper'?")
        found, weigh = _ask_all(segmenter, embedding, map, places, settings), True
    cols, rows = embedding.frame.grid_wh
    heat = None if map is None else _map_on_grid(map, (cols, rows))
    candidates = []
    for prompt, logits, score in found:
        grid = logits[:rows, :cols] > 0
        if grid.any():
            fit = np.nan if heat is None else map_agreement(grid, heat, settings.agreement)
            value = fit * score**settings.score_power if weigh else score
            candidates.append(_Candidate(grid, logits, score, float(fit), float(value), prompt))
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
    if kind not in _AGREEMENTS:
        raise GroundingError(f"kind is {kind!r}; expected {_names()}")
    return _AGREEMENTS[kind](mask, heat)


def _cosine(mask: NDArray[np.bool_], heat: NDArray) -> float:
    length = float(np.sqrt(np.square(heat, dtype=np.float64).sum() * mask.sum()))
    return float(heat[mask].sum(dtype=np.float64)) / length if length > 0 else 0.0


def _contrast(mask: NDArray[np.bool_], heat: NDArray) -> float:
    if not mask.any() or mask.all():
        return 0.0
    return float(heat[mask].mean(dtype=np.float64) - heat[~mask].mean(dtype=np.float64))


_AGREEMENTS = {"cosine": _cosine, "contrast": _contrast}


def _names() -> str:
    return " or ".join(repr(name) for name in _AGREEMENTS)


def _ask_all(
    segmenter: Segmenter,
    embedding: ImageEmbedding,
    map: ArrayLike,
    boxes: NDArray[np.float64],
    settings: ProposalSettings,
) -> list[tuple[str, NDArray[np.float32], float]]:
    """(prompt, logits, score) of every mask of every prompt."""
    # SAM's grid is fine enough to place a peak, whatever the map's own resolution.
    heat = _map_on_grid(map, embedding.frame.grid_wh)
    apart = 0.1 * max(heat.shape)
    cells = peaks(heat, settings.peaks, apart)
    scale = np.array(embedding.size_wh) / np.array(heat.shape[::-1])
    spots = (cells + 0.5) * scale
    asked: list[tuple[str, dict]] = []
    if len(boxes):
        asked.append(("box", {"boxes": boxes[:1]}))
        asked.append(("box+map", {"boxes": boxes[:1], "mask": embedding.frame.map_logits(heat)}))
        x0, y0, x1, y1 = boxes[0]
        within = [p for p in spots if x0 <= p[0] < x1 and y0 <= p[1] < y1][:1]
        if within:
            asked.append(("box+peak", {"boxes": boxes[:1], "points": within}))
    if len(boxes) > 1:
        asked.append(("component", {"boxes": boxes[1:]}))
    if len(spots):
        asked.append(("peak", {"points": spots}))
    chosen = [(name, prompt) for name, prompt in asked if name in settings.prompts]
    return [one for name, p in chosen for one in _answers(segmenter, embedding, name, **p)]


def _answers(
    segmenter: Segmenter, embedding: ImageEmbedding, name: str, **prompt: object
) -> list[tuple[str, NDArray[np.float32], float]]:
    logits, scores = segmenter.prompt_logits(embedding, **prompt)  # type: ignore[arg-type]
    flat = logits.reshape(-1, *logits.shape[2:])
    return [(name, one, float(score)) for one, score in zip(flat, scores.ravel(), strict=True)]


def _map_on_grid(map: ArrayLike, grid_wh: tuple[int, int]) -> NDArray[np.float32]:
    """The map over the picture at the decoder's grid, in [0, 1]."""
    heat = finite_array(map, "the map", axes="(h, w)", ndim=2, exact=True).astype(np.float32)
    shrinks = heat.shape[1] > grid_wh[0]
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return normalise_map(cv2.resize(heat, grid_wh, interpolation=how))


def _distinct(ranked: list[_Candidate], settings: ProposalSettings) -> list[_Candidate]:
    """The best ones, without those that nearly repeat a better one."""
    kept: list[_Candidate] = []
    for one in ranked:
        if all(_iou(one.grid, other.grid) <= settings.duplicate_iou for other in kept):
            kept.append(one)
            if len(kept) == settings.keep:
                break
    return kept


def _iou(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    return float((a & b).sum() / max(1, (a | b).sum()))


def _finish(
    segmenter: Segmenter, embedding: ImageEmbedding, one: _Candidate, proxy: int
) -> Proposal:
    width, height = embedding.size_wh
    shrink = min(1.0, proxy / max(width, height))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    mask = segmenter.full_mask(embedding, one.logits, size)
    box = _tight_box(mask, width / size[0], height / size[1])
    if box is None:  # lost between pixels: the grid still knows the place
        rows, cols = one.grid.shape
        box = _tight_box(one.grid, width / cols, height / rows)
    assert box is not None  # the grid mask is not empty
    return Proposal(mask, box, one.score, one.agreement, one.value, one.prompt, one.logits)


def _tight_box(mask: NDArray[np.bool_], step_x: float, step_y: float) -> Box | None:
    xs, ys = np.flatnonzero(mask.any(0)), np.flatnonzero(mask.any(1))
    if not xs.size:
        return None
    x0, x1, y0, y1 = int(xs[0]), int(xs[-1]) + 1, int(ys[0]), int(ys[-1]) + 1
    return x0 * step_x, y0 * step_y, x1 * step_x, y1 * step_y
