"""The sentence: picture + phrase -> attention -> map -> box -> SAM -> Grounding.

It knows nothing of files, presets or painting, and loads nothing.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from grounding.boxes import BoxSettings, map_boxes, settled_map
from grounding.edges import refine_edges
from grounding.errors import GroundingError
from grounding.maps import combine_maps, peaks, token_map_to_image
from grounding.proposals import Proposal, ProposalSettings, propose_masks
from grounding.result import Box, Candidate, Grounding
from grounding.wording import read_phrases

if TYPE_CHECKING:
    from grounding.lvlm import LVLM, EncodedImage
    from grounding.reading import Reading
    from grounding.segment import ImageEmbedding, Segmenter


@dataclass(frozen=True)
class GroundingSettings:
    """How a map becomes a place.

    Parameters
    ----------
    sigma, kernel
        Gaussian smoothing of each head's map, in cells (Kang et al., Sec. 5: 1.0 and 7).
    boxes
        How boxes are cut out of the map.
    proposals
        How SAM is prompted; ``mode="paper"`` is the single box of the paper.
    refine
        Let GrabCut settle the mask's border.
    absent_below
        A presence answer below this means absent.
    ambiguous_above
        A rival whose rank value exceeds this share of the best one's makes it ambiguous.
    uncertain_below
        A score below this is uncertain.
    reword
        Ask in the words that models answer best, "a dog" as "the dog", and take what a phrase
        excludes ("the apple that is not green") out of its map; see `grounding.wording`.
    proxy
        Longest side, in pixels, of the copy that is searched; larger pictures are shrunk.
    """

    sigma: float = 1.0
    kernel: int = 7
    boxes: BoxSettings = field(default_factory=BoxSettings)
    proposals: ProposalSettings = field(default_factory=ProposalSettings)
    refine: bool = True
    absent_below: float = 0.5
    ambiguous_above: float = 0.85
    uncertain_below: float = 0.35
    reword: bool = True
    proxy: int = 1536

    def __post_init__(self) -> None:
        for name in ("absent_below", "ambiguous_above", "uncertain_below"):
            if not 0 <= getattr(self, name) <= 1:
                raise GroundingError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if self.proxy < 64:
            raise GroundingError(f"proxy is {self.proxy}; expected at least 64 pixels")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GroundingSettings:
        """Build from a mapping such as a preset's; absent fields keep their defaults."""
        _check_names(cls, values, "grounding settings hold")
        given = dict(values)
        if isinstance(given.get("proposals"), Mapping):
            given["proposals"] = _proposal_settings(given["proposals"])
        if isinstance(given.get("boxes"), Mapping):
            _check_names(BoxSettings, given["boxes"], "grounding.boxes holds")
            given["boxes"] = BoxSettings(**given["boxes"])
        return cls(**given)


def _check_names(kind: type, values: Mapping[str, Any], holder: str) -> None:
    """Refuse names that a settings dataclass does not have."""
    known = sorted(f.name for f in dataclasses.fields(kind))
    for name in values:
        if name not in known:
            raise GroundingError(
                f"{holder} the unknown name {name!r}; expected some of {', '.join(known)}"
            )


def _proposal_settings(values: Mapping[str, Any]) -> ProposalSettings:
    _check_names(ProposalSettings, values, "grounding.proposals holds")
    given: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return ProposalSettings(**given)


@dataclass(frozen=True, eq=False)
class View:
    """A picture both models have read, so that further phrases are cheap.

    `image` is the caller's array; `scale` is its pixels per pixel of the searched copy.
    """

    image: np.ndarray
    proxy: np.ndarray
    scale: float
    encoded: EncodedImage
    embedding: ImageEmbedding
    timings: Mapping[str, float]


