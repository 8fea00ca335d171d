"""A command's words -> pairs of what is changed and what becomes of it.

Knows tokens and which words part the two ("with", "into", "to"); it does not look at the things.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...multiobject.phrases import lexicon as nouns
from . import words
from .clauses import trim
from .things import Unclear

if TYPE_CHECKING:
    from spacy.tokens import Token

Tokens = tuple["Token", ...]
_SIZES = frozenset(
    w
    for w, family in nouns.CONTRAST.items()
    if family in {nouns.CONTRAST[s] for s in ("small", "tall", "thin")}
)
_LIGHTS = frozenset("traffic street lamp night brake ceiling warning signal stop tail".split())
_BE = frozenset("is was are were be stands stood sits sat lies lay been used to".split())


@dataclass(frozen=True)
class Pair:
    """Two parts of a command.

    Attributes
    ----------
    what : The words for what is changed; empty for kind ``there``.
    becomes : The words for what comes of it.
    kind : ``thing``: `becomes` is painted instead; ``look``: it is how `what` then looks; ``with``:
        it is added to `what`; ``there``: it is put in the place of what was removed.
    """

    what: Tokens
    becomes: Tokens
    kind: str = "thing"


def read_pairs(verb: str, body: Sequence[Token]) -> list[Pair]:
    """The pairs of a command; "the cup with a book" after "and" repeats the verb.

    Raises Unclear where a part is missing, or words can be parted in several ways.
    """
    for k, token in enumerate(body):
        if token.lower_ not in ("and", ",", "then"):
            continue
        left, right = trim(body[:k]), trim(body[k + 1 :])
        if not left or not right or right[0].lower_ not in words.DEFINITE:
            continue
        try:
            return [_pair(verb, left), *read_pairs(verb, right)]
        except Unclear:
            continue
    return [_pair(verb, trim(body))]


def _pair(verb: str, body: Tokens) -> Pair:
    if not body:
        raise Unclear(f"says not what to {verb}")
    if any(t.lower_ in words.COLOUR for t in body):
        recoloured = _colour(verb, body)
        if recoloured:
            return recoloured
    if verb in words.REPLACE:
        return _replace(verb, body)
    if verb in words.TURN:
        return _turn(verb, body)
    if verb in words.MAKE:
        return _make(verb, body)
    if verb in words.PAINT:
        return _paint(verb, body)
    return _put(verb, body)


def _replace(verb: str, body: Tokens) -> Pair:
    if verb == "substitute" and any(t.lower_ == "for" for t in body):
        new, old = _parted(body, ("for",), verb)
        return Pair(old, new)
    parting = {"replace": ("with", "by"), "substitute": ("with", "by")}.get(
        verb, ("with", "for", "by")
    )
    if verb != "replace" and not any(t.lower_ in parting for t in body):
        raise Unclear(f"says not what to {verb} it for; exchanging places is not possible")
    old, new = _parted(body, parting, verb)
    if verb in ("swap", "exchange", "switch") and new[0].lower_ in words.DEFINITE:
        raise Unclear(
            "could mean that the two change places, or that one is painted over the other",
            [Pair(old, new)],
        )
    return Pair(old, new)


def _turn(verb: str, body: Tokens) -> Pair:
    parting = ("into",) if any(t.lower_ == "into" for t in body) else ("to",)
    if not _places(body, parting):
        if verb in ("turn", "change"):
            return _make(verb, body)
        raise Unclear(f"says not what to {verb} it into")
    return _looking(*_parted(body, parting, verb))


def _make(verb: str, body: Tokens) -> Pair:
    look = next((k for k, t in enumerate(body) if t.lower_ in ("look", "resemble")), None)
    if look:
        after = body[look + 1 :]
        after = after[1:] if after and after[0].lower_ == "like" else after
        if not after:
            raise Unclear("says not what it should look like")
        return _looking(body[:look], after)
    if any(t.lower_ == "into" for t in body):
        return _looking(*_parted(body, ("into",), verb))
    cut = _look_start(body)
    if 0 < cut < len(body) and body[cut - 1].pos_ not in ("DET", "ADP"):
        return _looking(body[:cut], body[cut:])
    cuts = [
        k
        for k, t in enumerate(body)
        if k
        and t.lower_ in ("a", "an")
        and body[k - 1].pos_ in ("NOUN", "PROPN", "PRON", "ADJ", "NUM", "ADV")
    ]
    if len(cuts) > 1:
        options = [Pair(body[:k], body[k:]) for k in cuts]
        raise Unclear("can be parted in several ways; say 'replace X with Y'", options)
    if cuts:
        return Pair(body[: cuts[0]], body[cuts[0] :])
    raise Unclear(f"says not what to {verb} it; expected a colour, a look or 'into' a thing")


def _paint(verb: str, body: Tokens) -> Pair:
    cut = _look_start(body)
    if 1 < cut < len(body) and body[cut - 1].lower_ == "in":
        return _looking(body[: cut - 1], body[cut:])
    if 0 < cut < len(body) and body[cut - 1].pos_ not in ("DET", "ADP"):
        return _looking(body[:cut], body[cut:])
    if body[0].lower_ in words.INDEFINITE and verb in ("paint",):
        return _put(verb, body)
    raise Unclear(f"says not in which colour to {verb} it")


def _colour(verb: str, body: Tokens) -> Pair | None:
    """ "the colour of X to Y", "X's colour to Y"; None where a colour is no more than a word."""
    at = next(k for k, t in enumerate(body) if t.lower_ in words.COLOUR)
    rest = body[at + 1 :]
    if rest and rest[0].lower_ == "of":
        before, after = body[:0], rest[1:]
    elif at and body[at - 1].tag_ == "POS":
        before, after = body[: at - 1], rest
    elif at and body[at - 1].lower_ in ("its", "their"):
        raise Unclear("does not say which thing has the colour; name it")
    else:
        return None
    after = tuple(after)
    source = next((k for k, t in enumerate(after) if t.lower_ == "from"), None)
    places = _places(after, ("to", "into"))
    if places:
        cut = places[-1]
        what = before or after[: cut if source is None else min(source, cut)]
        new = after[cut + 1 :]
    elif verb in words.MAKE | words.TURN | words.PAINT and not before:
        cut = _look_start(after)
        what, new = after[:cut], after[cut:]
    else:
        what, new = before or after, after if before else ()
    if not new or not what:
        raise Unclear("says not to which colour")
    if new[0].lower_ in words.DEFINITE or new[0].lower_ in ("match", "be"):
        raise Unclear("names no colour; say which, such as 'red'")
    return Pair(tuple(what), trim(new), "look")


def _put(verb: str, body: Tokens) -> Pair:
    low = [t.lower_ for t in body]
    if low[-1] == "there" or (low[-1] == "place" and low[-2:-1] in (["its"], ["their"])):
        new = trim(body[:-1] if low[-1] == "there" else body[: low.index("place") - 2])
        if not new:
            raise Unclear(f"says not what to {verb} there")
        return Pair((), new, "there")
    if "where" in low:
        cut = low.index("where")
        what = list(body[cut + 1 :])
        while what and what[-1].lower_ in _BE:
            what.pop()
        return _both(body[:cut], what, "thing", verb)
    for several in (("in", "place", "of"), ("in", "the", "place", "of"), ("instead", "of")):
        cut = _find(low, several)
        if cut >= 0:
            return _both(body[:cut], body[cut + len(several) :], "thing", verb)
    if "over" in low:
        return _both(body[: low.index("over")], body[low.index("over") + 1 :], "thing", verb)
    cut = _find(low, ("on", "top", "of"))
    if cut >= 0:
        return _both(body[:cut], body[cut + 3 :], "with", verb)
    parting = ("onto", "on", "upon", "to") if verb == "add" else ("onto", "on", "upon")
    places = [k for k in _places(body, parting) if not _is_place(body[k + 1 :])]
    if len(places) > 1:
        options = [Pair(body[k + 1 :], body[:k], "with") for k in places]
        raise Unclear("can be parted in several ways; name the thing it belongs on", options)
    if places:
        return _both(body[: places[0]], body[places[0] + 1 :], "with", verb)
    if any(w in words.BESIDE or w == "on" for w in low[1:]):
        raise Unclear(
            "names a free place; only things are painted over: say 'on X', 'where X is' or "
            "'in place of X'"
        )
    raise Unclear(f"says not where to {verb} it: expected 'on X', 'where X is' or 'in place of X'")


def _both(new: Sequence[Token], what: Sequence[Token], kind: str, verb: str) -> Pair:
    if not trim(new) or not trim(what):
        raise Unclear(f"says not what to {verb} where")
    return Pair(trim(what), trim(new), kind)


def _looking(what: Tokens, new: Tokens) -> Pair:
    """A look where every word of `new` is one, else a thing."""
    new = trim(new)
    if not new:
        raise Unclear("says not what becomes of it")
    if all(t.lower_ in words.NOT_LOOKS for t in new):
        raise Unclear("says where, not how it should look; a thing is repainted where it is")
    if any(t.tag_ in ("JJR", "RBR") or t.lower_ in ("more", "less") for t in new):
        raise Unclear("compares with how it looks now; say how it should look, such as 'red'")
    if _look_start(new) > 0:
        return Pair(what, new)
    pair = Pair(what, new, "look")
    if any(t.lower_ in _SIZES for t in new):
        raise Unclear(
            "changes the size, which is not supported; a thing is repainted where it is", [pair]
        )
    return pair


def _look_start(tokens: Sequence[Token]) -> int:
    """Where the looks at the end begin: "the car | bright red"."""
    k = len(tokens)
    while k > 0 and _is_look(tokens[k - 1]):
        k -= 1
        while k > 1 and tokens[k - 1].lower_ in ("and", ",", "or") and _is_look(tokens[k - 2]):
            k -= 1
    while (
        k > 0
        and k < len(tokens)
        and tokens[k - 1].lower_ in ("very", "really", "all", "fully", "completely")
    ):
        k -= 1
    return k


def _is_look(token: Token) -> bool:
    low = token.lower_
    if low in words.NOT_LOOKS:
        return False
    if low == "light" and token.i and token.nbor(-1).lower_ in _LIGHTS:
        return False  # "the traffic light", unlike "the car light blue"
    known = low in nouns.CONTRAST or low in nouns.SHADES
    return known or token.tag_ in ("JJ", "JJR", "JJS", "RBR")


def _is_place(tokens: Sequence[Token]) -> bool:
    """Whether words begin with a place of the picture: "the left"."""
    rest = [t.lower_ for t in tokens if t.lower_ not in words.DEFINITE]
    return not rest or rest[0] in nouns.PLACE | nouns.PLACE_OR_THING


def _parted(body: Tokens, parting: tuple[str, ...], verb: str) -> tuple[Tokens, Tokens]:
    """What stands before and after the one word that parts them."""
    places = _places(body, parting)
    if not places:
        raise Unclear(f"says not what to {verb} it {parting[0]}")
    if len(places) > 1:
        # what is painted is new and has no "the"; what is found mostly has one
        new = [k for k in places if body[k + 1].lower_ not in words.DEFINITE]
        if len(new) != 1:
            said = body[places[0]].lower_
            raise Unclear(
                f"has {said!r} more than once and can be parted in several ways; choose one",
                [Pair(body[:k], body[k + 1 :]) for k in places],
            )
        places = new
    cut = places[0]
    return body[:cut], body[cut + 1 :]


def _places(body: Sequence[Token], parting: Iterable[str]) -> list[int]:
    """Where parting words stand, less the "to" of "next to" and "to the left of"."""
    found = []
    for k, token in enumerate(body):
        if token.lower_ not in parting or not 0 < k < len(body) - 1:
            continue
        if token.lower_ == "to":
            after = [t.lower_ for t in body[k + 1 : k + 4]]
            beside = body[k - 1].lower_ in ("next", "close", "adjacent", "opposite", "closest")
            side = len(after) == 3 and after[1] in ("left", "right") and after[2] == "of"
            if beside or side:
                continue
        found.append(k)
    return found


def _find(low: Sequence[str], several: tuple[str, ...]) -> int:
    n = len(several)
    return next((k for k in range(1, len(low) - n) if tuple(low[k : k + n]) == several), -1)
