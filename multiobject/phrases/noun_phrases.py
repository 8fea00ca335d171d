"""List the noun phrases of a caption: caption -> parse -> chunks -> things -> phrases."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MultiObjectError
from . import lexicon
from .caption import NormalizedCaption, read_caption
from .chunks import Chunk, find_chunks, possessors
from .relations import relation_end
from .selection import is_picture, is_pronoun_like, lemma, names_a_thing
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
