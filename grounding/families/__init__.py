"""Model families by name. A new family is one file here and one line in :data:`FAMILIES`."""

from __future__ import annotations

import difflib

from ..errors import GroundingError
from .base import Family, ImageTokens, PreparedImage, Presence, Prompt
from .deepseek_vl import DeepseekVLFamily, DeepseekVLHybridFamily
from .gemma import Gemma3Family, PaliGemmaFamily
from .idefics import Idefics3Family, SmolVLMFamily
from .internvl import InternVLFamily
from .llava import LlavaFamily
from .llava_next import LlavaNextFamily, LlavaOnevisionFamily
from .mini_gemini import MiniGeminiFamily
from .qwen_vl import Qwen2VLFamily, Qwen3VLFamily, Qwen25VLFamily

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
    "mini_gemini": MiniGeminiFamily,
    "llava_next": LlavaNextFamily,
    "llava_onevision": LlavaOnevisionFamily,
    "qwen2_vl": Qwen2VLFamily,
    "qwen2_5_vl": Qwen25VLFamily,
    "qwen3_vl": Qwen3VLFamily,
    "internvl": InternVLFamily,
    "deepseek_vl": DeepseekVLFamily,
    "deepseek_vl_hybrid": DeepseekVLHybridFamily,
    "idefics3": Idefics3Family,
    "smolvlm": SmolVLMFamily,
    "paligemma": PaliGemmaFamily,
    "gemma3": Gemma3Family,
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
