"""Split a parsed sentence into chunks that name one kind of thing each; select what is visible."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import lexicon

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

_MODIFIER_DEPS = frozenset("det predet poss amod nummod compound nmod quantmod".split())
# "punct" of a noun is a parser error
_NOUN_DEPS = frozenset(
    "ROOT nsubj nsubjpass dobj pobj attr appos conj dative oprd dep punct".split()
)


@dataclass(frozen=True)
class Chunk:
    """One noun with the words before it.

    Attributes
    ----------
    tokens : In the sentence's order, the head last. Not always neighbours: "red and green apples"
        holds "red apples".
    units : Nouns that count or group it ("slice", "group"); they own relations too.
    quantifier : "one" of "one of the dogs", else empty.
    """

    tokens: tuple[Token, ...]
    units: tuple[Token, ...] = ()
    quantifier: str = ""

    @property
    def head(self) -> Token:
        """The noun."""
        return self.tokens[-1]

    @property
    def start(self) -> int:
        """Index of the first token."""
        return self.tokens[0].i

    @property
    def end(self) -> int:
        """One past the index of the head."""
        return self.tokens[-1].i + 1


def find_chunks(doc: Doc) -> list[Chunk]:
    """Return the chunks of a sentence: counted groups whole, conjunctions split."""
    chunks = _with_elided(doc, _merged(doc, _base(doc)))
    return [piece for chunk in chunks for piece in _split(chunk)]


def possessors(chunk: Chunk) -> list[Chunk]:
    """Return the nouns inside a chunk that own it: "the girl" of "the girl's bicycle"."""
    return [
        Chunk(tuple(t for t in chunk.tokens if token.left_edge.i <= t.i <= token.i))
        for token in chunk.tokens
        # a bare one is a kind: "children's books"
        if token.dep_ == "poss"
        and (token.pos_ == "PROPN" or (token.pos_ == "NOUN" and token.left_edge.i < token.i))
    ]


def _base(doc: Doc) -> list[Chunk]:
    """Return spaCy's noun chunks, and the nouns with an article that it misses."""
    spans = {span.root.i: (span.start, span.root.i + 1) for span in doc.noun_chunks}
    taken = {i for start, end in spans.values() for i in range(start, end)}
    for token in doc:
        noun = token.pos_ in ("NOUN", "PROPN") and (
            token.dep_ in _NOUN_DEPS
            or measures_preposition(token)
            # subject and verb parsed as one noun: "two white sheep graze"
            or (token.dep_ == "compound" and token.head.pos_ == "VERB")
        )
        one = token.lower_ == "one" and token.i > 0 and token.nbor(-1).pos_ == "ADJ"
        if token.i in taken or not (noun or one):
            continue
        start = token.i
        while start and start - 1 not in taken:
            if doc[start - 1].head != token or doc[start - 1].dep_ not in _MODIFIER_DEPS:
                break
            start -= 1
        # a bare one is mostly a verb taken for a noun
        if start < token.i or token.dep_ == "pobj":
            spans[token.i] = (start, token.i + 1)
            taken.update(range(start, token.i + 1))
    chunks = []
    for start, end in sorted(spans.values()):
        while start < end - 1 and (doc[start].is_punct or doc[start].tag_ == "WP$"):
            start += 1
        chunks += _separated(Chunk(tuple(doc[start:end])))
    return chunks


def measures_preposition(noun: Token) -> bool:
    """Return whether the parser read "a clock above a shelf" as "a mile above a shelf"."""
    return noun.dep_ == "npadvmod" and noun.head.pos_ == "ADP" and noun.head.i == noun.i + 1


def _separated(chunk: Chunk) -> list[Chunk]:
    """Split frequent misparses: "a sink and white cupboards", "car, bus, rocket"."""
    if _ends_in_verb(chunk):
        return [Chunk(chunk.tokens[:-1])]
    for k, token in enumerate(chunk.tokens[:-1]):
        before = chunk.tokens[:k]
        noun_before = k and before[-1].pos_ in ("NOUN", "PROPN")
        if token.text == "," and noun_before and before[-1].lower_ not in lexicon.CONTRAST:
            return [Chunk(before), *_separated(Chunk(chunk.tokens[k + 1 :]))]
        if (
            token.pos_ == "CCONJ"
            and len(before) >= 2
            and before[0].lower_ in ("a", "an")
            and before[-1].pos_ == "NOUN"
            and before[-1].lower_ not in lexicon.CONTRAST
            and chunk.head.tag_ in ("NNS", "NNPS")
        ):
            return [Chunk(before), *_separated(Chunk(chunk.tokens[k + 1 :]))]
    return [chunk]


