"""The wide composer: pictures of all shapes, things small, covered, cut, lit and shaded.

``miniature.scenes`` holds the scenes' types and the narrow composer of the first weights;
``miniature.foreign`` is written apart from both and is for validation only.
"""

from .scene import WIDE, WideSettings, compose_wide

__all__ = ["WIDE", "WideSettings", "compose_wide"]
