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
from numpy.typing import ArrayLike

from .attention.normalize import read_phrases
from .errors import GroundingError
from .localize.ambiguity import SecondLook, cover, names_only, overlap
from .localize.boxes import BoxSettings, map_boxes, settled_map
from .localize.edges import refine_edges
from .localize.maps import combine_maps, token_map_to_image
from .localize.proposals import Proposal, ProposalSettings, propose_masks
from .localize.status import apart, judge, scores_of
from .result import Box, Candidate, Grounding

if TYPE_CHECKING:
    from .attention.model import LVLM, EncodedImage
    from .attention.types import Reading
    from .sam.segmenter import ImageEmbedding, Segmenter


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
        A rival whose rank value exceeds this share of the best one's makes it ambiguous, where
        there is no second look.
    looks
        How often at most the picture is read again with what was found covered, to see whether a
        phrase that only names a thing fits another one; 0 = never, as long as it is not known
        whether a model's answers are to be trusted there. Each costs a reading of the picture, and
        the first that finds nothing is the last. See `grounding.localize.ambiguity`.
    again_above
        A presence answer above this, with what was found covered, means that there is another one.
    uncertain_below
        A score below this is uncertain.
    reword
        Ask in the words that models answer best, "a dog" as "the dog", and take what a phrase
        excludes ("the apple that is not green") out of its map; see `attention.normalize`.
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
    looks: int = 0
    again_above: float = 0.95
    uncertain_below: float = 0.35
    reword: bool = True
    proxy: int = 1536

    def __post_init__(self) -> None:
        for name in ("absent_below", "ambiguous_above", "again_above", "uncertain_below"):
            if not 0 <= getattr(self, name) <= 1:
                raise GroundingError(f"{name} is {getattr(self, name)}; expected 0 to 1")
        if not 0 <= self.looks <= 9:
            raise GroundingError(f"looks is {self.looks}; expected 0 (never) to 9")
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


class Searched:
    """A picture, and the smaller copy of it that is searched."""

    image: np.ndarray
    proxy: np.ndarray

    @property
    def scale_xy(self) -> tuple[float, float]:
        """The picture's pixels per pixel of the copy, by axis: in a strip, rounding parts them."""
        (height, width), (rows, columns) = self.image.shape[:2], self.proxy.shape[:2]
        return width / columns, height / rows

    def enlarged(self, box: ArrayLike) -> Box:
        """A box of the copy, (4,) xyxy, in the picture's own pixels."""
        x0, y0, x1, y1 = (np.asarray(box, np.float64) * np.tile(self.scale_xy, 2)).tolist()
        return x0, y0, x1, y1


