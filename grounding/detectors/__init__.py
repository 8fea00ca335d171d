"""Other ways to find a phrase than localization heads, behind the same `Grounding`.

A backend offers the editor what :class:`grounding.Grounder` offers; a preset names it in its
``find`` section. A new one is a file here and a line in :data:`BACKENDS`.
"""

from __future__ import annotations

import difflib
from importlib import import_module

from ..errors import GroundingError
from .base import Backend, Detections, NoLVLM, Seen

# name -> (module, class); imported when asked for, since the modules need torch
BACKENDS: dict[str, tuple[str, str]] = {
    "grounding-dino": ("grounding_dino", "GroundingDino"),
    "sam3": ("sam3", "Sam3"),
}

__all__ = ["BACKENDS", "Backend", "Detections", "NoLVLM", "Seen", "backend_class"]


def backend_class(name: str) -> type[Backend]:
    """The class of a backend.

    Raises
    ------
    GroundingError
        For an unknown name; a close one is suggested.

    Examples
    --------
    >>> backend_class("sam3").title
    'SAM 3'
    """
    if name not in BACKENDS:
        near = difflib.get_close_matches(str(name), BACKENDS, n=1)
        hint = f" (did you mean {near[0]!r}?)" if near else ""
        raise GroundingError(
            f"find backend {name!r} given{hint}; expected one of {', '.join(BACKENDS)}"
        )
    module, kind = BACKENDS[name]
    found: type[Backend] = getattr(import_module(f"{__name__}.{module}"), kind)
    return found