def _ends_in_verb(chunk: Chunk) -> bool:
    """Return whether "A kitten sleeps" was parsed as one noun: a plural cannot follow "a"."""
    first, last = chunk.tokens[0], chunk.tokens[-1]
    return (
        len(chunk.tokens) > 2
        and first.lower_ in ("a", "an")
        and last.tag_ == "NNS"
        and last.lemma_.lower() != last.lower_
        and chunk.tokens[-2].tag_ == "NN"
    )


def _merged(doc: Doc, chunks: list[Chunk]) -> list[Chunk]:
    """Join "a group" and "people", "one" and "the dogs"."""
    joined: list[Chunk] = []
    for chunk in reversed(chunks):
        unit = chunk.head.lemma_.lower() in lexicon.COLLECTIVE | lexicon.UNIT
        following = joined[-1] if joined else None
        of_between = (
            following and following.start == chunk.end + 1 and doc[chunk.end].lower_ == "of"
        )
        if unit and following and of_between:
            joined[-1] = replace(
                following,
                tokens=tuple(doc[chunk.start : following.end]),
                units=(chunk.head, *following.units),
            )
        elif following and chunk.end == following.start - 1 and _quantifies(chunk.head):
            joined[-1] = _quantified(doc, following, chunk.start)
        else:
            joined.append(chunk)
    return [_with_quantifier(doc, chunk) for chunk in reversed(joined)]


def _quantifies(token: Token) -> bool:
    is_last = token.i + 1 >= len(token.doc)
    compares = token.tag_ == "JJR" and token.i > 0 and token.nbor(-1).lower_ == "the"
    picks = token.lower_ in lexicon.QUANTIFIERS or token.tag_ == "JJS" or compares
    return picks and not is_last and token.nbor().lower_ == "of"


def _quantified(doc: Doc, chunk: Chunk, start: int) -> Chunk:
    return replace(
        chunk, tokens=tuple(doc[start : chunk.end]), quantifier=doc[chunk.start - 2].lower_
    )


def _with_quantifier(doc: Doc, chunk: Chunk) -> Chunk:
    """Include a quantifier that is no chunk by itself."""
    start = chunk.start - 2
    if chunk.quantifier or start < 0 or not _quantifies(doc[start]):
        return chunk
    if doc[start].tag_ in ("JJS", "JJR") and start and doc[start - 1].lower_ == "the":
        start -= 1  # "the smallest of the bears"
    return _quantified(doc, chunk, start)


def _with_elided(doc: Doc, chunks: list[Chunk]) -> list[Chunk]:
    """Add the elided noun of "a red and a green apple"."""
    out: list[Chunk] = []
    for chunk in chunks:
        k = chunk.start - 2
        families = {lexicon.CONTRAST.get(t.lower_, -1) for t in chunk.tokens[:-1]} - {-1}
        if (
            k >= 1
            and doc[k + 1].pos_ == "CCONJ"
            and lexicon.CONTRAST.get(doc[k].lower_) in families
            and (doc[k - 1].pos_ in ("DET", "NUM") or doc[k - 1].dep_ == "poss")
        ):
            if out and out[-1].end > k - 1:
                out.pop()
            out.append(Chunk((doc[k - 1], doc[k], chunk.head)))
        out.append(chunk)
    return out


def _split(chunk: Chunk) -> list[Chunk]:
    """Split "red and green apples" into "red apples", "green apples"; keep all else whole."""
    segments = _segments(chunk)
    last = segments[-1]
    at = next((k for k, t in enumerate(last[:-1]) if t.lower_ in lexicon.CONTRAST), -1)
    if len(segments) == 1 or at < 0 or not all(segments):
        return [chunk]
    while last[at].lower_ in lexicon.SHADES and last[at + 1].lower_ in lexicon.COLOURS:
        at += 1
    contrasted = [segment[-1].lower_ for segment in segments[:-1]] + [last[at].lower_]
    same_kind = len({lexicon.CONTRAST.get(word, word) for word in contrasted}) == 1
    own = any(t.pos_ in ("DET", "NUM") for segment in segments[1:] for t in segment)
    counted = any(t.pos_ == "NUM" for t in segments[0])
    plural = chunk.head.tag_ in ("NNS", "NNPS")
    # each zebra is black and white; "three red and green balls" does not say which is which
    pattern = any(t.lower_ in lexicon.PATTERNS for t in last[at + 1 : -1])  # each has all colours
    if (
        not same_kind
        or pattern
        or set(contrasted) == {"black", "white"}
        or not (own or (plural and not counted))
    ):
        return [chunk]
    tail = last[at + 1 :]
    first, k = segments[0], 0 if own else len(segments[0]) - 1
    while k and (first[k - 1].lower_ in lexicon.SHADES or first[k - 1].pos_ == "ADV"):
        k -= 1
    # words before the first contrasted one are shared by all: "the small" (red and green apples)
    starts = [first[k:], *segments[1:-1], last[: at + 1]]
    return [replace(chunk, tokens=(*first[:k], *start, *tail)) for start in starts]


