"""Idefics3 and SmolVLM: views pixel-shuffled to few tokens.

Usually the global view alone, which is what the models are given for pictures without splitting.
Its grid is coarse (13 x 13 for Idefics3, 9 x 9 or 8 x 8 for SmolVLM). With ``tiles`` the picture is
split as the checkpoint's processor does, into tiles of up to 4 x 4, which come before it; read
``fine``, they make up for that.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import Family, square_grid
from .geometry import TILES, PreparedImage, Region


class Idefics3Family(Family):
    """The Idefics3 adapter; see :class:`Family`."""

    name = "idefics3"
    model_types: tuple[str, ...] = ("idefics3",)
    default_prompt = "User:<image>{phrase}<end_of_utterance>\nAssistant:"
    tilings: tuple[str, ...] = TILES
    picture = "<fake_token_around_image><global-img><image><fake_token_around_image>"

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        return *square_grid(config.vision_config, config.scale_factor), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image.

        Inputs: ``pixel_values`` (1, views, 3, S, S) float32 and ``pixel_attention_mask``
        (1, views, S, S): one view, or tiles and then the overview, with their prefix.
        """
        shaped, region = self._shaped(image)
        side = self.image_size
        if self.tiles != "off":
            return self._split(shaped, region)
        out = self._process(
            shaped,
            # Straight to the view's square: by way of the tiling size, small pictures would
            # first be blown up.
            size={"height": side, "width": side},
            max_image_size={"longest_edge": side},
            do_image_splitting=False,
        )
        return PreparedImage(self._inputs(out), self._tokens(region))

    def _split(self, image: np.ndarray, region: Region) -> PreparedImage:
        """Tiles and an overview, as the processor makes them of an image that covers `region`."""
        out = self._process(
            image,
            max_image_size={"longest_edge": self.image_size},
            do_image_splitting=True,
            return_row_col_info=True,
        )
        (rows,), (columns,) = out["rows"][0], out["cols"][0]
        if not rows:  # a processor set to no more than one view
            return PreparedImage(self._inputs(out), self._tokens(region))
        lines = [
            [f"<fake_token_around_image><row_{r + 1}_col_{c + 1}><image>" for c in range(columns)]
            for r in range(rows)
        ]
        tiles = "".join("".join(line) + "\n" for line in lines) + "\n"
        prefix = self.prompts.tiled_prefix(tiles)
        tokens = self._tiled_tokens(prefix, (int(rows), int(columns)), region)
        return PreparedImage(self._inputs(out), tokens, prefix_ids=prefix)

    def _inputs(self, out: Any) -> dict[str, np.ndarray]:
        """The processor's views, none of them padded."""
        side = self.image_size
        pixels = np.asarray(out["pixel_values"], np.float32).reshape(1, -1, 3, side, side)
        mask = np.ones((*pixels.shape[:2], side, side), np.int64)
        return {"pixel_values": pixels, "pixel_attention_mask": mask}


class SmolVLMFamily(Idefics3Family):
    """The SmolVLM adapter; as Idefics3 with its own opening."""

    name = "smolvlm"
    model_types: tuple[str, ...] = (
        "smolvlm",
        "idefics3",
    )  # the first SmolVLM is stored as an Idefics3
    default_prompt = "<|im_start|>User:<image>{phrase}<end_of_utterance>\nAssistant:"
