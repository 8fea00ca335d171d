"""InternVL 2.5 and 3 as ``-hf`` checkpoints of ``InternVLForConditionalGeneration``.

Usually one squashed 448-pixel view is read, as the model does for pictures it does not tile:
16 x 16 tokens. With ``tiles`` the picture is also cut into up to twelve tiles of that size, in the
arrangement nearest to its shape, which come before the overview.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GroundingError
from .base import Family, leading_tokens, square_grid
from .geometry import TILES, PreparedImage


class InternVLFamily(Family):
    """The InternVL adapter; see :class:`Family`."""

    name = "internvl"
    model_types: tuple[str, ...] = ("internvl",)
    default_prompt = "<|im_start|>user\n<image>\n{phrase}<|im_end|>\n<|im_start|>assistant\n"
    tilings: tuple[str, ...] = TILES
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
        """Prepare an (H, W, 3) uint8 RGB image.

        Inputs: ``pixel_values`` (views, 3, S, S) float32: one view, or tiles and then the overview,
        with the prefix for their number of tokens.
        """
        shaped, region = self._shaped(image)
        side = self.image_size
        size = {"height": side, "width": side}
        out = self._process(shaped, size=size, crop_to_patches=self.tiles != "off")
        pixels = np.asarray(out["pixel_values"], dtype=np.float32)
        if len(pixels) == 1:  # also a small square picture, which is not tiled
            return self._one_view(out, region)
        rows, columns = self.grid_hw
        prefix = self.prompts.prefix(len(pixels) * rows * columns)
        tokens = self._tiled_tokens(prefix, self._arrangement(shaped), region)
        return PreparedImage({"pixel_values": pixels}, tokens, prefix_ids=prefix)

    def _arrangement(self, image: np.ndarray) -> tuple[int, int]:
        """Rows and columns of tiles that the processor cuts an image into."""
        from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import (
            get_optimal_tiled_canvas,
        )

        processor, side = self.image_processor, self.image_size
        columns, rows = get_optimal_tiled_canvas(
            image.shape[:2], (side, side), processor.min_patches, processor.max_patches
        )
        return rows, columns
