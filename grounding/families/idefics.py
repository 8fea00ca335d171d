"""Idefics3 and SmolVLM: one global view, pixel-shuffled to few tokens.

The picture is not split: the global view alone, which is what the models are given for pictures
without splitting. Its grid is coarse (13 x 13 for Idefics3, 9 x 9 or 8 x 8 for SmolVLM).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from grounding.families.base import ImageTokens, PreparedImage
from grounding.families.common import PictureFamily, square_grid

__all__ = ["Idefics3Family", "SmolVLMFamily"]


class Idefics3Family(PictureFamily):
    """The Idefics3 adapter; parameters and errors as for `PictureFamily`."""

    name = "idefics3"
    model_types: tuple[str, ...] = ("idefics3",)
    default_prompt = "User:<image>{phrase}<end_of_utterance>\nAssistant:"
    picture = "<fake_token_around_image><global-img><image><fake_token_around_image>"

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        return *square_grid(config.vision_config, config.scale_factor), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image as one view.

        Returns
        -------
        PreparedImage
            ``pixel_values`` (1, 1, 3, S, S) float32 and ``pixel_attention_mask`` (1, 1, S, S).

        Raises
        ------
        GroundingError
            When the image has another shape or dtype.
        """
        shaped, region = self._shaped(image)
        side = self.image_size
        out = self._process(
            shaped,
            # Straight to the view's square: by way of the tiling size, small pictures would
            # first be blown up.
            size={"height": side, "width": side},
            max_image_size={"longest_edge": side},
            do_image_splitting=False,
        )
        inputs: dict[str, np.ndarray] = {
            "pixel_values": np.asarray(out["pixel_values"], np.float32).reshape(
                1, 1, 3, side, side
            ),
            "pixel_attention_mask": np.ones((1, 1, side, side), np.int64),
        }
        return PreparedImage(inputs, ImageTokens(self._first_patch, self.grid_hw, region))


class SmolVLMFamily(Idefics3Family):
    """The SmolVLM adapter; as Idefics3 with its own opening."""

    name = "smolvlm"
    model_types: tuple[str, ...] = (
        "smolvlm",
        "idefics3",
    )  # the first SmolVLM is stored as an Idefics3
    default_prompt = "<|im_start|>User:<image>{phrase}<end_of_utterance>\nAssistant:"
