"""A parsed sentence -> its clauses, each with the verb that commands.

Knows spaCy's tokens and the list of verbs; does not know what a clause means.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spacy.tokens import Token

_BASE_FORMS = ("VB", "VBP")


@dataclass(frozen=True)
class Clause:
    """A stretch of a sentence with at most one command.

    Attributes
    ----------
    verb : In its simplest form ("remove" for "get rid of"); empty where none is known.
    tokens : All its words.
    body : Its words without openers and the verb.
    denied : Whether it says not to.
    """

    verb: str
    tokens: tuple[Token, ...]
    body: tuple[Token, ...]
    denied: bool = False


def find_clauses(tokens: Sequence[Token]) -> list[Clause]:
    """Cut a sentence where a new command begins; what is between stays with the one before."""
    starts = [k for k in range(len(tokens)) if _begins(tokens, k)]
    cuts = [_opening(tokens, k) for k in starts]
    bounds = [*cuts, len(tokens)]
    clauses = []
    if before := trim(tokens[: bounds[0]]):
        clauses.append(Clause("", before, before))
    for start, cut, stop in zip(starts, cuts, bounds[1:], strict=True):
        verb, body = _command(tokens[start:stop])
        whole = trim(tokens[cut:stop])
        denied = any(t.lower_ in words.DENIALS for t in tokens[cut:start])
        clauses.append(Clause(verb, whole, trim(body), denied))
    return clauses


def trim(tokens: Sequence[Token]) -> tuple[Token, ...]:
    """Without the joints, courtesies and stops at both ends."""
    kept = list(tokens)
    while kept and kept[-1].lower_ in words.CLOSERS | words.JOINTS:
        quote = kept[-1].text
        closes = quote in ('"', "'") and sum(t.text == quote for t in kept) % 2 == 0
        if closes and kept[0].text != quote:
            break
        kept.pop()
    if [t.lower_ for t in kept[-2:]] == ["as", "well"]:
        return trim(kept[:-2])
    while kept and (kept[0].lower_ in words.OPENERS or kept[0].lower_ in words.STOPS):
        if kept[0].lower_ == "that" and len(kept) > 1:
            break
        kept.pop(0)
    return tuple(kept)


def _begins(tokens: Sequence[Token], k: int) -> bool:
    """Whether a command starts at a word: a verb we know, or one that only looks like it."""
    token = tokens[k]
    known = token.lower_ in words.COMMANDS or _phrasal(tokens, k) != ""
    if not known and (token.tag_ not in _BASE_FORMS or _fills(token.lower_)):
        return False
    if k + 1 >= len(tokens):
        return known and k == 0
    if tokens[k + 1].lower_ in ("of", "and", ",", "with", "."):
        return False
    opening = _opening(tokens, k)
    if opening == k and k > 0:
        return False
    if known:
        return True
    inside_relation = any(
        a.dep_ in ("relcl", "acl", "advcl") for a in (token, *token.ancestors) if a.i >= opening
    ) or any(a.dep_ == "relcl" for a in token.ancestors)
    starts_thing = tokens[k + 1].pos_ in ("DET", "PRON", "ADJ", "NOUN", "PROPN", "NUM", "SCONJ")
    return starts_thing and not inside_relation and token.pos_ in ("VERB", "AUX")


def _opening(tokens: Sequence[Token], k: int) -> int:
    """Where the joints and openers before a command begin; `k` where there are none."""
    start = k
    while start > 0 and _fills(tokens[start - 1].lower_):
        start -= 1
    joint = start
    while joint > 0 and tokens[joint - 1].lower_ in words.STOPS | words.JOINTS:
        joint -= 1
    return joint if joint < start or joint == 0 else k


def _fills(word: str) -> bool:
    opens = word in words.OPENERS and word not in words.JOINTS
    return opens or word in words.DENIALS or word in ("do", "does", "to")


def _phrasal(tokens: Sequence[Token], k: int) -> str:
    for several, verb in words.PHRASAL.items():
        if tuple(t.lower_ for t in tokens[k : k + len(several)]) == several:
            return verb
    particles = words.APART.get(tokens[k].lower_, ())
    for token in tokens[k + 1 :]:
        if token.lower_ in particles and (token.dep_ in ("prt", "advmod") or _ends(token)):
            return "swap" if tokens[k].lower_ == "swap" else "remove"
        if token.lower_ in words.STOPS or token.lower_ in words.JOINTS:
            break
    return ""


def _ends(token: Token) -> bool:
    """Whether a word is followed by nothing more of its clause."""
    if token.i + 1 >= len(token.doc):
        return True
    following = token.nbor().lower_
    return following in words.STOPS or following in words.JOINTS or following in ("of", "from")


def _command(tokens: Sequence[Token]) -> tuple[str, tuple[Token, ...]]:
    """The verb in its simplest form and the words after it."""
    for several, verb in words.PHRASAL.items():
        if tuple(t.lower_ for t in tokens[: len(several)]) == several:
            return verb, tuple(tokens[len(several) :])
    first = tokens[0].lower_
    particles = words.APART.get(first, ())
    if first not in words.COMMANDS or (first == "swap" and _phrasal(tokens, 0)):
        for k, token in enumerate(tokens):
            if k and token.lower_ in particles:
                verb = "swap" if first == "swap" else "remove"
                # "off the wall" says what it leaves, not which one is meant
                rest = () if token.lower_ == "off" else tokens[k + 1 :]
                return verb, (*tokens[1:k], *rest)
    return (first if first in words.COMMANDS else ""), tuple(tokens[1:])
