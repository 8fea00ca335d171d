"""Determine what a referring expression names: one thing, several of a kind, or several kinds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from ..errors import MultiObjectError
from . import lexicon
from .noun_phrases import NounPhrase, noun_phrases, top_level
from .spacy_model import parse

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

MAX_WORDS, MAX_CHARACTERS = 200, 2000
_JOINS = re.compile(r"[,;&/+]|\b(?:and|or|plus)\b|\.\s*\w", re.IGNORECASE)
_ALSO = re.compile(
    r"\b(?:as well as|(?:along|together) with|in addition to|and also|(?:and )?then)\b"
    r"|(?<=\w{3})\s*/\s*(?=\w{3})",  # "the cup/the plate", not "24/7"
    re.IGNORECASE,
)
_SIDE_BY_SIDE = re.compile(
    r"\b(?:the|an?)(?:\s+(?!(?:about|above|across|against|among|around|at|behind|below|beneath|beside"
    r"|between|by|for|from|in|inside|into|like|near|of|off|on|onto|outside|over|past|to|under|with"
    r"|within|without)\b)[\w-]+)+?\s+(?=(?:the|an?)\b)",
    re.IGNORECASE,
)
"""A noun and the next article without a preposition between; only a hint."""
_OPPOSITES = tuple(
    frozenset(words.split())
    for words in (
        "left middle central right leftmost rightmost",
        "top upper middle bottom lower topmost bottommost",
        "front back rear nearest closest furthest farthest",
        "first second third fourth fifth last",
        "large small big little largest smallest biggest",
        "tall short tallest shortest",
    )
)
_OF_EACH = re.compile(
    r"\b(the|an?)\s+(\w+)\s+(?:and|or|&)\s+(?:(?:the|an?)\s+)?(\w+)"
    r"((?:\s+(?!(?:and|or|of|in|on|at)\b)[\w-]+)+)",
    re.IGNORECASE,
)
_NOUNS = ("NOUN", "PROPN", "PRON")
# after these a conjunct belongs to the first noun: "the cup on the left and the plate"
_POSITIONS = frozenset(
    "left right top bottom middle center centre front back side corner edge tall large".split()
)
_MANY = re.compile(
    rf"\b(?:\d+|{'|'.join([*lexicon.NUMBERS, *lexicon.EVERY, *lexicon.VAGUE])}"
    r"|\w+[^\Wsu]s|people|(?:\w*wo)?men|children|geese|mice|teeth|feet|sheep)\b",
    re.IGNORECASE,
)
"""Words without which no phrase means several things of a kind; only a hint."""
_ONLY = re.compile(r"^(?:only|just|exactly)\s+", re.IGNORECASE)
DOZEN = re.compile(r"\b(?:an? )?dozen\b(?! of)", re.IGNORECASE)
_BOTH = re.compile(r"^(?:both|either)\s+(?=(?:the|an?)\b)", re.IGNORECASE)
# "the bunch of bananas" is one place; "a pair of cups" and "both of the cups" are two
_ONE_GROUP = re.compile(
    rf"\b(?:{'|'.join(lexicon.COLLECTIVE - lexicon.NUMBERS.keys())})\s+of\b", re.IGNORECASE
)
_NO_ONE = (
    (re.compile(r"^(?:every|any)(?:thing|one|body)\b", re.I), "it names no thing; name each"),
    (
        re.compile(r"\band the (?:first|second|third|fourth|fifth|last) (?:from|of|on|in)\b", re.I),
        "it names a second one without its noun; name each thing by itself",
    ),
)
"""Words that do not name one thing, and why."""
_ARTICLES = ("the ", "a ", "an ")
_ORDINALS = frozenset("first second third fourth fifth last next".split())


@dataclass(frozen=True)
class NamedThing:
    """A part of a phrase that is found by itself.

    Attributes
    ----------
    text : As typed.
    several : The noun phrase, where it means more than one thing of its kind ("both cups").
    unclear : Why it cannot be known which of the kind are meant, or empty.
    """

    text: str
    several: NounPhrase | None = None
    unclear: str = ""


@lru_cache(maxsize=1024)
def named_things(phrase: str) -> tuple[NamedThing, ...]:
    """Return the parts of a phrase, more than one where it names things of several kinds.

    A conjunction inside a description joins no things: "the black and white cat", "the dog between
    the cat and the car". Phrases without a conjunction, comma, full stop, plural or number are not
    parsed, unless two articles stand side by side: "the red apple the car".

    Examples
    --------
    >>> [thing.text for thing in named_things("the red apple and the car")]
    ['the red apple', 'the car']
    >>> [thing.text for thing in named_things("the black and white cat")]
    ['the black and white cat']
    >>> (both,) = named_things("both cups")
    >>> both.several.lemma
    'cup'

    Raises MultiObjectError for more than `MAX_WORDS` words or `MAX_CHARACTERS` characters.
    """
    words = _ALSO.sub(" and ", phrase).split()
    # the parser's time grows faster than their number; "a-b-c" is many words to it
    if len(words) > MAX_WORDS or len(phrase) > MAX_CHARACTERS:
        raise MultiObjectError(
            f"the phrase has {len(words):,} words and {len(phrase):,} characters; expected at most "
            f"{MAX_WORDS} and {MAX_CHARACTERS:,}: name one thing"
        )
    joined = _OF_EACH.sub(_one_each, " ".join(words))
    if _SIDE_BY_SIDE.search(joined):
        joined = _with_and(joined)
    parts = [joined]
    if _JOINS.search(joined):
        doc = parse(parts[0])
        starts = sorted({0, *(_start(head) for head in _later_heads(doc))})
        stops = [*starts[1:], len(doc)]
        texts = (_text(doc, a, b, parts[0]) for a, b in zip(starts, stops, strict=True))
        parts = [text for text in texts if text]
    parts = [_BOTH.sub("", parts[0]), *parts[1:]] if len(parts) > 1 else [phrase]
    return tuple(thing for part in parts for thing in _read_part(part))


def _one_each(found: re.Match[str]) -> str:
    """Return "the left cup and the right cup" for "the left and right cup".

    One thing can be black and white, but not left and right.
    """
    article, one, other, rest = found.groups()
    pair = {one.lower(), other.lower()}
    if len(pair) == 2 and any(pair <= words for words in _OPPOSITES):
        return f"{article} {one}{rest} and {article} {other}{rest}"
    return found[0]


def _with_and(phrase: str) -> str:
    """Return "the red apple and the car" for "the red apple the car".

    Not where a clause may follow its noun: "the car the man drives", "the toy the dog bites".
    """
    doc = parse(phrase)
    last = doc[-1]
    compound = any(t.dep_ == "compound" and t.tag_ == "NN" for t in last.children)
    if last.pos_ not in _NOUNS or (compound and last.tag_ == "NNS"):
        return phrase
    if any(t.dep_ in ("relcl", "acl", "aux", "dative") for t in doc):
        return phrase
    ends = [
        t.idx - 1
        for t in doc[1:-1]
        if t.tag_ == "DT" and _ends_thing(t.nbor(-1)) and t.nbor(1).pos_ != "ADP"
    ]
    for end in reversed([n for n in ends if phrase[n + 1 :].lower().startswith(_ARTICLES)]):
        phrase = f"{phrase[:end]} and{phrase[end:]}"
    return phrase


def _ends_thing(token: Token) -> bool:
    """Whether a thing's words may end here; "pear" is a verb to the parser at times."""
    return token.pos_ in (*_NOUNS, "VERB") and token.dep_ not in ("amod", "predet")


