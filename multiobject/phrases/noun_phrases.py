"""List the noun phrases of a caption: caption -> parse -> chunks -> things -> phrases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MultiObjectError
from . import lexicon
from .caption import NormalizedCaption, read_caption
from .chunks import (
    Chunk,
    find_chunks,
    is_picture,
    is_pronoun_like,
    lemma,
    measures_preposition,
    names_a_thing,
    possessors,
)
from .spacy_model import parse

if TYPE_CHECKING:
    from spacy.language import Language
    from spacy.tokens import Doc, Token

MAX_PHRASES = 100
"""Of one query, which cannot be cancelled."""
_NO_MODIFIER = frozenset("det predet case punct cc".split())


@dataclass(frozen=True)
class NounPhrase:
    """One kind of thing that a caption names.

    Attributes
    ----------
    text : The words that name it: "the dog"; a conjunction's part stands alone: "red apples".
    span : Half-open character offsets, in the caption as typed, of the shortest stretch that holds
        all of these words.
    head : The noun as written.
    lemma : The noun's lemma in lower case; of "a green one", the noun it stands for.
    plural : Whether more than one is meant.
    modifiers : Words before the noun that describe or count it, in order, without articles.
    refer : `text` with the relative clause or prepositional phrase that singles the thing out: the
        referring expression to ground.
    """

    text: str
    span: tuple[int, int]
    head: str
    lemma: str
    plural: bool
    modifiers: tuple[str, ...]
    refer: str

    @property
    def end(self) -> int:
        """Offset in the caption where `refer` ends."""
        return self.span[1] + len(self.refer) - len(self.text)


def noun_phrases(
    caption: str, *, pipeline: str | Path | Language | None = None
) -> tuple[NounPhrase, ...]:
    """List the things and stuff that a caption names, in its order.

    Left out are pronouns, words for the picture itself ("a photo of", "the background"), positions
    in it ("the left"), abstract nouns, absent things ("no cars") and lettering. Conjunctions are
    split. A relation of a thing stays in `refer`, and the things that it mentions are phrases too.

    Parameters
    ----------
    caption : English text; emoji are ignored.
    pipeline : An installed spaCy pipeline's name, a saved one's folder, or a loaded one. Default:
        the first English one installed. Pipelines are loaded once.

    Raises MultiObjectError for a caption that is empty, longer than 6,000 characters or not
    English, and where no English pipeline with a tagger and a parser can be loaded.

    Examples
    --------
    >>> [p.refer for p in noun_phrases("the dog next to the sofa")]
    ['the dog next to the sofa', 'the sofa']
    >>> [p.text for p in noun_phrases("a photo of red and green apples")]
    ['red apples', 'green apples']

    Notes
    -----
    Noun chunks as spaCy defines them (https://spacy.io/usage/linguistic-features#noun-chunks),
    as used on Panoptic Narrative Grounding's captions.
    """
    plain = read_caption(caption)
    doc = parse(plain.parsed, pipeline)
    chunks = find_chunks(doc)
    pictures = [chunk for chunk in chunks if is_picture(chunk)]
    found: list[NounPhrase] = []
    for chunk in chunks:
        if is_pronoun_like(chunk.head):
            stood_for = _stood_for(plain, doc, chunk, pictures, found)
            found += [stood_for] if stood_for else []
        elif names_a_thing(chunk):
            found += [_phrase(plain, doc, owner, pictures) for owner in possessors(chunk)]
            found.append(_phrase(plain, doc, chunk, pictures))
    return tuple(found)


def phrases_to_find(caption: str) -> tuple[NounPhrase, ...]:
    """Return `noun_phrases`; raise `MultiObjectError` for more than `MAX_PHRASES`."""
    phrases = noun_phrases(caption)
    if len(phrases) > MAX_PHRASES:
        raise MultiObjectError(
            f"the caption names {len(phrases)} things; expected at most {MAX_PHRASES}: split it "
            "and query each part"
        )
    return phrases


def _phrase(plain: NormalizedCaption, doc: Doc, chunk: Chunk, pictures: list[Chunk]) -> NounPhrase:
    text = _written(plain, chunk.tokens)
    end = relation_end(doc, chunk, pictures)
    first, head = chunk.tokens[0], chunk.head
    stop = head.idx + len(head)
    compound = _hyphenated_head(chunk)
    return NounPhrase(
        text=text,
        span=plain.span(first.idx, stop),
        head=plain.text[compound[0].idx : stop],
        lemma="".join(t.lower_ for t in compound[:-1]) + lemma(head),
        plural=_is_plural(chunk),
        modifiers=_modifiers(plain, chunk, len(compound)),
        refer=text + plain.text[stop : doc[end - 1].idx + len(doc[end - 1])],
    )


def _written(plain: NormalizedCaption, tokens: tuple[Token, ...]) -> str:
    """Return words as typed; one blank where words between were left out."""
    parts = []
    for _, run in groupby(enumerate(tokens), key=lambda pair: pair[1].i - pair[0]):
        stretch = [token for _, token in run]
        parts.append(plain.text[stretch[0].idx : stretch[-1].idx + len(stretch[-1])])
    return " ".join(parts)


def _hyphenated_head(chunk: Chunk) -> tuple[Token, ...]:
    """Return the head with the words hyphenated to it: "T-shirt"."""
    k = len(chunk.tokens) - 1
    while k >= 2 and chunk.tokens[k - 1].text == "-" and not chunk.tokens[k - 1].whitespace_:
        k -= 2
    return chunk.tokens[k:]


def _modifiers(plain: NormalizedCaption, chunk: Chunk, head_length: int) -> tuple[str, ...]:
    """Return the modifiers, each with its own modifiers."""
    groups: dict[int, list[Token]] = {}
    before = chunk.tokens[:-head_length]
    if chunk.units or chunk.quantifier:  # "a group of": not a description of the people
        before = before[max(k for k, t in enumerate(before) if t.lower_ == "of") + 1 :]
    for k, token in enumerate(before):
        owner = _owner(token, before)
        if owner is not token and token.pos_ == "DET" and owner.dep_ != "poss":
            continue  # the article of a noun left out: "a red and a green apple"
        if owner.dep_ in _NO_MODIFIER or (owner.dep_ == "poss" and owner.pos_ == "PRON"):
            continue
        following = before[k + 1] if k + 1 < len(before) else token
        if owner is token and token.lower_ in lexicon.SHADES:
            owner = following if following.lower_ in lexicon.COLOURS else token
        groups.setdefault(owner.i, []).append(token)
    return tuple(_written(plain, tuple(group)) for group in groups.values())


def _owner(token: Token, before: tuple[Token, ...]) -> Token:
    """Return the word of the phrase, next to its noun in the parse, that a word belongs to."""
    inside = {t.i for t in before}
    while token.head.i in inside and token.dep_ not in ("conj", "cc", "ROOT"):
        if token.dep_ == "punct" and token.text == ",":
            break
        token = token.head
    return token


def _is_plural(chunk: Chunk) -> bool:
    if (chunk.quantifier or chunk.tokens[0].lower_) in ("every", "each"):
        return True
    if chunk.quantifier:
        several = lexicon.QUANTIFIERS - lexicon.ONE_OF_MANY
        return chunk.quantifier in several and _plural_form(chunk.head)
    plural_unit = bool(chunk.units) and _plural_form(chunk.units[0])
    if chunk.units and lemma(chunk.units[0]) in lexicon.UNIT:
        return plural_unit
    counted = _counted(chunk)
    if chunk.head.lower_ in lexicon.PLURAL_IN_FORM:
        return plural_unit or counted is True
    return _plural_form(chunk.head) if counted is None else counted


def _plural_form(token: Token) -> bool:
    return token.tag_ in ("NNS", "NNPS") or "Plur" in token.morph.get("Number", [])


def _counted(chunk: Chunk) -> bool | None:
    """Return whether a number before the noun says more than one; None without a number."""
    for token in chunk.tokens[:-1]:
        if token.dep_ == "nummod" and token.head == chunk.head and not chunk.units:
            return token.lower_ not in ("one", "1")
        if token.lower_ in lexicon.MANY:
            return True
    return None


def _stood_for(
    plain: NormalizedCaption, doc: Doc, chunk: Chunk, pictures: list[Chunk], found: list[NounPhrase]
) -> NounPhrase | None:
    """Replace "one": "a green one" after "a red apple" -> a green apple; None if unclear."""
    if chunk.head.lower_ not in ("one", "ones") or not found:
        return None
    phrase = _phrase(plain, doc, chunk, pictures)
    if not phrase.modifiers and phrase.refer == phrase.text:
        return None
    noun = found[-1]
    plural = chunk.head.lower_ == "ones"
    name = noun.head if plural == noun.plural else noun.lemma + "s" * plural
    cut = len(phrase.text) - len(phrase.head)
    refer = phrase.refer[:cut] + name + phrase.refer[len(phrase.text) :]
    return replace(phrase, lemma=noun.lemma, plural=plural, refer=refer)


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


def top_level(phrases: tuple[NounPhrase, ...]) -> list[NounPhrase]:
    """Return the phrases without what a relation mentions and without owners.

    Left out are "the sofa" of "the dog next to the sofa" and "the girl" of "the girl's bicycle".
    """
    tops: list[NounPhrase] = []
    for phrase in phrases:
        start, stop = phrase.span
        nested = any(p.span[1] <= start < p.end for p in phrases if p is not phrase)
        owner = any(
            q is not phrase and q.span[0] <= start and q.span[1] > stop and phrase.text in q.text
            for q in phrases
        )
        if not nested and not owner:
            tops.append(phrase)
    return tops
