"""PaliGemma (1 and 2) and Gemma 3: Google's SigLIP models on Gemma."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import GroundingError
from .base import Family, square_grid
from .geometry import PreparedImage


class PaliGemmaFamily(Family):
    """The PaliGemma adapter; see :class:`Family`.

    A prefix language model: the picture's tokens attend to the text, so nothing but the vision
    tower's work is shared between phrases.
    """

    name = "paligemma"
    model_types: tuple[str, ...] = ("paligemma",)
    packs_phrases = False
    shares_prefix = False
    default_prompt = "<image>detect {phrase}\n"
    picture = "<image><bos>"
    adds_special = False  # the tokenizer would put <bos> before the picture

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        return *square_grid(config.vision_config), 0


class Gemma3Family(Family):
    """The Gemma 3 adapter: 64 x 64 patches pooled to 16 x 16 tokens.

    Phrases run one by one: a mask of our own would override the sliding windows of its layers.
    Pan and scan (extra crops of elongated pictures) is left out. See :class:`Family`.
    """

    name = "gemma3"
    model_types: tuple[str, ...] = ("gemma3",)
    packs_phrases = False
    default_prompt = "<start_of_turn>user\n<image>{phrase}<end_of_turn>\n<start_of_turn>model\n"
    image_token = "<image_soft_token>"
    picture = "\n\n<start_of_image><image_soft_token><end_of_image>\n\n"

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        size, (rows, _) = square_grid(config.vision_config)
        side = math.isqrt(config.mm_tokens_per_image)
        if side**2 != config.mm_tokens_per_image or rows % side:
            raise GroundingError(
                f"mm_tokens_per_image={config.mm_tokens_per_image} over {rows} x {rows} patches; "
                "expected a square number with a side that divides the patches"
            )
        return size, (side, side), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image as one square view; see the base class."""
        shaped, region = self._shaped(image)
        side = self.image_size
        size = {"height": side, "width": side}
        out = self._process(shaped, size=size, do_pan_and_scan=False)
        view = self._one_view(out, region)
        # Tokens of one picture see each other in both directions.
        kinds = np.asarray([self.prefix_ids]) == self.prompts.image_token_id
        return PreparedImage({**view.inputs, "token_type_ids": kinds.astype(np.int64)}, view.tokens)