def _read_part(text: str) -> list[NamedThing]:
    """Return whether a part means several of its kind; "red and green cups" are two kinds."""
    if why := next((why for words, why in _NO_ONE if words.search(text)), ""):
        return [NamedThing(text, None, why)]
    bare = DOZEN.sub("12", _ONLY.sub("", text))
    if not _MANY.search(bare):
        return [NamedThing(text)]
    try:
        tops = top_level(noun_phrases(bare))
    except MultiObjectError:
        parse(bare)  # raises where there is no parser; else the words are not English
        return [NamedThing(text)]
    kinds = [_with_number(one) for one in tops if one.span[1] == tops[0].span[1]]
    if not kinds or kinds[0].span[0] or not any(_means_several(one) for one in kinds):
        return [NamedThing(text)]
    if len(kinds) > 1:
        return [NamedThing(one.text, one if one.plural else None) for one in kinds]
    return [NamedThing(text, kinds[0], _unclear(bare, kinds[0]))]


def _with_number(phrase: NounPhrase) -> NounPhrase:
    """The phrase, plural where only its first word says so: "all the fish"."""
    counts = phrase.text.lower().startswith(("all ", "both "))
    return replace(phrase, plural=True) if counts and lexicon.is_thing(phrase.lemma) else phrase


def _means_several(phrase: NounPhrase) -> bool:
    """Whether things are meant one by one, not a group or an extent ("the clouds")."""
    words = phrase.text.lower().split()
    said = lexicon.EVERY | lexicon.NUMBERS.keys()
    if not phrase.plural or _ONE_GROUP.search(phrase.text):
        return False
    if any(word in said or word.isdecimal() for word in words):
        return True
    # a word before it may only look like a number: "the 24/7 sign"
    named = phrase.head.lower() != phrase.lemma or phrase.lemma == "people"
    return named and lexicon.is_thing(phrase.lemma, phrase.plural)


def _unclear(text: str, phrase: NounPhrase) -> str:
    words = phrase.text.lower().split()
    if (lexicon.VAGUE | {"or", "least", "than"}) & set(words):  # "three or four cups"
        return "it does not say how many; give a number or say 'all'"
    if lexicon.EXCEPTED.search(text) or "other" in words:
        return "it leaves things out; name those that are meant"
    if more := re.match(r"\W*(?:and|or)\b.*", text[phrase.end :], re.IGNORECASE):
        return f"it is unclear what {more[0].strip()!r} belongs to; name each thing by itself"
    if _ORDINALS & set(words):
        return "it counts in a row; name them one by one, as in 'the first cup from the left'"
    if {"0", "zero"} & set(words):
        return "it names none"
    return ""


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
    articles = [
        {re.sub("^an$", "a", t.lower_) for t in one.children if t.dep_ == "det"}
        for one in (head, other)
    ]
    return other.pos_ in _NOUNS and other.lower_ != "one" and articles[0] == articles[1]


def _start(head: Token) -> int:
    return min(t.i for t in head.subtree) if head.dep_ != "ROOT" else head.left_edge.i


def _text(doc: Doc, start: int, stop: int, phrase: str) -> str:
    while stop > start and (doc[stop - 1].is_punct or doc[stop - 1].dep_ == "cc"):
        stop -= 1
    if stop == start:
        return ""
    return phrase[doc[start].idx : doc[stop - 1].idx + len(doc[stop - 1])]
