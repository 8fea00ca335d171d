"""Groundbrush: find it in words, paint something else, touch nothing more.

Names load on first use: ``import editor`` loads no model library.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"
_EXPORTS = {
    "Edit": "editor.edit",
    "Editor": "editor.api",
    "Grounding": "grounding.result",
    "GroundbrushError": "editor.errors",
    "Plan": "editor.plan",
    "Preset": "editor.presets",
    "Step": "editor.plan",
    "load_preset": "editor.presets",
    "open_picture": "editor.images",
    "preset_names": "editor.presets",
    "read_plan": "editor.plan.reader",
}
__all__ = sorted(_EXPORTS)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
