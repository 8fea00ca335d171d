"""What every find backend shares: detections of a phrase -> masks -> status -> Grounding.

A backend subclass reads a picture and answers a phrase with boxes and scores; it may give masks
too, otherwise the segmenter is asked with the boxes.
"""

from __future__ import annotations

import copy
import dataclasses
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..attention.normalize import whole_text
from ..errors import GroundingError
from ..localize.edges import refine_edges
from ..metrics import box_iou, box_iou_pairwise
from ..pipeline import GroundingSettings, Searched, _shrink, _tight
from ..result import Candidate, Grounding

if TYPE_CHECKING:
    from ..sam.segmenter import ImageEmbedding, Segmenter

Draw = Callable[[int, tuple[int, int]], NDArray[np.bool_]]
"""(which place, (width, height)) -> its mask (height, width)."""

MAP_SIDE = 64
"""Cells on the longer side of the map of scores."""
GUESSES = 3
"""Candidates that are offered where nothing reaches the threshold."""
FITS = 0.5
"""Least IoU of a mask's box with the box it was made from; below, the two disagree."""
APART = 0.3
"""Two places share less than this of the smaller mask, as in :mod:`grounding.pipeline`."""
_SETTINGS = ("absent_below", "ambiguous_above", "uncertain_below", "refine", "proxy")
_PLACES = ("duplicate_iou", "keep", "proxy")


