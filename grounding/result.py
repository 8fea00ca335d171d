"""The result of grounding a phrase: mask, box, score, status and reason. It computes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from .errors import GroundingError
from .localize.maps import Box, normalise_map, token_map_to_image

__all__ = ["STATUSES", "Box", "Candidate", "Grounding"]

STATUSES = ("found", "absent", "ambiguous", "uncertain")


@dataclass(frozen=True, eq=False)
class Candidate:
    """Another object that the phrase could mean.

    Attributes
    ----------
    box : xyxy, half-open, in the picture's pixels.
    score : In [0, 1], on the scale of `Grounding.score`.
    mask : (h, w) bool, at most 1024 pixels on the longer side.
    """

    box: Box
    score: float
    mask: np.ndarray


@dataclass(frozen=True, eq=False)
class Grounding:
    """Where a phrase is in a picture.

    Attributes
    ----------
    phrase : The referring expression.
    status : ``found``; ``absent``: the model answers that it is not there; ``ambiguous``: other
        objects match as well, and are candidates; ``uncertain``: the evidence is weak.
    reason : One sentence on the status, and what to try.
    box : xyxy, half-open pixels, of the mask; None when absent.
    mask : (H, W) bool; all False when absent.
    score : In [0, 1]: geometric mean of the presence answer, the share of the map's weight that
        falls on the mask (a half or more counts in full) and SAM's own score. Of a detector: its
        own score.
    candidates : Other objects, best first; when absent, the best guesses.
    instances : The objects of `mask` one by one, best first, where the phrase names several; their
        masks have the picture's size.
    heads : The (layer, head) pairs read, 0-based; empty for a detector.
    query : Which token they were read from: ``"stop"``, ``"expression"`` or ``"prompt"``.
    token_map, region : The combined map (P, Q) float32 and the rectangle of the picture that it
        covers (xyxy). Of a detector: the best score of the boxes that reach into each cell.
    presence : Probability that the phrase is in the picture, by the model's answer; None without a
        presence question. Of a detector: its best score.
    timings : Seconds by stage.
    detection : The detector's box before segmentation; None for an LVLM.
    """

    phrase: str
    status: str
    reason: str
    box: Box | None
    mask: np.ndarray
    score: float
    candidates: tuple[Candidate, ...]
    heads: tuple[tuple[int, int], ...]
    token_map: np.ndarray
    region: Box
    presence: float | None = None
    timings: Mapping[str, float] = field(default_factory=dict)
    detection: Box | None = None
    instances: tuple[Candidate, ...] = ()
    query: str = ""

    def __post_init__(self) -> None:
        if self.status not in STATUSES:
            raise GroundingError(
                f"status {self.status!r} given; expected one of {', '.join(STATUSES)}"
            )
        if self.mask.ndim != 2 or self.mask.dtype != bool:
            raise GroundingError(
                f"mask of {self.mask.dtype} {self.mask.shape} given; expected (H, W) bool"
            )
        if not 0 <= self.score <= 1:
            raise GroundingError(f"score {self.score} given; expected a number in [0, 1]")

    @property
    def found(self) -> bool:
        """Whether there is a mask (found, ambiguous or uncertain)."""
        return self.status != "absent"

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height of the picture."""
        return self.mask.shape[1], self.mask.shape[0]

    @property
    def map(self) -> np.ndarray:
        """The combined map over the picture, (H, W) float32 in [0, 1], computed on access."""
        return normalise_map(token_map_to_image(self.token_map, self.region, self.size_wh))
