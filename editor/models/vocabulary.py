"""Words a small model does not know are refused by name, with near ones suggested."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ..errors import GroundbrushError, one_line
from ..files import open_regular

_LARGEST = 10_000_000  # bytes of a file
_GLUE = frozenset(["a", "an", "the", "and", "with", "of", "background"])


@dataclass(frozen=True)
class WordList:
    """The words that a model of few words knows."""

    nouns: tuple[str, ...]
    colours: tuple[str, ...]

    def check_prompt(self, prompt: str) -> None:
        """Refuse a painting prompt that holds words outside the list.

        Raises GroundbrushError, naming them, with near ones.
        """
        words = re.findall(r"[\w'-]+", prompt.lower())
        known = {*self.nouns, *self.colours, *_GLUE}
        unknown = [w for w in words if w not in known]
        if unknown:
            raise GroundbrushError(self.refusal(unknown, "paint"))

    def refusal(self, unknown: Sequence[str], verb: str) -> str:
        """Return a message: which words are unknown, which are near, which exist."""
        unknown = list(dict.fromkeys(unknown))
        near = [m for w in unknown for m in self.near(w)]
        hint = f"did you mean {' or '.join(dict.fromkeys(near))}? " if near else ""
        return (
            f"the small models in use cannot {verb} {', '.join(map(repr, unknown))}; "
            f"{hint}{'They' if near else 'they'} know {len(self.nouns)} things "
            f"({', '.join(self.nouns[:8])}, ...) and {len(self.colours)} colours; "
            "`groundbrush presets miniature` lists all. For photographs take the preset "
            "photo-light (4.4 GB to download) or photo, or classic, which removes what you mark"
        )

    def near(self, word: str) -> list[str]:
        """Known words spelled nearly alike."""
        return difflib.get_close_matches(word, [*self.nouns, *self.colours], n=2, cutoff=0.6)


@cache
def load_words(path: str) -> WordList:
    """Read the nouns and colours of a vocabulary file."""
    with open_regular(Path(path), "vocabulary") as file:
        content = file.read(_LARGEST)
    try:
        raw = json.loads(content)
        nouns, colours = (o["noun"] for o in raw["objects"]), raw["colours"]
        return WordList(tuple(map(str, nouns)), tuple(map(str, colours)))
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise GroundbrushError(
            f"{path!r} is no vocabulary ({one_line(error)}); expected JSON with objects, each with "
            "a noun, and colours; correct the preset"
        ) from error
