"""Select the chunks of a sentence that name something visible."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import lexicon

if TYPE_CHECKING:
    from spacy.tokens import Token

    from .chunks import Chunk


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
        or (lexicon.is_abstract(lemma(head)) and not _has_colour(chunk))
        or _is_game(chunk)
    )


def lemma(token: Token) -> str:
    """Return the lemma in lower case; the word itself if the pipeline gives none."""
    if token.lower_ in lexicon.PLURAL_IN_FORM:
        return token.lower_  # "scissors" has no singular
    return (token.lemma_ or token.text).lower()


def is_pronoun_like(token: Token) -> bool:
    """Return whether a noun is used as a pronoun ("a green one", "nobody")."""
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


def _has_colour(chunk: Chunk) -> bool:
    """Return whether a colour makes it a thing: "a red second"."""
    return any(t.lower_ in lexicon.COLOURS for t in chunk.tokens[:-1])


def _is_game(chunk: Chunk) -> bool:
    """Return whether it is a game: "playing baseball", "a game of frisbee"."""
    head = chunk.head
    governor = head.head.head if head.dep_ == "pobj" and head.head.lower_ == "of" else head.head
    played = head.dep_ == "dobj" or (head.dep_ == "pobj" and head.head.lower_ == "of")
    return (
        played
        and len(chunk.tokens) == 1
        and head.tag_ == "NN"
        and lemma(governor) in (lexicon.PLAYING)
    )
