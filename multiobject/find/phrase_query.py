"""Word a noun phrase for the model: its own words, or simpler ones that the model knows."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..phrases.lexicon import EVERY, NUMBERS, QUANTIFIERS, VAGUE, is_thing
from ..phrases.noun_phrases import NounPhrase

SIDES = ("left", "right", "top", "bottom")
_ORDINALS = ("first", "second", "third")
_POSITIONS = frozenset([*SIDES, *_ORDINALS, "middle", "leftmost", "rightmost", "last"])
_ARTICLE = re.compile(r"^(the|a|an|every|each|all the|all) ", re.IGNORECASE)
_INDEFINITE = re.compile(r"^(a|an) ", re.IGNORECASE)
_COUNTING = EVERY | VAGUE | NUMBERS.keys()
_OWNED = re.compile(r"['’]s?$")

UnknownWords = Callable[[str], Sequence[str]]
"""Returns the words of a text that the model has no token for; none for a real tokenizer."""


@dataclass(frozen=True)
class PhraseQuery:
    """A noun phrase and the words that the model is queried with.

    Attributes
    ----------
    words : The phrase's relation, number or plural may be left out.
    note : What was left out, or empty.
    unknown : Words that the model does not know; it is then not queried.
    """

    phrase: NounPhrase
    words: str
    note: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def is_thing(self) -> bool:
        """Whether it can be counted; stuff cannot."""
        return is_thing(self.phrase.lemma, self.phrase.plural)

    @property
    def single(self) -> bool:
        """Whether exactly one instance is meant."""
        return self.is_thing and not self.phrase.plural

    @property
    def singular(self) -> str:
        """Words for one of several: "the red car" of "two red cars"; empty where unclear."""
        counted, of, _ = _ARTICLE.sub("", self.phrase.text).lower().partition(" of ")
        if of and counted not in QUANTIFIERS | NUMBERS.keys():  # "three slices of pizza"
            return ""
        relation = self.phrase.refer[len(self.phrase.text) :]
        return _singular(self.phrase) + (relation if self.words.endswith(relation) else "")

    def unknown_relation(self, unknown_words: UnknownWords) -> Sequence[str]:
        """The unknown words of a relation that `words` leaves out ("on the shelf")."""
        relation = self.phrase.refer[len(self.phrase.text) :]
        return () if self.words.endswith(relation) else unknown_words(relation)

    @property
    def number(self) -> int | None:
        """How many the phrase names; None if it does not say."""
        # "two of the three dogs" are two, "a couple of dogs" as well
        said = _ARTICLE.sub("", self.phrase.text).split()[0]
        words = [w.lower() for w in (said, *self.phrase.modifiers)]
        numbers = [int(w[:9]) if w.isdecimal() else NUMBERS.get(w) for w in words]
        number = next((n for n in numbers if n is not None), 0)
        return number if number and self.phrase.plural else None


def phrase_query(phrase: NounPhrase, unknown_words: UnknownWords) -> PhraseQuery:
    """Return the fullest words for a phrase that the model knows.

    In turn: with its relation; without it; in the singular and without its number, for models that
    learned no plurals. Words that describe the thing are never left out. "A dog" becomes "the dog",
    as in referring expressions: a model trained on these, as the miniature is, hardly ever answers
    that "a dog" is absent.
    """
    refer, text = (_INDEFINITE.sub("the ", words) for words in (phrase.refer, phrase.text))
    singular = _singular(phrase)
    if not unknown_words(refer):
        return PhraseQuery(phrase, refer)
    for words in (text, singular + phrase.refer[len(phrase.text) :], singular):
        if not unknown_words(words):
            return PhraseQuery(
                phrase, words, f"queried as {words!r}: the model knows no more of the words"
            )
    return PhraseQuery(phrase, singular, unknown=tuple(unknown_words(singular)))


def _singular(phrase: NounPhrase) -> str:
    """Return "the", the modifiers that do not count, and the noun in the singular."""
    modifiers = [m for m in phrase.modifiers if m.lower() not in _COUNTING and not m.isdigit()]
    article = [] if any(_OWNED.search(m) for m in modifiers) else ["the"]
    return " ".join([*article, *modifiers, phrase.lemma])


def position_variants(
    words: str, number: int | None, unknown_words: UnknownWords
) -> tuple[str, ...]:
    """Return words for each of several alike, by position; only those that the model knows.

    Queried with "two cars", heads attend to one of them; so 95% instead of 55% of 40 counted
    things of composed scenes come out in the right number.

    `words` name one of them: "the red car next to the house"; `number` None is unknown.

    Examples
    --------
    >>> position_variants("the red car", 2, lambda text: [])
    ('the left red car', 'the right red car', 'the top red car', 'the bottom red car')
    """
    bare = _ARTICLE.sub("", " ".join(words.split()))
    if _POSITIONS & set(bare.lower().split()):  # "the left cars" have a position already
        return ()
    variants = [f"the {side} {bare}" for side in SIDES]
    if number is None or number > 2:
        variants.append(f"the middle {bare}")
    if number is not None and number > 2:
        variants += [f"the {nth} {bare} from the left" for nth in _ORDINALS]
    return tuple(variant for variant in variants if not unknown_words(variant))