class Grounder:
    """Finds phrases in pictures with a loaded LVLM and a loaded segmenter.

    Parameters
    ----------
    lvlm
        With its localization heads set.
    segmenter
        A SAM model.
    settings
        See :class:`GroundingSettings`.

    Raises
    ------
    GroundingError
        When the LVLM has no heads.
    """

    def __init__(
        self, lvlm: LVLM, segmenter: Segmenter, settings: GroundingSettings | None = None
    ) -> None:
        if not lvlm.heads:
            raise GroundingError(
                "the LVLM has no localization heads; name them in the preset or calibrate it"
            )
        self.lvlm, self.segmenter = lvlm, segmenter
        self.settings = settings or GroundingSettings()

    def look(self, image: np.ndarray) -> View:
        """Let both models read a picture, (H, W, 3) uint8 RGB, once for all its phrases."""
        start = time.perf_counter()
        proxy, scale = _shrink(image, self.settings.proxy)
        encoded = self.lvlm.encode(proxy)
        between = time.perf_counter()
        embedding = self.segmenter.embed(proxy)
        timings = {"read": between - start, "embed": time.perf_counter() - between}
        return View(image, proxy, scale, encoded, embedding, timings)

    def ground(self, view: View, phrase: str) -> Grounding:
        """Find one phrase; see :meth:`ground_many`."""
        return self.ground_many(view, [phrase])[0]

    def ground_many(self, view: View, phrases: Sequence[str]) -> list[Grounding]:
        """Find phrases in a picture that was looked at.

        Raises
        ------
        GroundingError
            For an empty or overlong phrase.
        """
        start = time.perf_counter()
        readings = self.read(view, phrases, self.lvlm.heads)
        each = (time.perf_counter() - start) / max(1, len(phrases))
        found = []
        for phrase, reading in zip(phrases, readings, strict=True):
            assert reading.rows is not None  # read() always gives rows
            before = time.perf_counter()
            result = self.place(view, phrase, reading.rows, reading.presence)
            seconds = {**view.timings, "phrase": each, "mask": time.perf_counter() - before}
            found.append(dataclasses.replace(result, timings=seconds))
        return found

    def read(
        self, view: View, phrases: Sequence[str], heads: Sequence[tuple[int, int]] | None
    ) -> list[Reading]:
        """What the LVLM's heads bring back for each phrase; None = all heads.

        As :meth:`LVLM.read`, but for `reword` in the settings.
        """
        if not self.settings.reword:
            return self.lvlm.read(view.encoded, phrases, heads)
        absent_below = self.settings.absent_below
        return read_phrases(self.lvlm, view.encoded, phrases, heads, absent_below)

    def place(
        self, view: View, phrase: str, rows: np.ndarray, presence: float | None = None
    ) -> Grounding:
        """From head maps (k, P, Q) and the presence answer to a place.

        :meth:`ground_many` reads both from the LVLM; measurements give maps of their own, such as
        an ideal one.
        """
        settings, size = self.settings, view.encoded.size_wh
        grid = settings.boxes.region(view.encoded.tokens.region_xyxy, size)
        combined = combine_maps(rows, settings.sigma, settings.kernel)
        combined = settled_map(combined, grid, size, settings.boxes)
        heat = token_map_to_image(combined, grid, size)
        boxes = map_boxes(combined, heat, grid, size, settings.boxes)
        ranked: tuple[Proposal, ...] = ()
        if boxes or settings.proposals.mode != "paper":  # a flat map has no box to prompt with
            ranked = propose_masks(self.segmenter, view.embedding, heat, boxes, settings.proposals)
        scores = [_score(p, heat, presence) for p in ranked]
        region = _scaled(grid, view.scale)
        status, reason = self._judge(ranked, scores, presence, rows)
        common: dict[str, Any] = {
            "phrase": phrase, "status": status, "reason": reason, "presence": presence,
            "heads": self.lvlm.heads, "token_map": combined, "region": region,
        }  # fmt: skip
        rivals = tuple(
            Candidate(_scaled(p.box, view.scale), s, p.mask)
            for p, s in zip(ranked, scores, strict=True)
            if p is not ranked[0] and _apart(p, ranked[0])
        )
        if status == "absent":
            guess = tuple(Candidate(_scaled(p.box, view.scale), s, p.mask)
                          for p, s in zip(ranked[:1], scores[:1], strict=True))  # fmt: skip
            nothing = np.zeros(view.image.shape[:2], bool)
            score = min(scores[:1], default=0.0)
            return Grounding(
                box=None, mask=nothing, score=score, candidates=guess + rivals, **common
            )
        mask = self._full_mask(view, ranked[0])
        return Grounding(box=_tight(mask), mask=mask, score=scores[0], candidates=rivals, **common)

    def _full_mask(self, view: View, proposal: Proposal) -> np.ndarray:
        height, width = view.image.shape[:2]
        mask = self.segmenter.full_mask(view.embedding, proposal.logits, (width, height))
        if not mask.any():  # a speck lost between pixels: its box is still known
            x0, y0, x1, y1 = (round(v) for v in _scaled(proposal.box, view.scale))
            mask[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = True
        refined = refine_edges(view.image, mask) if self.settings.refine else mask
        return refined if refined.any() else mask

    def _judge(
        self,
        ranked: Sequence[Proposal],
        scores: Sequence[float],
        presence: float | None,
        rows: np.ndarray,
    ) -> tuple[str, str]:
        """Status and the sentence that explains it."""
        if presence is not None and presence < self.settings.absent_below:
            return "absent", (
                f"the model answers that it is not there (presence {presence:.2f}, needed "
                f"{self.settings.absent_below:.2f}); check the words, or take a candidate"
            )
        if not ranked:
            return "absent", (
                "no mask agrees with where the model looks; name the thing in other words"
            )
        rivals = [p for p in ranked[1:] if _apart(p, ranked[0])]
        if rivals and rivals[0].rank_value > self.settings.ambiguous_above * ranked[0].rank_value:
            return "ambiguous", (
                f"{1 + len(rivals)} places fit nearly as well; add a colour, side or neighbour, "
                "or take a candidate"
            )
        if scores[0] < self.settings.uncertain_below:
            spread = _spread(rows)
            why = "its heads look at different places" if spread > 0.25 else "the map is diffuse"
            return "uncertain", f"score {scores[0]:.2f}: {why}; check the mask before painting"
        return "found", f"score {scores[0]:.2f}: its heads and the segmenter agree"


def _shrink(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """A copy at most `longest` on the longer side, and the picture's pixels per pixel of it."""
    height, width = image.shape[:2]
    scale = max(height, width) / longest
    if scale <= 1:
        return image, 1.0
    size = max(1, round(width / scale)), max(1, round(height / scale))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def _scaled(box: Box, scale: float) -> Box:
    x0, y0, x1, y1 = (float(v) * scale for v in box)
    return x0, y0, x1, y1


def _tight(mask: np.ndarray) -> Box:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return float(x), float(y), float(x + width), float(y + height)


def _score(proposal: Proposal, heat: np.ndarray, presence: float | None) -> float:
    """Geometric mean of presence, the map's weight on the mask, and SAM's score."""
    mask = proposal.mask
    if mask.shape != heat.shape:
        heat = cv2.resize(heat, mask.shape[::-1], interpolation=cv2.INTER_AREA)
    above = np.clip(heat - heat.mean(), 0, None)
    share = float(above[mask].sum() / max(float(above.sum()), 1e-12))
    parts = [min(1.0, 2 * share), float(np.clip(proposal.score, 0, 1))]
    parts += [] if presence is None else [presence]
    return float(np.prod(parts) ** (1 / len(parts)))


def _apart(a: Proposal, b: Proposal) -> bool:
    """Whether two masks are different places: little of the smaller one lies in the other."""
    common = (a.mask & b.mask).sum()
    return bool(common < 0.3 * max(1, min(a.mask.sum(), b.mask.sum())))


def _spread(rows: np.ndarray) -> float:
    """Mean distance of the heads' peaks from their middle, as a share of the grid's side."""
    tops = np.array([(peaks(row, 1).tolist() or [[0, 0]])[0] for row in rows], float)
    return float(np.linalg.norm(tops - tops.mean(0), axis=1).mean() / max(rows.shape[-2:]))
