"""Normalise a caption for the parser, keeping the offsets of the text as typed."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

from ..errors import MultiObjectError

MAX_CHARACTERS = 6_000
"""The time of reading grows faster than these: a second or two here, a minute for 20,000."""

_STRAIGHT = str.maketrans("“”„«»‘’‚–—", '"""""\'\'\'--')
_ENGLISH = frozenset(
    "the a an of and in on at to with by for from is are was be next behind under above near "
    "his her its their it who that which there this these those he she they we between".split()
)
# Function words that English captions do not hold; ones it shares ("die", "on") are left out.
_FOREIGN = frozenset(
    "un une le les des du et avec dans sur est el los las una unos unas y con en del por junto al "
    "il lo gli uno di della nel sul accanto der das den dem ein eine einen einem einer und mit "
    "auf neben ist im het een op naast um uma os com ao ett och på med bredvid jest obok".split()
)
_FOREIGN_ARTICLES = frozenset(
    "un une una uno unos unas ein eine einen der das een um uma bir".split()
)

# Symbols (emoji), controls, joiners, lone surrogates, unassigned ones and enclosing marks.
_BLANK = frozenset("So Sk Cc Cf Cs Co Cn Me Zl Zp".split())


@dataclass(frozen=True)
class NormalizedCaption:
    """A normalised caption.

    Attributes
    ----------
    text : Without emoji and control characters, blanks single, quotes straight; case as typed.
    parsed : The parser's input, of the same length: headlines in lower case.
    offsets : Start and stop of every character of `text` in the caption as typed.
    """

    text: str
    parsed: str
    offsets: tuple[tuple[int, int], ...]

    def span(self, start: int, stop: int) -> tuple[int, int]:
        """Convert half-open offsets in `text` to offsets in the caption as typed."""
        return self.offsets[start][0], self.offsets[stop - 1][1]


def read_caption(caption: str) -> NormalizedCaption:
    """Check and normalise a caption.

    Raises MultiObjectError if it is not text with words, too long, or not English.
    """
    if not isinstance(caption, str):
        raise MultiObjectError(
            f"the caption is a {type(caption).__name__}; expected a text, such as 'a cat and a dog'"
        )
    if len(caption) > MAX_CHARACTERS:
        raise MultiObjectError(
            f"the caption has {len(caption):,} characters; expected at most {MAX_CHARACTERS:,}: "
            "split it and query each part"
        )
    text, offsets = _plain(caption)
    if not any(c.isalpha() for c in text):
        given = repr(caption) if len(caption) <= 40 else repr(caption[:40]) + "..."
        raise MultiObjectError(
            f"the caption {given} holds no words; expected a text, such as 'a cat and a dog'"
        )
    _refuse_foreign(text)
    return NormalizedCaption(text, _small_headline(text), offsets)


def _plain(caption: str) -> tuple[str, tuple[tuple[int, int], ...]]:
    """Replace symbols, which parse as nouns, by blanks, and join runs of blanks."""
    kept: list[tuple[str, int, int]] = []
    for i, c in enumerate(caption.translate(_STRAIGHT)):
        category = unicodedata.category(c)
        if category == "Mn":  # an accent typed after its letter; others only colour emoji
            composed = unicodedata.normalize("NFC", kept[-1][0] + c) if kept else ""
            if len(composed) == 1:
                kept[-1] = (composed, kept[-1][1], i + 1)
        elif not c.isspace() and category not in _BLANK:
            kept.append((c, i, i + 1))
        elif kept and kept[-1][0] != " ":
            kept.append((" ", i, i + 1))
    if kept and kept[-1][0] == " ":
        kept.pop()
    return "".join(c for c, _, _ in kept), tuple((start, stop) for _, start, stop in kept)


def _refuse_foreign(text: str) -> None:
    letters = [c for c in text if c.isalpha()]
    latin = sum("LATIN" in unicodedata.name(c, "") for c in letters)
    words = re.findall(r"[^\W\d_]+", text.lower())
    foreign = sum(w in _FOREIGN for w in words) + (words[0] in _FOREIGN_ARTICLES)
    english = sum(w in _ENGLISH for w in words)
    # an English sentence may hold a foreign name ("a poster of El Greco")
    if latin * 2 <= len(letters) or (foreign >= 2 and foreign > 2 * english):
        shown = text if len(text) <= 40 else text[:40] + "..."
        raise MultiObjectError(
            f"the caption {shown!r} does not read as English; expected an English sentence: "
            "translate it, or ground its phrases one by one"
        )


def _small_headline(text: str) -> str:
    """Lower the case of headlines: parsers take capitalised words for names."""
    words = re.findall(r"[^\W\d_]+", text)
    headline = text.upper() == text or (
        len(words) >= 3 and all(w[0].isupper() for w in words if len(w) > 1)
    )
    if not headline:
        return text
    return "".join(low if len(low := c.lower()) == 1 else c for c in text)
