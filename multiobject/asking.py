"""How a noun phrase is put to the model: its own words, or simpler ones where it knows few."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from multiobject.phrases import NounPhrase
from multiobject.stuff import is_thing

NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7,
           "eight": 8, "nine": 9, "ten": 10, "both": 2}  # fmt: skip
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
    def number(self) -> int | None:
        """How many the phrase says there are."""
        said = [m.lower() for m in (*self.phrase.modifiers, self.phrase.text.split()[0])]
        known = [int(w) if w.isdigit() else NUMBERS[w] for w in said if w.isdigit() or w in NUMBERS]
        return known[0] if known and known[0] > 0 and self.phrase.plural else None


def how_to_ask(phrase: NounPhrase, unknown_words: Callable[[str], Sequence[str]]) -> Asked:
    """The fullest words for a phrase that the model knows.

    In turn: with its relation; without it; in the singular and without its number, for models that
    learned no plurals. What describes the thing itself is never left out.

    Parameters
    ----------
    phrase
        A noun phrase of a caption.
    unknown_words
        Gives the words of a text that the model has no token for; nothing for a real tokenizer.
    """
    if not unknown_words(phrase.refer):
        return Asked(phrase, phrase.refer)
    if not unknown_words(phrase.text):
        return Asked(phrase, phrase.text, f"asked for {phrase.text!r}: it knows no more words")
    kept = [m for m in phrase.modifiers if m.lower() not in _COUNTING and not m.isdigit()]
    simple = " ".join(["the", *kept, phrase.lemma])
    for words in (simple + phrase.refer[len(phrase.text) :], simple):
        if not unknown_words(words):
            return Asked(phrase, words, f"asked for {words!r}: it knows no more words")
    return Asked(phrase, simple, unknown=tuple(unknown_words(simple)))
