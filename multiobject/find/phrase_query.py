"""How a noun phrase is put to the model: its own words, or simpler ones where it knows few."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..phrases.noun_phrases import NounPhrase
from ..phrases.stuff import is_thing

NUMBERS = {
    "one": 1,
    "two": 2,
    "three": 3,
    "four": 4,
    "five": 5,
    "six": 6,
    "seven": 7,
    "eight": 8,
    "nine": 9,
    "ten": 10,
    "both": 2,
}
SIDES = ("left", "right", "top", "bottom")
_ORDINALS = ("first", "second", "third")
_PLACED = frozenset([*SIDES, *_ORDINALS, "middle", "leftmost", "rightmost", "last"])
_ARTICLE = re.compile(r"^(the|a|an|every|each|all the|all) ", re.IGNORECASE)
_INDEFINITE = re.compile(r"^(a|an) ", re.IGNORECASE)
_COUNTING = frozenset([*NUMBERS, "several", "many", "some", "few", "all", "both"])


@dataclass(frozen=True)
class Asked:
    """A noun phrase and the words it is looked for with.

    Attributes
    ----------
    phrase
        As the caption has it.
    words
        As the model is asked; its relation, number or plural may be left out.
    note
        What was left out, or empty.
    unknown
        Words the model does not know; it is then not asked at all.
    """

    phrase: NounPhrase
    words: str
    note: str = ""
    unknown: tuple[str, ...] = ()

    @property
    def is_thing(self) -> bool:
        """Things can be counted, stuff cannot."""
        return is_thing(self.phrase.lemma, self.phrase.plural)

    @property
    def single(self) -> bool:
        """Whether exactly one place is meant."""
        return self.is_thing and not self.phrase.plural

    @property
    def one(self) -> str:
        """Words for one of several things: "the red car" of "two red cars"; empty where unclear."""
        phrase = self.phrase
        if " of " in phrase.text:  # "three slices of pizza" are no pizzas
            return ""
        relation = phrase.refer[len(phrase.text) :]
        kept = " ".join(["the", *_describing(phrase), phrase.lemma])
        return kept + (relation if self.words.endswith(relation) else "")

    @property
    def number(self) -> int | None:
        """How many the phrase says there are."""
        said = [m.lower() for m in (*self.phrase.modifiers, self.phrase.text.split()[0])]
        known = [
            int(w) if w.isdecimal() else NUMBERS[w] for w in said if w.isdecimal() or w in NUMBERS
        ]
        return known[0] if known and known[0] > 0 and self.phrase.plural else None


def how_to_ask(phrase: NounPhrase, unknown_words: Callable[[str], Sequence[str]]) -> Asked:
    """The fullest words for a phrase that the model knows.

    In turn: with its relation; without it; in the singular and without its number, for models that
    learned no plurals. What describes the thing itself is never left out. "A dog" is asked for as
    "the dog", as referring expressions have it: a model trained on these, as the miniature is,
    hardly ever says that "a dog" is not there.

    Parameters
    ----------
    phrase
        A noun phrase of a caption.
    unknown_words
        Gives the words of a text that the model has no token for; nothing for a real tokenizer.
    """
    refer, text = (_INDEFINITE.sub("the ", words) for words in (phrase.refer, phrase.text))
    if not unknown_words(refer):
        return Asked(phrase, refer)
    if not unknown_words(text):
        return Asked(phrase, text, f"asked for {text!r}: it knows no more words")
    simple = " ".join(["the", *_describing(phrase), phrase.lemma])
    for words in (simple + phrase.refer[len(phrase.text) :], simple):
        if not unknown_words(words):
            return Asked(phrase, words, f"asked for {words!r}: it knows no more words")
    return Asked(phrase, simple, unknown=tuple(unknown_words(simple)))


def _describing(phrase: NounPhrase) -> list[str]:
    """Its modifiers that do not count."""
    return [m for m in phrase.modifiers if m.lower() not in _COUNTING and not m.isdigit()]


def one_by_one(
    words: str, number: int | None, unknown_words: Callable[[str], Sequence[str]]
) -> tuple[str, ...]:
    """Words for each of several alike, by where it is; those that the model knows.

    Asked for "two cars", heads look at one of them; ``python -m benchmarks.plurals`` measures what
    asking for each by its place is worth.

    Parameters
    ----------
    words
        For one of them: "the red car next to the house".
    number
        How many there are; None = unknown.
    unknown_words
        As for `how_to_ask`.

    Examples
    --------
    >>> one_by_one("the red car", 2, lambda text: [])
    ('the left red car', 'the right red car', 'the top red car', 'the bottom red car')
    """
    bare = _ARTICLE.sub("", " ".join(words.split()))
    if _PLACED & set(bare.lower().split()):  # "the left cars" have a place already
        return ()
    asked = [f"the {side} {bare}" for side in SIDES]
    if number is None or number > 2:
        asked.append(f"the middle {bare}")
    if number is not None and number > 2:
        asked += [f"the {nth} {bare} from the left" for nth in _ORDINALS]
    return tuple(said for said in asked if not unknown_words(said))
