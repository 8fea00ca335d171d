"""LLaVA-1.5 and other checkpoints of transformers' ``LlavaForConditionalGeneration``.

The picture is prepared here rather than by the checkpoint's own settings, because the choice
matters for grounding: llava-hf checkpoints crop the centre (a 16:9 picture loses 44% of its
width), the original LLaVA pads to a square with the mean colour.
"""

from __future__ import annotations

from typing import Any

from .base import Family, leading_tokens, square_grid
from .geometry import PADDINGS


class LlavaFamily(Family):
    """The LLaVA adapter: one square view, any CLIP-like tower; see :class:`Family`.

    Of the image processor only the resampling, the mean and the deviation are used.
    """

    name = "llava"
    model_types: tuple[str, ...] = ("llava",)
    default_prompt = "USER: <image>\n{phrase} ASSISTANT:"
    default_padding = "pad"
    paddings = PADDINGS
    switched_off = ("do_center_crop", "do_pad")

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        size, grid = square_grid(config.vision_config)
        return size, grid, leading_tokens(config)