@dataclass(frozen=True, eq=False)
class Detections:
    """What a model answers to one phrase, in no order.

    Parameters
    ----------
    boxes
        (n, 4) float xyxy in the searched copy's pixels; they may reach over its border.
    scores
        (n,) in [0, 1].
    masks
        n masks of the backend's own kind, for its `_drawn`; None where it gives none.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    masks: Any = None

    def __post_init__(self) -> None:
        if self.boxes.ndim != 2 or self.boxes.shape[1] != 4 or len(self.boxes) != len(self.scores):
            raise GroundingError(
                f"boxes are {self.boxes.shape} with scores {self.scores.shape}; expected (n, 4) "
                "and (n,)"
            )

    def take(self, which: NDArray[np.intp]) -> Detections:
        """Some of them, in the order of `which`."""
        masks = None if self.masks is None else self.masks[which]
        return Detections(self.boxes[which], self.scores[which], masks)


@dataclass(frozen=True)
class NoLVLM:
    """Stands where a `Grounder` has its LVLM: any word may be asked, no head can be read."""

    title: str
    heads: tuple[tuple[int, int], ...] = ()

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """None: the tokenizers of these models split every word into known pieces."""
        return ()

    def read(self, *_: Any, **__: Any) -> Any:
        """Refuse: there are no attention rows.

        Raises
        ------
        GroundingError
            Always.
        """
        raise GroundingError(
            f"{self.title} gives places, not attention maps; this needs localization heads: use a "
            "preset with an lvlm"
        )


@dataclass(eq=False)
class Seen(Searched):
    """A picture that a backend has read; as `View`, the segmenter's part lazy."""

    image: NDArray[np.uint8]
    proxy: NDArray[np.uint8]
    scale: float
    features: Any
    segmenter: Segmenter
    timings: dict[str, float] = field(default_factory=dict)
    encoded: None = None  # a View has the LVLM's reading here

    @cached_property
    def embedding(self) -> ImageEmbedding:
        """The segmenter's reading, made when first needed: SAM 3 finds without it."""
        start = time.perf_counter()
        made = self.segmenter.embed(self.proxy)
        self.timings["embed"] = time.perf_counter() - start
        return made

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the searched copy."""
        return self.proxy.shape[1], self.proxy.shape[0]


class Backend(ABC):
    """Finds phrases with a model that gives boxes and scores; used like a `Grounder`.

    Parameters
    ----------
    segmenter
        Makes masks of boxes where the model gives none, and answers the editor's clicks.
    settings
        From :meth:`settings_from`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    """Its name for people."""
    defaults: ClassVar[Mapping[str, Any]] = {}
    """Fields of `GroundingSettings` that its scores need otherwise."""

    def __init__(self, segmenter: Segmenter, settings: GroundingSettings | None = None) -> None:
        self.segmenter = segmenter
        self.settings = settings or self.settings_from({})
        self.lvlm = NoLVLM(self.title)

    @classmethod
    @abstractmethod
    def load(
        cls,
        path_or_repo: str | Path,
        segmenter: Segmenter,
        settings: GroundingSettings | None = None,
        *,
        revision: str | None = None,
        device: Any = "cpu",
        dtype: Any = "float32",
        offline: bool = False,
    ) -> Self:
        """Load a folder or a repository; parameters and errors as of `load_segmenter`."""

    @abstractmethod
    def _read(self, proxy: NDArray[np.uint8]) -> Any:
        """What the model makes of a picture (H, W, 3), once for all phrases."""

    @abstractmethod
    def _detect(self, seen: Seen, phrase: str) -> Detections:
        """Every place the model can name, however weak."""

    @abstractmethod
    def _drawn(self, seen: Seen, found: Detections) -> Draw:
        """How the masks of these (at least one) detections are drawn at any size."""

    @classmethod
    def settings_from(cls, values: Mapping[str, Any]) -> GroundingSettings:
        """Settings from a preset's ``grounding`` section.

        Raises
        ------
        GroundingError
            For names that would have no effect here, such as those of maps.
        """
        for given, known, holder in (
            (values, (*_SETTINGS, "proposals"), "grounding"),
            (values.get("proposals", {}), _PLACES, "grounding.proposals"),
        ):
            for name in given:
                if name not in known:
                    raise GroundingError(
                        f"{holder} holds {name!r}, which has no effect with {cls.title}; expected "
                        f"some of {', '.join(known)}"
                    )
        places = {"keep": 12, **values.get("proposals", {})}  # plurals have many
        return GroundingSettings.from_dict({**cls.defaults, **values, "proposals": places})

    def using(self, settings: GroundingSettings) -> Self:
        """The same models with other settings."""
        other = copy.copy(self)
        other.settings = settings
        return other

    def look(self, image: NDArray[np.uint8]) -> Seen:
        """Let the model read a picture, (H, W, 3) uint8 RGB, once for all its phrases."""
        start = time.perf_counter()
        proxy, scale = _shrink(image, self.settings.proxy)
        features = self._read(proxy)
        timings = {"read": time.perf_counter() - start}
        return Seen(image, proxy, scale, features, self.segmenter, timings)

    def ground(self, view: Seen, phrase: str) -> Grounding:
        """Find one phrase; see :meth:`ground_many`."""
        return self.ground_many(view, [phrase])[0]

    def ground_many(self, view: Seen, phrases: Sequence[str]) -> list[Grounding]:
        """Find phrases in a picture that was looked at.

        Raises
        ------
        GroundingError
            For an empty or overlong phrase.
        """
        return [self._ground(view, phrase) for phrase in phrases]

    def _ground(self, seen: Seen, phrase: str) -> Grounding:
        words = whole_text(phrase)
        if not words:
            raise GroundingError("the phrase is empty; name a thing, such as 'the red cup'")
        start = time.perf_counter()
        every = _inside(self._detect(seen, words), seen.size_wh)
        found = time.perf_counter()
        result = self._place(seen, phrase, every)
        seconds = {**seen.timings, "phrase": found - start, "mask": time.perf_counter() - found}
        return dataclasses.replace(result, timings=seconds)

    def _place(self, seen: Seen, phrase: str, every: Detections) -> Grounding:
        """From all that was detected to a place, or to guesses where nothing is sure enough."""
        height, width = seen.image.shape[:2]
        ranked = _distinct(every, self.settings.proposals.duplicate_iou, keep=self._keep)
        best = float(ranked.scores[0]) if len(ranked.scores) else 0.0
        there = len(ranked.scores) > 0 and best >= self.settings.absent_below
        count = int((ranked.scores >= self.settings.absent_below).sum()) if there else GUESSES
        ranked = ranked.take(np.arange(min(count, len(ranked.scores))))
        draw = self._drawn(seen, ranked) if len(ranked.scores) else _never
        places = [self._candidate(seen, ranked, draw, k) for k in range(len(ranked.scores))]
        common: dict[str, Any] = {
            "phrase": phrase,
            "score": best,
            "presence": best,
            "heads": (),
            "token_map": _score_map(every, seen.size_wh),
            "region": (0.0, 0.0, float(width), float(height)),
        }
        if not there:
            return Grounding(
                status="absent",
                reason=self._absent(best),
                box=None,
                mask=np.zeros((height, width), bool),
                candidates=tuple(places),
                **common,
            )
        rivals = tuple(one for one in places[1:] if _apart(one.mask, places[0].mask))
        mask = self._full_mask(seen, ranked, draw)
        fits = float(box_iou(_tight(mask), places[0].box)) >= FITS
        status, reason = self._judge(best, rivals, fits)
        return Grounding(
            status=status,
            reason=reason,
            box=_tight(mask),
            mask=mask,
            candidates=rivals,
            detection=places[0].box,
            **common,
        )

    @property
    def _keep(self) -> int:
        return self.settings.proposals.keep

    def _candidate(self, seen: Seen, ranked: Detections, draw: Draw, k: int) -> Candidate:
        """A place with its mask at the proxy size, its box as the model gave it."""
        width, height = seen.size_wh
        shrink = min(1.0, self.settings.proposals.proxy / max(width, height))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        mask = draw(k, size)
        if not mask.any():
            mask = _boxed(ranked.boxes[k] * shrink, size)
        return Candidate(seen.enlarged(ranked.boxes[k]), float(ranked.scores[k]), mask)

    def _full_mask(self, seen: Seen, ranked: Detections, draw: Draw) -> NDArray[np.bool_]:
        """The first place's mask at the picture's size."""
        size = seen.image.shape[1], seen.image.shape[0]
        mask = draw(0, size)
        if not mask.any():  # nothing was segmented in the box, but the box is known
            mask = _boxed(seen.enlarged(ranked.boxes[0]), size)
        refined = refine_edges(seen.image, mask) if self.settings.refine else mask
        return refined if refined.any() else mask

    def _absent(self, best: float) -> str:
        return (
            f"the best place that {self.title} names has score {best:.2f}, needed "
            f"{self.settings.absent_below:.2f}; check the words, or take a candidate"
        )

    def _judge(self, best: float, rivals: Sequence[Candidate], fits: bool) -> tuple[str, str]:
        """Status and the sentence that explains it."""
        near = [one for one in rivals if one.score > self.settings.ambiguous_above * best]
        if near:
            return "ambiguous", (
                f"{1 + len(near)} places score nearly the same ({best:.2f}); add a colour, side or "
                "neighbour, or take a candidate"
            )
        told = f"score {best:.2f} by {self.title}"
        if best < self.settings.uncertain_below:
            return "uncertain", f"{told} is low; check the mask before painting"
        if not fits:
            return "uncertain", (
                f"{told}, but the mask does not fill its box; check the mask before painting"
            )
        return "found", told


