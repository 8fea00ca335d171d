"""Words that name things -> what to look for, how many, and how to describe them changed."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from ...multiobject.phrases import lexicon as nouns
from ...multiobject.phrases.noun_phrases import top_level
from ...multiobject.phrases.several import DOZEN, named_things
from . import words

if TYPE_CHECKING:
    from spacy.tokens import Token

    from ...multiobject.phrases.noun_phrases import NounPhrase

Parser = Callable[[str], "tuple[NounPhrase, ...]"]
_OWNED = re.compile(r"['’]s?$")
_JOINT = re.compile(r"[\s,;.\"'()&-]+|\b(and|or|also|plus|both|as well as)\b", re.I)
_OF_MANY = re.compile(r"^(\w+)\s+of\s+(?:the\s+|these\s+|those\s+|my\s+)?", re.I)
_WHOLE = re.compile(r"[-+]?\d+")  # "²" is a digit to str.isdigit, and no number to int
_NEXT_VOWEL = re.compile(r"^(?:[aeio]|u(?!ni|se|su|rn)|hour|honest)(?!ne\b|uro)", re.I)


class Unclear(Exception):  # noqa: N818 - an answer, not a mistake
    """Words that cannot be made a step.

    Attributes
    ----------
    reason : What is missing or has several meanings.
    options : For each meaning the pairs of words it would be read as; the reader makes steps of
        them.
    """

    def __init__(self, reason: str, options: Sequence[object] = ()) -> None:
        super().__init__(reason)
        self.reason, self.options = reason, tuple(options)


@dataclass(frozen=True)
class Thing:
    """Something to look for.

    Attributes
    ----------
    find : The words to look for, of one thing.
    name : Its noun.
    looks : Words that say how it looks.
    count : How many; None = every one.
    bare : Whether its noun takes no "a" (scissors).
    at : The step that has it as result, or None.
    note : How it was read, where that is not plain.
    """

    find: str
    name: str
    looks: tuple[str, ...] = ()
    count: int | None = 1
    bare: bool = False
    at: int | None = None
    note: str = ""

    def described(self, look: str = "", extra: str = "") -> str:
        """The thing with another look: "the small red car", "blue" -> "a small blue car"."""
        told = look.lower().replace(",", " ").split()
        families = {nouns.CONTRAST[w] for w in told if w in nouns.CONTRAST}
        kept = [
            one
            for one in self.looks
            if not families & {nouns.CONTRAST.get(w, -1) for w in one.lower().split()}
        ]
        said = " ".join([*kept, *([look] if look else []), self.name])
        return (said if self.bare else f"{article(said)} {said}") + extra


def article(text: str) -> str:
    """The article that goes before some words."""
    return "an" if _NEXT_VOWEL.match(text) else "a"


def unquoted(text: str) -> str:
    """Words without the quotation marks around all of them."""
    bare = text.strip(" .,")
    if len(bare) > 2 and bare[0] == bare[-1] and bare[0] in "\"'" and bare.count(bare[0]) == 2:
        return bare[1:-1].strip()
    return _paired(bare)


def _paired(text: str) -> str:
    """Without quotation marks that lost their partners."""
    return " ".join(text.replace('"', "").split()) if text.count('"') % 2 else text


def read_things(text: str, tokens: Sequence[Token], parse: Parser) -> list[Thing]:
    """The things that some words name: "the dog and the cat" are two.

    Raises Unclear for words that name none, or not which.

    Parameters
    ----------
    text : The words.
    tokens : The same, parsed within their sentence.
    parse : Gives a text's noun phrases.
    """
    single = tokens[0].lower_ if len(tokens) == 1 else ""
    if single in words.POINTERS:
        raise Unclear(f"{text!r} says not which thing; name it")
    if "(" in text:
        raise Unclear(f"{text!r} has parentheses; write what is meant without them")
    for token in tokens[1:]:
        if token.lower_ in words.PRONOUNS_ONE | words.PRONOUNS_MANY | words.WHOLE:
            raise Unclear(f"says not what {token.lower_!r} is; name the thing")
    text = DOZEN.sub("12", text)
    phrases = parse(text) if any(c.isalpha() for c in text) else ()
    tops = top_level(phrases)
    if not tops:
        return [_unlisted(text, tokens)]
    left = _left_over(text, tops)
    compounds = {t.lower_ for t in tokens if t.pos_ in ("NOUN", "PROPN")} - set(nouns.CONTRAST)
    make = partial(_thing, compounds=compounds)
    found = [make(p, p.refer) for p in tops]
    if len(tops) == 1:
        found = _of_one_noun(text, make(tops[0], unquoted(text) if left else tops[0].refer), left)
        if not found:
            parts = [parse(one.text)[:1] for one in named_things(text)]
            if not all(parts):
                raise Unclear(f"{text!r} names one without its noun; name each thing by itself")
            found = [make(p, p.refer) for (p,) in parts]
    if any(t.lower_ == "or" for t in tokens) and len(found) > 1:
        options = [[one] for one in found]
        raise Unclear(f"{text!r} says not which of the two; name one", options)
    if left and len(tops) > 1:
        raise _unclear_part(text, left)
    if len({p.span[1] for p in tops}) == 1 < len(tops):  # "the left and right cups"
        found = [replace(t, count=1) if _is_one(p) else t for t, p in zip(found, tops, strict=True)]
    # a thing that follows another's neighbour: "the cup on the table and the book"
    if any(p not in tops and p.span[1] < tops[-1].span[0] for p in phrases):
        note = f"read as {len(tops)} things, each on its own"
        found = [Thing(**{**vars(one), "note": one.note or note}) for one in found]
    return found


def _of_one_noun(text: str, thing: Thing, left: str) -> list[Thing]:
    """The thing, if the words name only one; empty for "the first and last cup"."""
    named = named_things(text)
    if len(named) > 1:
        return []
    if named[0].unclear:
        raise Unclear(f"{text!r}: {named[0].unclear}")
    if left and thing.find != _paired(unquoted(text)):  # a number was put in other words
        raise _unclear_part(text, left)
    return [thing]


def _unclear_part(text: str, part: str) -> Unclear:
    return Unclear(f"{text!r}: it is unclear what {part!r} belongs to; make it two sentences")


def _is_one(phrase: NounPhrase) -> bool:
    """Whether a side or a place in a row singles one out: "the second" of "second and third"."""
    low = {m.lower() for m in phrase.modifiers}
    return bool(low & words.NOT_LOOKS) and not low & nouns.NUMBERS.keys()


def _left_over(text: str, tops: list[NounPhrase]) -> str:
    """Words outside every phrase, joints apart."""
    covered = [False] * len(text)
    for phrase in tops:
        start, stop = phrase.span[0], phrase.end
        covered[start:stop] = [True] * (stop - start)
    rest = "".join(" " if hidden else c for c, hidden in zip(text, covered, strict=False))
    return " ".join(_JOINT.sub(" ", rest).split())


def _unlisted(text: str, tokens: Sequence[Token]) -> Thing:
    """A thing that no caption would point at, such as "the background"."""
    named = [t for t in tokens if t.pos_ in ("NOUN", "PROPN")]
    heads = [t for t in named if t.dep_ not in ("compound", "amod", "nmod")] or named
    if not heads:
        raise Unclear(f"{text!r} names no thing that could be found; name it")
    head = heads[0]
    if (head.lemma_ or head.text).lower() in words.PICTURE:
        raise Unclear(
            f"{text!r} means the whole picture; only things in it are repainted: name one"
        )
    if head.lower_ in nouns.PLACE and head.lower_ not in nouns.PICTURE:
        raise Unclear(f"{text!r} is a place; name the thing there")
    return Thing(unquoted(text), head.text)


def _thing(phrase: NounPhrase, find: str, compounds: set[str]) -> Thing:
    count, said = _count(phrase)
    relation = phrase.refer[len(phrase.text) :]
    looks = [m for m in phrase.modifiers if _is_look(m)]
    bare = phrase.lemma in nouns.PLURAL_IN_FORM
    name = phrase.head if count == 1 and not said else phrase.lemma
    while looks and looks[-1].lower() in compounds:  # "window frame" is what it is, not its look
        name = f"{looks.pop()} {name}"
    if said or count != 1:
        kept = [
            m
            for m in phrase.modifiers
            if m.lower() not in {*nouns.NUMBERS, "all", "every"} and not m.isdigit()
        ]
        owned = any(_OWNED.search(m) for m in kept)
        find = " ".join([*([] if owned else ["the"]), *kept, phrase.lemma]) + relation
    return Thing(_paired(find), name, tuple(looks), count, bare)


def _is_look(modifier: str) -> bool:
    low = modifier.lower()
    return not (
        low in words.NOT_LOOKS
        or low in nouns.NUMBERS
        or low.isdigit()
        or _OWNED.search(low)
        or low.endswith("est")
        or low.startswith("most ")
        or low in ("all", "every", "each")
    )


def _count(phrase: NounPhrase) -> tuple[int | None, bool]:
    """How many are meant, and whether `find` has to be put in other words for one of them."""
    low = phrase.text.lower()
    first = low.split()[0]
    if first in words.NONE:
        raise _no_count(first)
    several = _OF_MANY.match(low)
    counts = (first in nouns.NUMBERS or first in ("all", "each", "every")) and (
        first not in nouns.COLLECTIVE
    )
    if several and counts:
        return nouns.NUMBERS.get(first), True
    if first in nouns.VAGUE or (phrase.plural and set(low.split()) & nouns.VAGUE):
        raise Unclear(f"{phrase.text!r} does not say how many; give a number or say 'all'")
    if first in ("every", "each") or (first == "all" and nouns.is_thing(phrase.lemma)):
        return None, True
    if not phrase.plural or (" of " in low and first not in ("all", "both")):
        return 1, False
    numbers = [_number(word) for word in (*phrase.modifiers, first)]
    known = [n for n in numbers if n is not None]
    return (known[0] if known else None), True


def _number(word: str) -> int | None:
    low = word.lower()
    if _WHOLE.fullmatch(low):
        value = int(low[:9])  # of more digits int() may refuse
    elif low in nouns.NUMBERS:
        value = nouns.NUMBERS[low]
    else:
        return None
    if not 1 <= value <= 16:
        raise _no_count(word)
    return value


def _no_count(word: str) -> Unclear:
    return Unclear(f"{word!r} is not a number from 1 to 16; say 'all' for every one")
