"""Model families by name. A new family is one file here and one line in :data:`FAMILIES`."""

from __future__ import annotations

import difflib

from grounding.errors import GroundingError
from grounding.families.base import Family, ImageTokens, PreparedImage, Presence, Prompt
from grounding.families.llava import LlavaFamily

__all__ = [
    "FAMILIES",
    "Family",
    "ImageTokens",
    "LlavaFamily",
    "PreparedImage",
    "Presence",
    "Prompt",
    "family_class",
]

FAMILIES: dict[str, type[Family]] = {
    "llava": LlavaFamily,
}


def family_class(name: str) -> type[Family]:
    """Look a family up.

    Raises
    ------
    GroundingError
        For an unknown name; close names are suggested.

    Examples
    --------
    >>> family_class("llava").name
    'llava'
    """
    if name in FAMILIES:
        return FAMILIES[name]
    close = difflib.get_close_matches(str(name), FAMILIES, n=1)
    hint = f"did you mean {close[0]!r}?" if close else "add one in grounding/families/"
    raise GroundingError(f"no model family {name!r}; known: {', '.join(FAMILIES)}; {hint}")
