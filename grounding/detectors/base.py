"""What all detectors share: detections of a phrase -> masks -> status -> Grounding.

A detector reads a picture and answers a phrase with boxes and scores; it may give masks too,
otherwise the segmenter is prompted with the boxes.
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

from ..checkpoints.checkpoint import Checkpoint, loading
from ..errors import GroundingError
from ..families.prompts import whole_text
from ..localize.edges import refine_edges
from ..localize.locate import are_separate
from ..metrics import box_iou, box_iou_pairwise
from ..result import Candidate, Grounding
from ..settings import GroundingSettings
from ..view import ProxyView, fitted_size, shrink_image, tight_box

if TYPE_CHECKING:
    from ..sam.segmenter import ImageEmbedding, Segmenter

Draw = Callable[[int, tuple[int, int]], NDArray[np.bool_]]
"""(number of a detection, (width, height)) -> its mask (height, width)."""

MAP_SIDE = 64
"""Cells on the longer side of the map of scores."""
GUESSES = 3
"""Candidates returned where nothing reaches the threshold."""
FITS = 0.5
"""Least IoU of a mask's box with the box it was made from; below, the two disagree."""
_SETTINGS = ("absent_below", "ambiguous_above", "uncertain_below", "refine", "proxy")
_PROPOSALS = ("duplicate_iou", "keep", "proxy")


@dataclass(frozen=True, eq=False)
class Detections:
    """A model's answer to one phrase, in no order.

    Parameters
    ----------
    boxes : (n, 4) float xyxy in the proxy's pixels; they may reach over its border.
    scores : (n,) in [0, 1].
    masks : n masks in the detector's own format, for its `_drawn`; None if it gives none.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    masks: Any = None

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, which: NDArray[np.intp]) -> Detections:
        """Some of them, in the order of `which`."""
        masks = None if self.masks is None else self.masks[which]
        return Detections(self.boxes[which], self.scores[which], masks)


@dataclass(frozen=True)
class NoLVLM:
    """Takes the place of a `Grounder`'s LVLM: every word is known, and no head can be read."""

    title: str
    heads: tuple[tuple[int, int], ...] = ()

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """None: the tokenizers of these models split every word into known pieces."""
        return ()

    def read(self, *_: Any, **__: Any) -> Any:
        """Raise GroundingError: there are no attention rows."""
        raise GroundingError(
            f"{self.title} gives places, not attention maps; this needs localization heads: use a "
            "preset with an lvlm"
        )


