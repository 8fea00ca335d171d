"""A picture and a sentence -> everything the sentence names, one segment per phrase.

Names load on first use, so that `import multiobject` costs nothing and loads no spaCy.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

# module -> public names
_EXPORTS: dict[str, tuple[str, ...]] = {
    "errors": ("MultiObjectError",),
    "everything": ("ground_all",),
    "id_map": ("resolve_overlaps",),
    "panoptic": ("Instance", "PanopticGrounding", "Segment"),
    "phrases": ("NounPhrase", "noun_phrases"),
}
_HOME = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
