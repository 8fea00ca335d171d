"""LLaVA-1.5 and other checkpoints of transformers' ``LlavaForConditionalGeneration``.

The picture is prepared here rather than by the checkpoint's own settings, because the choice
matters for grounding: llava-hf checkpoints crop the centre (a 16:9 picture loses 44% of its
width), the original LLaVA pads to a square with the mean colour.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import check_image
from .base import Family, check_aspect, leading_tokens, square_grid
from .geometry import PADDINGS, Region, crop_region
from .tokens import PreparedImage


class LlavaFamily(Family):
    """The LLaVA adapter: one square view, any CLIP-like tower; see :class:`Family`.

    Of the image processor only the resampling, the mean and the deviation are used.
    """

    name = "llava"
    model_types: tuple[str, ...] = ("llava",)
    default_prompt = "USER: <image>\n{phrase} ASSISTANT:"
    default_padding = "pad"
    paddings = PADDINGS

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        size, grid = square_grid(config.vision_config)
        return size, grid, leading_tokens(config)

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image.

        Inputs: ``pixel_values`` (1, 3, S, S) float32, S the vision tower's side.
        """
        check_image(image)
        height, width = image.shape[:2]
        size = self.image_size
        region: Region
        if self.padding == "crop":
            check_aspect(image, "crop")
            region = crop_region(width, height, size)
            how = {
                "size": {"shortest_edge": size},
                "do_center_crop": True,
                "crop_size": {"height": size, "width": size},
            }
        else:
            image, region = self._shaped(image)
            how = {"size": {"height": size, "width": size}, "do_center_crop": False}
        if hasattr(self.image_processor, "do_pad"):
            how = {**how, "do_pad": False}
        return self._one_view(self._process(image, **how), region)
