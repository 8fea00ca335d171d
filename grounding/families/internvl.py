"""InternVL 2.5 and 3 as ``-hf`` checkpoints of ``InternVLForConditionalGeneration``.

One squashed 448-pixel view is read, as the model does for pictures it does not tile: 16 x 16
tokens. Tiles would give finer tokens, but each tile is a grid of its own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grounding.errors import GroundingError
from grounding.families.base import PreparedImage
from grounding.families.common import PictureFamily, leading_tokens, square_grid

__all__ = ["InternVLFamily"]


class InternVLFamily(PictureFamily):
    """The InternVL adapter; parameters and errors as for `PictureFamily`."""

    name = "internvl"
    model_types: tuple[str, ...] = ("internvl",)
    default_prompt = "<|im_start|>user\n<image>\n{phrase}<|im_end|>\n<|im_start|>assistant\n"
    image_token = "<IMG_CONTEXT>"
    picture = "<img><IMG_CONTEXT></img>"

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        merge = round(1 / config.downsample_ratio)
        if leading_tokens(config):
            raise GroundingError(
                "an InternVL config that keeps the class token cannot fold its tokens to a square; "
                "set vision_feature_select_strategy='default'"
            )
        return *square_grid(config.vision_config, merge), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image as one square view; see the base class."""
        shaped, region = self._shaped(image)
        side = self.image_size
        size = {"height": side, "width": side}
        return self._one_view(self._process(shaped, size=size, crop_to_patches=False), region)
