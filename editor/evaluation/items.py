"""One question of a benchmark: a phrase about a picture, its query type and the true answer."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import GroundbrushError
from .true_masks import Truth

KINDS = ("name", "attribute", "relation", "ordinal", "reasoning", "absent")
"""Query types: what singles the thing out; ``absent``: it is not there."""

Box = tuple[float, float, float, float]

_ORDINAL = re.compile(
    r"\b(first|second|third|fourth|fifth|sixth|last|[1-9](?:st|nd|rd|th)|(?:one|two|three|four|"
    r"five|[2-9]) (?:from|over|to) (?:the )?(?:left|right|top|bottom|front|back))\b"
)
_RELATION = re.compile(
    r"\b(left|right|top|bottom|upper|lower|middle|centre|center|corner|front|back|rear|behind|"
    r"above|below|under|underneath|beneath|beside|next|near|nearest|nearer|close|closest|closer|"
    r"far|farthest|furthest|between|against|facing|towards?|away|inside|outside|around|across|"
    r"along|over|on|in|at|by|from|leftmost|rightmost|topmost|side|edge|background|foreground|"
    r"opposite|touching|holding|riding)\b"
)
_COLOUR = (
    "red orange yellow green blue purple violet pink brown black white gr[ae]y golden gold silver "
    "beige tan blond[e]? dark light bright colou?red"
)
_LOOK = (
    "small smaller smallest big bigger biggest large larger largest tall taller tallest short "
    "shorter shortest long little tiny huge fat thin young younger old older stripe[sd]? striped "
    "checkered plaid dotted wooden metal glass plastic empty full open closed whole half sliced "
    "round square wearing shirt hat cap jacket coat dress suit tie glasses hair beard shorts pants "
    "jeans sweater vest standing sitting lying walking running looking eating smiling not with"
)
_ATTRIBUTE = re.compile(r"\b(" + "|".join(f"{_COLOUR} {_LOOK}".split()) + r")\b")
_REASONING = re.compile(
    r"\?|^(what|which|where|who|whose)\b|\b(used (?:to|for)|can be|could|would|should|might|likely|"
    r"something|because|in order to)\b"
)


@dataclass(frozen=True, eq=False)
class Item:
    """A referring expression with its truth.

    Parameters
    ----------
    id : Unique within the benchmark.
    split : Such as ``val`` or ``testA``.
    kind : One of :data:`KINDS`.
    box, truth : True box (xyxy half-open pixels) and mask, or None if the benchmark has none.
    group : The benchmark's own grouping, such as ReasonSeg's ``short`` and ``long``; or empty.
    size_wh : The picture's size according to the benchmark, or None.
    target : Which thing the phrase names, where two phrases may name the same one; or empty.
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


def query_kind(phrase: str) -> str:
    """The query type of an expression, by its words; rules, so the types are approximate.

    The most demanding type that applies: reasoning, then ordinal, relation (its position, absolute
    or relative), attribute (its appearance), name.

    >>> [query_kind(p) for p in ("dog", "red mug", "mug left of the dog", "second dog from left")]
    ['name', 'attribute', 'relation', 'ordinal']
    """
    words = phrase.lower()
    for kind, pattern in (
        ("reasoning", _REASONING),
        ("ordinal", _ORDINAL),
        ("relation", _RELATION),
        ("attribute", _ATTRIBUTE),
    ):
        if pattern.search(words):
            return kind
    return "name"
