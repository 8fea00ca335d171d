"""A phrase in the words that models answer best.

"A dog" is asked for as "the dog", as referring expressions have it. And phrases that say what is
not meant, "the apple that is not green", are asked for together with that: models look at what is
named, negated or not, at the green apple as much as at the red one. So the cells where they look
for "the green apple" are taken out of every head's map. What that is worth:
`groundbrush evaluate scenes --arm "words as they stand"`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ..errors import GroundingError
from ..localize.maps import combine_maps, pseudo_mask

if TYPE_CHECKING:
    from .model import LVLM, EncodedImage
    from .types import Reading

_LONGEST = 1000
"""Characters of a phrase that is read; the time it takes grows with their square."""
_CLAUSE = re.compile(
    r"^(?P<thing>.+?),?\s+(?:but\s+)?(?:that|which|who)\s*(?P<verb>is|are|['’]s|['’]re)\s*"
    r"(?:(?<=is)n['’]t|(?<=are)n['’]t|not)\s+(?P<rest>.+)$",
    re.IGNORECASE,
)
# A bare "not" may stand in a name or after another verb ("the sign that says do not enter"):
# only before a thing or a place does it exclude one.
_BARE = re.compile(
    r"^(?P<thing>(?!.*\b(?:that|which|who|says?|do|does|did|can|will|would|should|must|may|has|have|"
    r"had|was|were|is|are|and|or|if)\b.*\snot\s).+?),?\s+(?:but\s+)?not\s+"
    r"(?P<rest>(?:the|on|in|at|near|next|under|beneath|below|above|over|behind|beside|inside|by|with|"
    r"wearing|holding)\s.+)$",
    re.IGNORECASE,
)
_PREFIX = re.compile(r"^(?P<before>(?:.*\s)?)non-(?P<rest>\w+)\s+(?P<noun>.+)$", re.IGNORECASE)
_ARTICLE = re.compile(r"^(the|a|an|that|this|my|your|his|her|their)\s+", re.IGNORECASE)
_PLACE = re.compile(
    r"\b(?:on|in|at|near|next|under|beneath|below|above|over|behind|beside|inside|left|right|to|by|"
    r"with|from|between|closest|farthest|\w+ing)\b.*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Negation:
    """A phrase with what it excludes.

    Parameters
    ----------
    phrase
        The phrase in one form: "the apple that is not green".
    excluded
        What is not meant, as a phrase of its own: "the green apple".
    """

    phrase: str
    excluded: str


def whole_text(phrase: str) -> str:
    """A phrase with its white space tidied; GroundingError where it holds half a character."""
    try:
        phrase.encode()
    except UnicodeEncodeError as error:
        raise GroundingError(
            f"phrase {phrase!r} is not whole text at character {error.start + 1}; expected Unicode"
        ) from None
    return " ".join(phrase.split())


def read_negation(phrase: str) -> Negation | None:
    """Split a phrase into what is meant and what is not; None where nothing is negated.

    Examples
    --------
    >>> read_negation("the apple that isn't green")
    Negation(phrase='the apple that is not green', excluded='the green apple')
    >>> read_negation("the non-green apple").excluded
    'the green apple'
    >>> read_negation("the dog which is not on the sofa").excluded
    'the dog on the sofa'
    >>> read_negation("the cup, not the blue one").excluded
    'the blue cup'
    >>> read_negation("the knot")
    """
    text = " ".join(phrase.split())
    if len(text) > _LONGEST:
        return None
    if found := _PREFIX.match(text):
        thing, verb, rest = f"{found['before']}{found['noun']}", "is", found["rest"]
    elif found := _CLAUSE.match(text):
        thing, verb, rest = found["thing"], found["verb"], found["rest"]
    elif found := _BARE.match(text):
        thing, verb, rest = found["thing"], "is", found["rest"]
    else:
        return None
    verb, rest = "are" if verb[-2:] in ("re", "RE") else "is", rest.rstrip(" .!?")
    return Negation(f"{thing} that {verb} not {rest}", _excluded(thing, rest))


def _excluded(thing: str, rest: str) -> str:
    article = _ARTICLE.match(thing)
    noun = thing[article.end() :] if article else thing
    if other := _ARTICLE.match(rest):  # "the blue one", "a dog"
        return "the " + re.sub(r"\bones?$", noun, rest[other.end() :])
    place = _PLACE.search(rest)  # "green on the left" -> "the green apple on the left"
    words = rest[: place.start()] if place else rest
    parts = [article[1] if article else "the", words.strip(), noun, place[0] if place else ""]
    return " ".join(filter(None, parts))


def definite(phrase: str) -> str:
    """The phrase with "the" in place of "a" or "an" at its start.

    A model trained on referring expressions hardly ever says that "a dog" is not there.

    Examples
    --------
    >>> definite("a dog on a sofa")
    'the dog on a sofa'
    """
    return re.sub(r"^\s*(a|an)\s+", "the ", phrase, flags=re.IGNORECASE)


def without(rows: NDArray[np.floating], excluded: NDArray[np.floating]) -> NDArray[np.float32]:
    """Head maps without the cells where the same heads look for the excluded thing.

    Parameters
    ----------
    rows, excluded
        (..., P, Q) attention of the phrase, and of what it excludes, head by head.

    Returns
    -------
    (..., P, Q) float32; a head whose map has nothing left keeps it whole.
    """
    kept = np.array(rows, np.float32)
    heads = kept.reshape(-1, *kept.shape[-2:])  # a view
    for own, other in zip(heads, excluded.reshape(heads.shape), strict=True):
        rest = np.where(pseudo_mask(combine_maps(other[None])), 0, own)
        if rest.any():
            own[:] = rest
    return kept


def read_phrases(
    lvlm: LVLM,
    encoded: EncodedImage,
    phrases: Sequence[str],
    heads: Sequence[tuple[int, int]] | None,
    absent_below: float,
) -> list[Reading]:
    """As :meth:`LVLM.read`, in the words that models answer best.

    An excluded thing whose presence answer is below `absent_below` is not in the picture, and
    nothing is taken out: what its heads look at then may be the thing that is meant.
    """
    words = [definite(phrase) for phrase in phrases]
    negations = [read_negation(phrase) for phrase in words]
    asked = [one.phrase if one else text for one, text in zip(negations, words, strict=True)]
    readings = lvlm.read(encoded, [*asked, *(one.excluded for one in negations if one)], heads)
    others = iter(readings[len(asked) :])
    return [
        _combined(own, next(others), absent_below) if one else own
        for own, one in zip(readings[: len(asked)], negations, strict=True)
    ]


def _combined(own: Reading, other: Reading, absent_below: float) -> Reading:
    absent = other.presence is not None and other.presence < absent_below
    if absent or own.rows is None or other.rows is None:
        return own
    return dataclasses.replace(own, rows=without(own.rows, other.rows))