@dataclass(eq=False)
class DetectorView(ProxyView):
    """A picture that a detector has read; as `View`, but the segmenter reads it on demand."""

    image: NDArray[np.uint8]
    proxy: NDArray[np.uint8]
    scale: float
    features: Any
    segmenter: Segmenter
    timings: dict[str, float] = field(default_factory=dict)
    encoded: None = None  # a View has the LVLM's reading here

    @cached_property
    def embedding(self) -> ImageEmbedding:
        """The segmenter's embedding, computed on first access: SAM 3 finds without it."""
        start = time.perf_counter()
        made = self.segmenter.embed(self.proxy)
        self.timings["embed"] = time.perf_counter() - start
        return made

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the proxy."""
        return self.proxy.shape[1], self.proxy.shape[0]


class Backend(ABC):
    """Finds phrases with a model that gives boxes and scores; used like a `Grounder`.

    Parameters
    ----------
    segmenter : Makes masks of boxes where the model gives none, and answers the editor's clicks.
    settings : From :meth:`settings_from`.

    Attributes
    ----------
    title : Its name for people.
    model_types : The ``model_type`` values of configs it can read.
    defaults : Values of `GroundingSettings` that differ for its scores.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    model_types: ClassVar[tuple[str, ...]]
    defaults: ClassVar[Mapping[str, Any]] = {}

    def __init__(self, segmenter: Segmenter, settings: GroundingSettings | None = None) -> None:
        self.segmenter = segmenter
        self.settings = settings or self.settings_from({})
        self.lvlm = NoLVLM(self.title)

    @classmethod
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
        source = Checkpoint.of(
            path_or_repo, revision=revision, device=device, dtype=dtype, offline=offline
        )
        with loading(path_or_repo):
            parts = cls._load(source, source.config(cls.model_types, cls.title))
        return cls(*parts, segmenter, settings)  # type: ignore[call-arg]

    @staticmethod
    @abstractmethod
    def _load(source: Checkpoint, config: Any) -> tuple[Any, ...]:
        """The first arguments of the constructor: model, tokenizer and image preparation."""

    @abstractmethod
    def _read(self, proxy: NDArray[np.uint8]) -> Any:
        """The model's features of a picture (H, W, 3), computed once for all phrases."""

    @abstractmethod
    def _detect(self, view: DetectorView, phrase: str) -> Detections:
        """Every object that the model can name, however weak."""

    @abstractmethod
    def _drawn(self, view: DetectorView, found: Detections) -> Draw:
        """How the masks of these (at least one) detections are drawn at any size."""

    @classmethod
    def settings_from(cls, values: Mapping[str, Any]) -> GroundingSettings:
        """Settings from a preset's ``grounding`` section; refuses names without effect here."""
        proposals = values.get("proposals", {})
        for given, known, holder in (
            (values, (*_SETTINGS, "proposals"), "grounding"),
            (proposals, _PROPOSALS, "grounding.proposals"),
        ):
            for name in given:
                if name not in known:
                    raise GroundingError(
                        f"{holder} holds {name!r}, which has no effect with {cls.title}; expected "
                        f"some of {', '.join(known)}"
                    )
        many = {"keep": 12, **proposals}  # plurals have many
        return GroundingSettings.from_dict({**cls.defaults, **values, "proposals": many})

    def using(self, settings: GroundingSettings) -> Self:
        """The same models with other settings."""
        other = copy.copy(self)
        other.settings = settings
        return other

    def look(self, image: NDArray[np.uint8]) -> DetectorView:
        """Let the model read a picture, (H, W, 3) uint8 RGB, once for all its phrases."""
        start = time.perf_counter()
        proxy, scale = shrink_image(image, self.settings.proxy)
        features = self._read(proxy)
        timings = {"read": time.perf_counter() - start}
        return DetectorView(image, proxy, scale, features, self.segmenter, timings)

    def ground(self, view: DetectorView, phrase: str) -> Grounding:
        """Find one phrase; see :meth:`ground_many`."""
        return self.ground_many(view, [phrase])[0]

    def ground_many(self, view: DetectorView, phrases: Sequence[str]) -> list[Grounding]:
        """Find phrases in a picture that :meth:`look` has read.

        Raises GroundingError for an empty or overlong phrase.
        """
        return [self._ground(view, phrase) for phrase in phrases]

    def _ground(self, view: DetectorView, phrase: str) -> Grounding:
        words = whole_text(phrase)
        if not words:
            raise GroundingError("the phrase is empty; name a thing, such as 'the red cup'")
        start = time.perf_counter()
        every = _inside(self._detect(view, words), view.size_wh)
        found = time.perf_counter()
        result = self._answer(view, phrase, every)
        seconds = {**view.timings, "phrase": found - start, "mask": time.perf_counter() - found}
        return dataclasses.replace(result, timings=seconds)

    def _answer(self, view: DetectorView, phrase: str, every: Detections) -> Grounding:
        """The Grounding of all detections, or guesses where no score reaches the threshold."""
        settings, (height, width) = self.settings, view.image.shape[:2]
        ranked = _distinct(every, settings.proposals.duplicate_iou, keep=settings.proposals.keep)
        best = float(ranked.scores[0]) if len(ranked) else 0.0
        there = len(ranked) > 0 and best >= settings.absent_below
        count = int((ranked.scores >= settings.absent_below).sum()) if there else GUESSES
        ranked = ranked.take(np.arange(min(count, len(ranked))))
        draw = self._drawn(view, ranked) if len(ranked) else None
        candidates = [self._candidate(view, ranked, draw, k) for k in range(len(ranked)) if draw]
        box, mask = None, np.zeros((height, width), bool)
        if there and draw:
            first, *others = candidates
            candidates = [one for one in others if are_separate(one.mask, first.mask)]
            mask = self._full_mask(view, ranked, draw)
            box = tight_box(mask)
            fits = float(box_iou(box, first.box)) >= FITS
            status, reason = self._decide_status(best, candidates, fits)
        else:
            status = "absent"
            reason = (
                f"the best place that {self.title} names has score {best:.2f}, needed "
                f"{settings.absent_below:.2f}; check the words"
                + ", or take a candidate"
                * bool(candidates)
            )
        return Grounding(
            phrase=phrase,
            status=status,
            reason=reason,
            box=box,
            mask=mask,
            score=best,
            candidates=tuple(candidates),
            heads=(),
            token_map=_score_map(every, view.size_wh),
            region=(0.0, 0.0, float(width), float(height)),
            presence=best,
            detection=view.enlarged(ranked.boxes[0]) if there else None,
        )

    def _candidate(self, view: DetectorView, ranked: Detections, draw: Draw, k: int) -> Candidate:
        """A detection with its mask at the proposals' proxy size, and the detector's box."""
        size = fitted_size(view.size_wh, self.settings.proposals.proxy)
        mask = draw(k, size)
        if not mask.any():
            shrink = min(1.0, self.settings.proposals.proxy / max(view.size_wh))
            mask = _box_mask(ranked.boxes[k] * shrink, size)
        return Candidate(view.enlarged(ranked.boxes[k]), float(ranked.scores[k]), mask)

    def _full_mask(self, view: DetectorView, ranked: Detections, draw: Draw) -> NDArray[np.bool_]:
        """The first detection's mask at the picture's size."""
        size = view.image.shape[1], view.image.shape[0]
        mask = draw(0, size)
        if not mask.any():  # nothing was segmented in the box, but the box is known
            mask = _box_mask(view.enlarged(ranked.boxes[0]), size)
        refined = refine_edges(view.image, mask) if self.settings.refine else mask
        return refined if refined.any() else mask

    def _decide_status(
        self, best: float, rivals: Sequence[Candidate], fits: bool
    ) -> tuple[str, str]:
        """Status and the reason for it."""
        near = [one for one in rivals if one.score > self.settings.ambiguous_above * best]
        if near:
            return "ambiguous", (
                f"{1 + len(near)} places score nearly the same ({best:.2f}); add a colour, side or "
                "neighbour, or take a candidate"
            )
        scored = f"score {best:.2f} by {self.title}"
        if best < self.settings.uncertain_below:
            return "uncertain", f"{scored} is low; check the mask before painting"
        if not fits:
            return "uncertain", (
                f"{scored}, but the mask does not fill its box; check the mask before painting"
            )
        return "found", scored


def _inside(found: Detections, size_wh: tuple[int, int]) -> Detections:
    """Clipped to the picture; without boxes that are not finite or have no area there."""
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


def _box_mask(box: ArrayLike, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """A box as a mask of at least one pixel."""
    width, height = size_wh
    x0, y0, x1, y1 = (int(v) for v in np.rint(np.asarray(box)))
    x0, y0 = min(x0, width - 1), min(y0, height - 1)
    mask = np.zeros((height, width), bool)
    mask[y0 : max(y0 + 1, y1), x0 : max(x0 + 1, x1)] = True
    return mask