def _segments(chunk: Chunk) -> list[tuple[Token, ...]]:
    """Split a chunk with a conjunction at its commas and conjunctions."""
    if not any(t.pos_ == "CCONJ" for t in chunk.tokens):
        return [chunk.tokens]
    segments: list[list[Token]] = [[]]
    for token in chunk.tokens:
        if token.pos_ == "CCONJ" or token.text == ",":
            if segments[-1]:
                segments.append([])
        else:
            segments[-1].append(token)
    return [tuple(segment) for segment in segments]


def names_a_thing(chunk: Chunk) -> bool:
    """Return whether a chunk names something visible that is said to be there."""
    head = chunk.head
    if head.pos_ not in ("NOUN", "PROPN") and head.tag_ not in ("NN", "NNS", "NNP", "NNPS"):
        return False
    if not any(c.isalpha() for c in head.text) or is_pronoun_like(head):
        return False
    return not (
        is_picture(chunk)
        or _is_position(chunk)
        or _is_absent(chunk)
        or _is_lettering(chunk)
        # a colour makes it a thing: "a red second"
        or (
            lexicon.is_abstract(lemma(head))
            and not any(t.lower_ in lexicon.COLOURS for t in chunk.tokens[:-1])
        )
        or _is_game(chunk)
    )


def lemma(token: Token) -> str:
    """Return the lemma in lower case; the word itself if the pipeline gives none."""
    if token.lower_ in lexicon.PLURAL_IN_FORM:
        return token.lower_  # "scissors" has no singular
    return (token.lemma_ or token.text).lower()


def is_pronoun_like(token: Token) -> bool:
    """Return whether a noun is used as a pronoun ("a green one", "everything")."""
    return token.lower_ in lexicon.PRONOUN_LIKE


def is_picture(chunk: Chunk) -> bool:
    """Return whether a chunk means the picture itself: "a photo of", not "two photos"."""
    head = chunk.head
    name = "close-up" if ends_close_up(chunk) else lemma(head)
    if name not in lexicon.PICTURE | lexicon.DEPICTION or head.tag_ in ("NNS", "NNPS"):
        return False
    if name not in lexicon.DEPICTION:
        return True
    if any(t.lower_ in ("of", "showing", "depicting") for t in head.children if t.i > head.i):
        return not _is_held(head)
    if name not in lexicon.PICTURE:
        return head.dep_ in ("nsubj", "nsubjpass") and lemma(head.head) in lexicon.SHOWING
    return not _is_held(head) and not any(t.dep_ in ("prep", "acl") for t in head.rights)


def ends_close_up(chunk: Chunk) -> bool:
    """Return whether the last word is "close-up", which is three spaCy tokens."""
    return "".join(t.lower_ for t in chunk.tokens[-3:]).endswith(("close-up", "closeup"))


def _is_held(head: Token) -> bool:
    """Return whether it is a thing in the picture: "a woman holding a photo of a dog"."""
    return head.dep_ == "dobj" and lemma(head.head) not in ("see", "show", "view")


def _is_position(chunk: Chunk) -> bool:
    name = lemma(chunk.head)
    if name in lexicon.PLACE:
        return True
    plain = all(t.lower_ in lexicon.PLACE_WORDS for t in chunk.tokens[:-1])
    return name in lexicon.PLACE_OR_THING and plain and chunk.head.dep_ == "pobj"


def _is_absent(chunk: Chunk) -> bool:
    before = chunk.start - 1
    denied = chunk.tokens[0].lower_ in ("no", "not", "neither")
    return denied or (before >= 0 and chunk.head.doc[before].lower_ in lexicon.ABSENT)


def _is_lettering(chunk: Chunk) -> bool:
    """Return whether a chunk is written in the picture: 'a sign that says "stop"'."""
    doc = chunk.head.doc
    opening = [t.i for t in doc[: chunk.start] if t.text == '"']
    if len(opening) % 2 == 0:
        return False
    before = opening[-1] - 1
    while before >= 0 and doc[before].is_punct:
        before -= 1
    return before >= 0 and lemma(doc[before]) in lexicon.LETTERING


def _is_game(chunk: Chunk) -> bool:
    """Return whether it is a game: "playing baseball", "a game of frisbee"."""
    head = chunk.head
    of = head.dep_ == "pobj" and head.head.lower_ == "of"
    if not (of or head.dep_ == "dobj") or len(chunk.tokens) != 1 or head.tag_ != "NN":
        return False
    return lemma(head.head.head if of else head.head) in lexicon.PLAYING
