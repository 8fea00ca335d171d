"""Which query type an expression is of, by its words. Rules, so the types are approximate."""

from __future__ import annotations

import re

_ORDINAL = re.compile(
    r"\b(first|second|third|fourth|fifth|sixth|last|[1-9](?:st|nd|rd|th)|(?:one|two|three|four|"
    r"five|[2-9]) (?:from|over|to) (?:the )?(?:left|right|top|bottom|front|back))\b"
)
_RELATION = re.compile(
    r"\b(left|right|top|bottom|upper|lower|middle|centre|center|corner|front|back|rear|behind|"
    r"above|below|under|underneath|beneath|beside|next|near|nearest|nearer|close|closest|closer|"
    r"far|farthest|furthest|between|against|facing|towards?|away|inside|outside|around|across|"
    r"along|over|on|in|at|by|from|leftmost|rightmost|topmost|side|edge|background|foreground|"
    r"opposite|touching|holding|riding)\b"
)
_COLOUR = (
    "red orange yellow green blue purple violet pink brown black white gr[ae]y golden gold silver "
    "beige tan blond[e]? dark light bright colou?red"
)
_LOOK = (
    "small smaller smallest big bigger biggest large larger largest tall taller tallest short "
    "shorter shortest long little tiny huge fat thin young younger old older stripe[sd]? striped "
    "checkered plaid dotted wooden metal glass plastic empty full open closed whole half sliced "
    "round square wearing shirt hat cap jacket coat dress suit tie glasses hair beard shorts pants "
    "jeans sweater vest standing sitting lying walking running looking eating smiling not with"
)
_ATTRIBUTE = re.compile(r"\b(" + "|".join(f"{_COLOUR} {_LOOK}".split()) + r")\b")
_REASONING = re.compile(
    r"\?|^(what|which|where|who|whose)\b|\b(used (?:to|for)|can be|could|would|should|might|likely|"
    r"something|because|in order to)\b"
)


def query_kind(phrase: str) -> str:
    """The query type of an expression: what must be understood to single the thing out.

    The most demanding type that applies: reasoning, then ordinal, relation (where it is, absolutely
    or beside what), attribute (what it looks like), name.

    Examples
    --------
    >>> [query_kind(p) for p in ("dog", "red mug", "mug left of the dog", "second dog from left")]
    ['name', 'attribute', 'relation', 'ordinal']
    """
    words = phrase.lower()
    for kind, pattern in (
        ("reasoning", _REASONING),
        ("ordinal", _ORDINAL),
        ("relation", _RELATION),
        ("attribute", _ATTRIBUTE),
    ):
        if pattern.search(words):
            return kind
    return "name"
