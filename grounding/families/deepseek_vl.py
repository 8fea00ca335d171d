"""DeepSeek-VL 1.3B, and 7B with its second, high-resolution tower."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..checks import check_image
from .base import Family, square_grid
from .geometry import PreparedImage, Region, resized_pad_region, squash_region

_SYSTEM = (
    "You are a helpful language and vision assistant. You are able to understand the visual "
    "content that the user provides, and assist the user with a variety of tasks using natural "
    "language.\n\n"
)


class DeepseekVLFamily(Family):
    """The DeepSeek-VL 1.3B adapter; see :class:`Family`.

    With ``padding="pad"``, the default, the processor itself resizes and then pads.
    """

    name = "deepseek_vl"
    model_types: tuple[str, ...] = ("deepseek_vl",)
    default_prompt = _SYSTEM + "User: <image>{phrase}\n\nAssistant:"
    default_padding = "pad"
    image_token = "<image_placeholder>"
    view_size = "size"
    """The processor's setting that names the side at which it pads."""

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        return *square_grid(config.vision_config), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image as one square view; see the base class."""
        out, region = self._views(image)
        return self._one_view(out, region)

    def _views(self, image: np.ndarray) -> tuple[Any, Region]:
        """What the processor makes of the image, and the region its squares cover."""
        check_image(image)
        height, width = image.shape[:2]
        if self.padding == "squash":
            from PIL import Image

            # Its processor keeps the shape, so the square is made before.
            side = getattr(self.image_processor, self.view_size)["height"]
            square = Image.fromarray(np.ascontiguousarray(image)).resize((side, side))
            return self._process(np.asarray(square)), squash_region(width, height)
        settings = self.image_processor
        side = getattr(settings, self.view_size)["height"]
        return self._process(image), resized_pad_region(width, height, side, settings.min_size)


class DeepseekVLHybridFamily(DeepseekVLFamily):
    """The DeepSeek-VL 7B adapter: the same prompt and grid, two views of the same square."""

    name = "deepseek_vl_hybrid"
    model_types: tuple[str, ...] = ("deepseek_vl_hybrid",)
    view_size = "high_res_size"

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image.

        Inputs: ``pixel_values`` (1, 3, S, S) and ``high_res_pixel_values`` (1, 3, R, R) float32.
        """
        out, region = self._views(image)
        view = self._one_view(out, region)
        fine = np.asarray(out["high_res_pixel_values"], np.float32)
        fine = fine.reshape(1, 3, *fine.shape[-2:])
        return PreparedImage({**view.inputs, "high_res_pixel_values": fine}, view.tokens)
