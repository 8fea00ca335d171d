"""Mini-Gemini: LLaVA's grid of tokens, each refined by a second, high-resolution tower.

The picture is prepared once, at the second tower's 768 pixels; the model makes the first tower's
336 of it by itself, as the original does.
"""

from __future__ import annotations

from typing import Any

from ..errors import GroundingError
from .base import leading_tokens, square_grid
from .llava import LlavaFamily


class MiniGeminiFamily(LlavaFamily):
    """The Mini-Gemini adapter; see :class:`Family`."""

    name = "mini_gemini"
    model_types: tuple[str, ...] = ("mini_gemini",)
    default_prompt = "<start_of_turn>user\n<image>\n{phrase}<end_of_turn>\n<start_of_turn>model\n"

    @classmethod
    def register(cls) -> None:
        """Make transformers' auto classes know the model, which they do not ship."""
        from transformers import AutoConfig, AutoModel, AutoModelForImageTextToText

        from . import mini_gemini_model as ours

        config = ours.MiniGeminiConfig
        AutoConfig.register(config.model_type, config, exist_ok=True)
        AutoModel.register(config, ours.MiniGeminiModel, exist_ok=True)
        AutoModelForImageTextToText.register(
            config, ours.MiniGeminiForConditionalGeneration, exist_ok=True
        )

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        _, grid = square_grid(config.vision_config)
        side, fine = config.high_res_size, config.high_res_config
        if leading_tokens(config) or side % (fine.patch_size * grid[0]):
            raise GroundingError(
                f"high_res_size={side} in patches of {fine.patch_size} over {grid[0]} x {grid[1]} "
                "tokens; expected whole patches under each token and no class token among them "
                "(vision_feature_select_strategy='default')"
            )
        return side, grid, 0
