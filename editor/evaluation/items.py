"""One question a benchmark asks: a phrase about a picture, and the true answer."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..errors import GroundbrushError
from .true_masks import Truth

KINDS = ("name", "attribute", "relation", "ordinal", "reasoning", "absent")
"""Query types: what singles the thing out; ``absent``: it is not there."""

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Item:
    """A referring expression with its truth.

    Parameters
    ----------
    id
        Unique within the benchmark; results are kept under it.
    image
        The picture's file.
    phrase
        The referring expression.
    split
        Such as ``val`` or ``testA``.
    kind
        One of :data:`KINDS`.
    box
        True box, xyxy half-open pixels, or None where the benchmark has none.
    truth
        True mask, or None.
    group
        A benchmark's own grouping, such as ReasonSeg's ``short`` and ``long``; or empty.
    size_wh
        The picture's size as the benchmark knows it, or None.
    target
        What the phrase names, where two phrases may name one thing; or empty.
    """

    id: str
    image: Path
    phrase: str
    split: str
    kind: str
    box: Box | None = None
    truth: Truth | None = None
    group: str = ""
    size_wh: tuple[int, int] | None = None
    target: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.phrase, str) or not self.phrase.strip():
            raise GroundbrushError(f"item {self.id}: the phrase is {self.phrase!r}; expected words")
        if self.kind not in KINDS:
            raise GroundbrushError(
                f"item {self.id}: kind {self.kind!r} given; expected one of {', '.join(KINDS)}"
            )
        if self.box is not None and not (self.box[0] <= self.box[2] and self.box[1] <= self.box[3]):
            raise GroundbrushError(
                f"item {self.id}: box {self.box} given; expected xyxy pixels, x0 <= x1, y0 <= y1"
            )
