"""The result of grounding a caption: a segment for each phrase and one id map.

It does not know other formats; `multiobject.export` converts to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..grounding.result import Box


@dataclass(frozen=True, eq=False)
class Instance:
    """One of the things that a phrase names: mask (H, W) bool, its xyxy box, score in [0, 1].

    `id` is its number in the id map; 0 if another segment has all of its pixels.
    """

    mask: np.ndarray
    box: Box
    score: float
    id: int = 0


@dataclass(frozen=True, eq=False)
class Segment:
    """One phrase of a caption and its mask.

    Attributes
    ----------
    phrase : The words it was searched with.
    span : Half-open character offsets of its noun phrase in the caption.
    name : Its noun's lemma.
    is_thing : Things can be counted; stuff ("sky", "grass") cannot.
    plural : Whether more than one is meant.
    mask : (H, W) bool: all of it, also where another segment covers it; all False when not found.
    score : In [0, 1], as `Grounding.score`; of several instances the best one's.
    status, reason : As `Grounding.status`; ``unknown``: the model does not know its words.
    instances : Of a plural thing each one, best first; of a single thing itself; of stuff none.
    ids : Its numbers in the id map: one for each instance, one for stuff; empty when not painted.
    presence : Probability that it is present, by the language model; None if it was not queried.
    """

    phrase: str
    span: tuple[int, int]
    name: str
    is_thing: bool
    plural: bool
    mask: np.ndarray
    score: float
    status: str
    reason: str
    instances: tuple[Instance, ...] = ()
    ids: tuple[int, ...] = ()
    presence: float | None = None

    @property
    def found(self) -> bool:
        """Whether it has a mask."""
        return self.status not in ("absent", "unknown")


@dataclass(frozen=True, eq=False)
class PanopticGrounding:
    """Everything that a caption names, with masks.

    Attributes
    ----------
    segments
        One for each noun phrase, in the caption's order; absent phrases too.
    id_map
        (H, W) int32: every pixel's one segment or instance, 0 = none.
    timings
        Seconds by stage.
    """

    caption: str
    segments: tuple[Segment, ...]
    id_map: np.ndarray
    timings: Mapping[str, float] = field(default_factory=dict)

    @property
    def found(self) -> tuple[Segment, ...]:
        """The segments that have a mask."""
        return tuple(s for s in self.segments if s.found)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.id_map.shape[1], self.id_map.shape[0]

    def painted(self, id: int) -> np.ndarray:
        """Return the pixels of one id, (H, W) bool."""
        return self.id_map == id
