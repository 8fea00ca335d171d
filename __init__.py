"""Groundbrush: find it in words, paint something else, touch nothing more.

Names load on first use: ``import groundbrush`` loads no model library.
"""

import lazy_loader

from .editor import __version__ as __version__

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["app", "editor", "grounding", "inpaint", "miniature", "multiobject"],
    submod_attrs={
        "editor.api": ["Editor"],
        "editor.editing.result": ["Edit"],
        "editor.errors": ["GroundbrushError"],
        "editor.models.presets": ["Preset", "load_preset", "preset_names"],
        "editor.pictures.picture": ["open_picture"],
        "editor.plan.reader": ["read_plan"],
        "editor.plan.steps": ["Plan", "Step"],
        "grounding.result": ["Grounding"],
    },
)
