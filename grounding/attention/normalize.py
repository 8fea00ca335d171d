"""Normalise phrases: articles, white space, and the terms that a phrase excludes.

"A dog" becomes "the dog", as referring expressions have it. A phrase such as "the apple that is
not green" is split, because models attend to what is named, negated or not: to the green apple as
much as to the red one. :mod:`grounding.localize.locate` subtracts the excluded term's map;
`groundbrush evaluate scenes --arm "words as they stand"` measures the effect.
"""

from __future__ import annotations

import re

_LONGEST = 1000
"""Longest phrase that is parsed, in characters; the time grows with their square."""
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


def query_terms(phrase: str) -> tuple[str, str | None]:
    """The words that a model is queried with for a phrase, and the term that they exclude, if any.

    Examples
    --------
    >>> query_terms("an apple that isn't green")
    ('the apple that is not green', 'the green apple')
    >>> query_terms("a dog")
    ('the dog', None)
    """
    words = definite(phrase)
    return read_negation(words) or (words, None)


def read_negation(phrase: str) -> tuple[str, str] | None:
    """Split a phrase into its meaning and its excluded term; None where nothing is negated.

    Examples
    --------
    >>> read_negation("the apple that isn't green")
    ('the apple that is not green', 'the green apple')
    >>> read_negation("the non-green apple")[1]
    'the green apple'
    >>> read_negation("the dog which is not on the sofa")[1]
    'the dog on the sofa'
    >>> read_negation("the cup, not the blue one")[1]
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
    return f"{thing} that {verb} not {rest}", _excluded(thing, rest)


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
