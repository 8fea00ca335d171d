"""Model families by name. A new family is one file here and one line in :data:`FAMILIES`."""

from __future__ import annotations

import difflib

from grounding.errors import GroundingError
from grounding.families.base import Family, ImageTokens, PreparedImage, Presence, Prompt
from grounding.families.deepseek_vl import DeepseekVLFamily, DeepseekVLHybridFamily
from grounding.families.gemma import Gemma3Family, PaliGemmaFamily
from grounding.families.idefics import Idefics3Family, SmolVLMFamily
from grounding.families.internvl import InternVLFamily
from grounding.families.llava import LlavaFamily
from grounding.families.llava_next import LlavaNextFamily, LlavaOnevisionFamily
from grounding.families.mini_gemini import MiniGeminiFamily
from grounding.families.qwen_vl import Qwen2VLFamily, Qwen3VLFamily, Qwen25VLFamily

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
