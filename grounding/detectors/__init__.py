"""Detectors that find a phrase without localization heads, behind the same `Grounding`.

A backend has the interface of :class:`grounding.Grounder`; a preset names it in its ``find``
section. A new one is a file here and a line in :data:`BACKENDS`. They know no LVLM and no heads.
"""

from __future__ import annotations

from importlib import import_module

from ..checks import close_name
from ..errors import GroundingError
from .base import Backend, Detections, DetectorView, NoLVLM

# name -> (module, class); imported on demand, since the modules need torch
BACKENDS: dict[str, tuple[str, str]] = {
    "grounding-dino": ("grounding_dino", "GroundingDino"),
    "sam3": ("sam3", "Sam3"),
    "marks": ("marks", "Marks"),
}

__all__ = ["BACKENDS", "Backend", "Detections", "DetectorView", "NoLVLM", "backend_class"]


def backend_class(name: str) -> type[Backend]:
    """The class of a backend; GroundingError for an unknown name, with a close one suggested.

    Examples
    --------
    >>> backend_class("sam3").title
    'SAM 3'
    """
    if name not in BACKENDS:
        near = close_name(name, BACKENDS)
        hint = f" (did you mean {near!r}?)" if near else ""
        raise GroundingError(
            f"find backend {name!r} given{hint}; expected one of {', '.join(BACKENDS)}"
        )
    module, kind = BACKENDS[name]
    found: type[Backend] = getattr(import_module(f"{__name__}.{module}"), kind)
    return found