def _inside(found: Detections, size_wh: tuple[int, int]) -> Detections:
    """Clipped to the picture; without what is not a number or has no area there."""
    boxes = np.clip(found.boxes, 0, np.tile(size_wh, 2))
    sides = boxes[:, 2:] - boxes[:, :2]
    good = np.isfinite(boxes).all(1) & np.isfinite(found.scores) & (sides > 0).all(1)
    kept = Detections(boxes, np.clip(found.scores, 0, 1), found.masks)
    return kept.take(np.flatnonzero(good))


def _distinct(found: Detections, iou: float, keep: int) -> Detections:
    """Best first, without those that nearly repeat a better one."""
    left, kept = np.argsort(-found.scores, kind="stable"), list[np.intp]()
    while left.size and len(kept) < keep:
        kept.append(left[0])
        overlap = box_iou_pairwise(found.boxes[left[:1]], found.boxes[left])[0]
        left = left[1:][overlap[1:] <= iou]
    return found.take(np.array(kept, dtype=np.intp))


def _score_map(found: Detections, size_wh: tuple[int, int]) -> NDArray[np.float32]:
    """(P, Q): in each cell the best score of the boxes that reach into it."""
    width, height = size_wh
    scale = MAP_SIDE / max(width, height)
    rows, columns = max(1, round(height * scale)), max(1, round(width * scale))
    cells = found.boxes * np.tile((columns / width, rows / height), 2)
    low, high = np.floor(cells[:, :2]).astype(int), np.ceil(cells[:, 2:]).astype(int)
    out = np.zeros((rows, columns), np.float32)
    for k in np.argsort(found.scores):  # the best last, over the others
        out[low[k, 1] : high[k, 1], low[k, 0] : high[k, 0]] = found.scores[k]
    return out


def _never(k: int, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    raise AssertionError("nothing was detected, so nothing is drawn")


def _boxed(box: ArrayLike, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """A box as a mask of at least one pixel."""
    width, height = size_wh
    x0, y0, x1, y1 = (int(v) for v in np.rint(np.asarray(box)))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    mask = np.zeros((height, width), bool)
    mask[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)] = True
    return mask


def _apart(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> bool:
    return bool((a & b).sum() < APART * max(1, min(a.sum(), b.sum())))
