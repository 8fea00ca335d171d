"""Tell whether a referring expression names several things, and which."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from .spacy_model import parse

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_JOINS = re.compile(r"[,;&/+]|\b(?:and|or|plus)\b|\.\s*\w", re.IGNORECASE)
_NOUNS = ("NOUN", "PROPN", "PRON")
# after these a conjunct belongs to the first noun: "the cup on the left and the plate"
_POSITIONS = frozenset(
    "left right top bottom middle center centre front back side corner edge tall large".split()
)


def named_things(phrase: str) -> tuple[str, ...]:
    """Return the parts of a phrase that names several things; the phrase alone if it names one.

    A conjunction inside a description joins no things: "the black and white cat", "the dog between
    the cat and the car". Phrases without a conjunction, comma or full stop are not parsed.

    Examples
    --------
    >>> named_things("the red apple and the car")
    ('the red apple', 'the car')
    >>> named_things("the black and white cat")
    ('the black and white cat',)
    """
    if not _JOINS.search(phrase):
        return (phrase,)
    doc = parse(phrase)
    starts = sorted({0, *(_start(head) for head in _later_heads(doc))})
    parts = (_text(doc, a, b, phrase) for a, b in zip(starts, [*starts[1:], len(doc)], strict=True))
    return tuple(filter(None, parts))


def _later_heads(doc: Doc) -> Iterator[Token]:
    """Yield the noun of every thing after the first."""
    for number, sentence in enumerate(doc.sents):
        root = sentence.root
        if root.pos_ not in _NOUNS:  # "the boy and girl holding hands"
            root = next((t for t in root.children if t.dep_ == "nsubj"), root)
        if number and root.pos_ in _NOUNS:
            yield root
        yield from (t for t in root.conjuncts if not _is_in_description(root, t))
        yield from (t for t in root.children if t.dep_ == "appos" and _is_another(root, t))


def _is_in_description(head: Token, conjunct: Token) -> bool:
    """Whether a preposition's object stands between: "the man with a hat and a coat"."""
    between = head.doc[head.i + 1 : conjunct.i]
    objects = [t for t in between if t.dep_ == "pobj"]
    return bool(objects) and objects[-1].lower_ not in _POSITIONS


def _is_another(head: Token, other: Token) -> bool:
    """Whether an apposition is a list's next thing, unlike "the dog, a poodle"."""
    articles = [{t.lower_ for t in one.children if t.dep_ == "det"} for one in (head, other)]
    return other.pos_ in _NOUNS and other.lower_ != "one" and articles[0] == articles[1]


def _start(head: Token) -> int:
    return min(t.i for t in head.subtree) if head.dep_ != "ROOT" else head.left_edge.i


def _text(doc: Doc, start: int, stop: int, phrase: str) -> str:
    while stop > start and (doc[stop - 1].is_punct or doc[stop - 1].dep_ == "cc"):
        stop -= 1
    if stop == start:
        return ""
    return phrase[doc[start].idx : doc[stop - 1].idx + len(doc[stop - 1])]
