"""Model families by name. A new family is one file here and one line in :data:`FAMILIES`."""

from __future__ import annotations

from ..checks import close_name
from ..errors import GroundingError
from .base import Family
from .deepseek_vl import DeepseekVLFamily, DeepseekVLHybridFamily
from .gemma import Gemma3Family, PaliGemmaFamily
from .geometry import ImageTokens, PreparedImage
from .idefics import Idefics3Family, SmolVLMFamily
from .internvl import InternVLFamily
from .llava import LlavaFamily
from .llava_next import LlavaNextFamily, LlavaOnevisionFamily
from .mini_gemini import MiniGeminiFamily
from .prompts import TokenizedPrompt
from .qwen_vl import Qwen2VLFamily, Qwen3VLFamily, Qwen25VLFamily

__all__ = ["FAMILIES", "Family", "ImageTokens", "PreparedImage", "TokenizedPrompt", "family_class"]

FAMILIES: dict[str, type[Family]] = {
    family.name: family
    for family in (
        LlavaFamily,
        MiniGeminiFamily,
        LlavaNextFamily,
        LlavaOnevisionFamily,
        Qwen2VLFamily,
        Qwen25VLFamily,
        Qwen3VLFamily,
        InternVLFamily,
        DeepseekVLFamily,
        DeepseekVLHybridFamily,
        Idefics3Family,
        SmolVLMFamily,
        PaliGemmaFamily,
        Gemma3Family,
    )
}


def family_class(name: str) -> type[Family]:
    """Look a family up; GroundingError for an unknown name, with a close one suggested.

    Examples
    --------
    >>> family_class("llava").name
    'llava'
    """
    if name in FAMILIES:
        return FAMILIES[name]
    close = close_name(name, FAMILIES)
    hint = f"did you mean {close!r}?" if close else "add one in grounding/families/"
    raise GroundingError(f"no model family {name!r}; known: {', '.join(FAMILIES)}; {hint}")