@dataclass(frozen=True, eq=False)
class View(Searched):
    """A picture both models have read, so that further phrases are cheap.

    `image` is the caller's array; `scale` is its pixels per pixel of the searched copy.
    """

    image: np.ndarray
    proxy: np.ndarray
    scale: float
    encoded: EncodedImage
    embedding: ImageEmbedding
    timings: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class _Weighed:
    """A phrase's maps and the masks that SAM made of them, best first."""

    rows: np.ndarray
    presence: float | None
    combined: np.ndarray
    grid: Box
    ranked: tuple[Proposal, ...]
    scores: tuple[float, ...]


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
            weighed = self._weigh(view, reading.rows, reading.presence)
            between = time.perf_counter()
            again = self._look_again(view, phrase, weighed)
            looked = time.perf_counter() - between
            result = self._settle(view, phrase, weighed, again)
            taken = time.perf_counter() - before - looked
            seconds = {**view.timings, "phrase": each, "again": looked, "mask": taken}
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
        """From head maps (k, P, Q) and the presence answer to a place, without a second look.

        :meth:`ground_many` reads both from the LVLM; measurements give maps of their own, such as
        an ideal one.
        """
        return self._settle(view, phrase, self._weigh(view, rows, presence))

    def _weigh(self, view: View, rows: np.ndarray, presence: float | None) -> _Weighed:
        """Maps to masks."""
        settings, size = self.settings, view.encoded.size_wh
        grid = settings.boxes.region(view.encoded.tokens.region_xyxy, size)
        combined = combine_maps(rows, settings.sigma, settings.kernel)
        combined = settled_map(combined, grid, size, settings.boxes)
        heat = token_map_to_image(combined, grid, size)
        boxes = map_boxes(combined, heat, grid, size, settings.boxes)
        ranked: tuple[Proposal, ...] = ()
        if boxes or settings.proposals.mode != "paper":  # a flat map has no box to prompt with
            ranked = propose_masks(self.segmenter, view.embedding, heat, boxes, settings.proposals)
        scores = scores_of(ranked, heat, presence)
        return _Weighed(rows, presence, combined, grid, ranked, scores)

    def _look_again(self, view: View, phrase: str, first: _Weighed) -> SecondLook | None:
        """What a phrase names with the place that was found covered; None where none is asked."""
        settings, presence = self.settings, first.presence
        there = presence is not None and presence >= settings.absent_below
        if not (settings.looks and there and first.ranked and names_only(phrase)):
            return None
        known, others = [first.ranked[0]], list[tuple[Proposal, float]]()
        beside = complete = False
        for _ in range(settings.looks):
            seen = self._ask_covered(view, phrase, known)
            if seen is None:
                complete = True
                break
            where = overlap(seen.ranked[0], known) if seen.ranked else "covered"
            if where == "covered":
                break
            if where == "apart":
                others.append((seen.ranked[0], seen.scores[0]))
            beside = beside or where == "beside"
            known.append(seen.ranked[0])
        return SecondLook(tuple(others), beside, complete)

    def _ask_covered(self, view: View, phrase: str, places: Sequence[Proposal]) -> _Weighed | None:
        """Where a phrase is with places covered; None where the model says that it is not."""
        covered = cover(view.proxy, [place.mask for place in places])
        again = dataclasses.replace(view, encoded=self.lvlm.encode(covered))
        reading = self.read(again, [phrase], self.lvlm.heads)[0]
        assert reading.rows is not None  # read() always gives rows
        if (reading.presence or 0.0) <= self.settings.again_above:
            return None
        # The masks are those of the picture itself, of what the covered one's map points at.
        return self._weigh(again, reading.rows, reading.presence)

    def _settle(
        self, view: View, phrase: str, weighed: _Weighed, again: SecondLook | None = None
    ) -> Grounding:
        """Masks to the answer."""
        ranked, scores = weighed.ranked, weighed.scores
        presence = weighed.presence
        status, reason = judge(self.settings, ranked, scores, presence, weighed.rows, again)
        common: dict[str, Any] = {
            "phrase": phrase,
            "status": status,
            "reason": reason,
            "presence": presence,
            "heads": self.lvlm.heads,
            "token_map": weighed.combined,
            "region": view.enlarged(weighed.grid),
        }
        surer = sorted(again.others if again else (), key=lambda other: -other[1])
        rest = [
            (p, s)
            for p, s in zip(ranked[1:], scores[1:], strict=True)
            if all(apart(p, place) for place in (ranked[0], *(other for other, _ in surer)))
        ]
        rivals = tuple(Candidate(view.enlarged(p.box), s, p.mask) for p, s in surer + rest)
        if status == "absent":
            guess = tuple(
                Candidate(view.enlarged(p.box), s, p.mask)
                for p, s in zip(ranked[:1], scores[:1], strict=True)
            )
            nothing = np.zeros(view.image.shape[:2], bool)
            score = min(scores[:1], default=0.0)
            return Grounding(
                box=None, mask=nothing, score=score, candidates=guess + rivals, **common
            )
        mask = self._full_mask(view, ranked[0])
        return Grounding(box=_tight(mask), mask=mask, score=scores[0], candidates=rivals, **common)

    def _full_mask(self, view: View, proposal: Proposal) -> np.ndarray:
        """The mask at the picture's size, from what was settled on the searched copy."""
        mask = self.segmenter.full_mask(view.embedding, proposal.logits)
        if not mask.any():  # a speck lost between pixels: its box is still known
            x0, y0, x1, y1 = (round(v) for v in proposal.box)
            mask[max(0, y0) : max(y0 + 1, y1), max(0, x0) : max(x0 + 1, x1)] = True
        refined = refine_edges(view.proxy, mask) if self.settings.refine else mask
        return _enlarged(refined if refined.any() else mask, view.image.shape[1::-1])


def _shrink(image: np.ndarray, longest: int) -> tuple[np.ndarray, float]:
    """A copy at most `longest` on the longer side, and the picture's pixels per pixel of it."""
    height, width = image.shape[:2]
    scale = max(height, width) / longest
    if scale <= 1:
        return image, 1.0
    size = max(1, round(width / scale)), max(1, round(height / scale))
    while image.shape[1] >= 2 * size[0] and image.shape[0] >= 2 * size[1]:
        # Means of four pixels, ten times as fast as an area mean at another ratio.
        half = image.shape[1] // 2, image.shape[0] // 2
        image = cv2.resize(image, half, interpolation=cv2.INTER_LINEAR)
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA), scale


def _enlarged(mask: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A mask of the searched copy at the picture's size, its border drawn straight in between."""
    if mask.shape[::-1] == size_wh:
        return mask
    return cv2.resize(mask.view(np.uint8) * 255, size_wh, interpolation=cv2.INTER_LINEAR) >= 128


def _tight(mask: np.ndarray) -> Box:
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return float(x), float(y), float(x + width), float(y + height)
