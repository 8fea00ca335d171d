"""Find where the relation after a noun ends: the words that still single it out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import lexicon
from .chunks import measures_preposition
from .selection import lemma

if TYPE_CHECKING:
    from spacy.tokens import Doc, Token

    from .chunks import Chunk

# A longer relation describes the picture, not the thing.
MAX_WORDS = 24

_RELATION_DEPS = frozenset("prep acl relcl advmod amod advcl".split())
_NEEDS_MORE = frozenset("CCONJ DET ADP SCONJ AUX PART PUNCT PRON".split())


def relation_end(doc: Doc, chunk: Chunk, pictures: list[Chunk]) -> int:
    """Return the index one past the last word of a chunk's referring expression.

    `pictures` are chunks that mean the picture itself: a relation that the parser attached to them
    ("a photo of a dog on a sofa") belongs to the thing before it.
    """
    own = [t for noun in (chunk.head, *chunk.units) for t in noun.rights if t.i >= chunk.end]
    shown = [t for p in pictures for t in p.head.rights if t.left_edge.i == chunk.end]
    roots = [t for t in own + shown if t.dep_ in _RELATION_DEPS]
    roots += [*_shown(chunk, pictures), *_compared(doc, chunk)]
    if measures_preposition(chunk.head):
        roots.append(chunk.head.head)
    kept = {i for root in roots for i in _kept(root)}
    end = _run(chunk.end, kept)
    verb = _participle(chunk, end)
    if verb is not None:
        end = _run(end, kept | _kept(verb))
    end = _trimmed(doc, chunk.end, end)
    opened = sum(t.text == '"' for t in doc[chunk.end : end]) % 2 == 1
    end += opened and end < len(doc) and doc[end].text == '"'
    return end if end - chunk.start <= MAX_WORDS else chunk.end


def _shown(chunk: Chunk, pictures: list[Chunk]) -> list[Token]:
    """Return relations of a shown thing that the parser attached to "shows"."""
    verb = chunk.head.head
    shows = chunk.head.dep_ == "dobj" and lemma(verb) in lexicon.SHOWING
    if not shows or not any(p.head.head.i == verb.i for p in pictures):
        return []
    return [t for t in verb.rights if t.dep_ == "prep" and t.left_edge.i == chunk.end]


def _compared(doc: Doc, chunk: Chunk) -> list[Token]:
    """Return "nearest" of "the boat nearest to the shore", which parsers attach to the verb."""
    return [
        t
        for t in doc[chunk.end : chunk.end + 1]
        if t.tag_ in ("JJS", "RBS", "JJR", "RBR")
        and any(c.dep_ == "prep" and c.i == t.i + 1 for c in t.rights)
    ]


def _run(start: int, kept: set[int]) -> int:
    """Return the end of a run of kept words."""
    while start in kept:
        start += 1
    return start


def _participle(chunk: Chunk, end: int) -> Token | None:
    """Return a participle right after its subject: "A cat sitting" may parse as a sentence."""
    verb = chunk.head.head
    if chunk.head.dep_ not in ("nsubj", "nsubjpass") or verb.tag_ not in ("VBG", "VBN"):
        return None
    helped = any(t.dep_ in ("aux", "auxpass") for t in verb.lefts)
    return verb if verb.i == end and not helped else None


def _kept(root: Token) -> set[int]:
    """Return the indices of a relation's words without lists and comments."""
    together = root.lower_ in lexicon.TOGETHER
    kept: set[int] = set()
    waiting = [root]
    while waiting:
        token = waiting.pop()
        if _says_nothing(token) or (not together and _starts_something_else(token)):
            continue
        kept.add(token.i)
        # of a participle taken for the main verb, only what follows it
        waiting += [t for t in token.children if t.i >= root.left_edge.i and t.dep_ != "nsubj"]
        waiting += [t for t in token.lefts if t.dep_ == "nsubj" and root.dep_ == "relcl"]
    return kept


def _says_nothing(token: Token) -> bool:
    """Return whether a preposition's object singles nothing out: "at night", "behind it"."""
    if token.dep_ != "prep":
        return False
    objects = [t for t in token.rights if t.dep_ == "pobj"]
    return any(
        t.tag_ == "PRP"
        or (lexicon.is_abstract(lemma(t)) and lemma(t) not in lexicon.PICTURE)
        or lemma(t) in ("image", "picture", "photo", "photograph", "scene", "shot", "view")
        for t in objects
    )


def _starts_something_else(token: Token) -> bool:
    """Return whether a word begins the next item of a list or a comment between commas."""
    if token.dep_ == "conj" and token.pos_ != "ADJ":
        return token.i > token.head.i and not _in_front_of_noun(token)
    return token.text in (",", ";", ":", ".") and not _in_front_of_noun(token.head)


def _in_front_of_noun(token: Token) -> bool:
    """Return whether a word precedes its noun: "white" of "a black and white cat"."""
    while token.dep_ == "conj":
        token = token.head
    before = token.i < token.head.i
    return before and token.dep_ in ("amod", "compound", "nmod", "nummod", "poss")


def _trimmed(doc: Doc, start: int, end: int) -> int:
    """Remove words at the end that have lost their complements."""
    while end > start:
        last = doc[end - 1]
        waits = last.head.i >= end or any(t.i >= end for t in last.children) or last.dep_ == "cc"
        if last.pos_ not in _NEEDS_MORE or not waits or last.text == '"':
            break
        end -= 1
    return end
