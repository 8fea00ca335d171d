"""LLaVA-NeXT and LLaVA-OneVision: an overview of the whole picture, then tiles of it.

The model is fed all of it, as it was trained; read is the overview, whose tokens come first and
cover the whole picture, squashed, in one regular grid.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from grounding.errors import GroundingError
from grounding.families.base import ImageTokens, PreparedImage
from grounding.families.common import PictureFamily, check_aspect, leading_tokens, square_grid

__all__ = ["LlavaNextFamily", "LlavaOnevisionFamily", "tile_tokens"]


class LlavaNextFamily(PictureFamily):
    """The LLaVA-NeXT adapter; parameters and errors as for `PictureFamily`."""

    name = "llava_next"
    model_types: tuple[str, ...] = ("llava_next",)
    default_prompt = "USER: <image>\n{phrase} ASSISTANT:"

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        if leading_tokens(config):
            raise GroundingError(
                "a class token among the features does not fold to tiles; set "
                "vision_feature_select_strategy='default' in the config"
            )
        return *square_grid(config.vision_config), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image.

        Returns
        -------
        PreparedImage
            ``pixel_values`` (1, 1 + tiles, 3, S, S) float32 and ``image_sizes`` (1, 2) int64,
            with the prefix for its number of tokens.

        Raises
        ------
        GroundingError
            When the image has another shape or dtype, or is a thin strip.
        """
        shaped, region = self._shaped(image)
        check_aspect(shaped, "be tiled")
        side = self.image_size
        out = self._process(
            shaped,
            size={"height": side, "width": side},
            do_center_crop=False,
            image_grid_pinpoints=[list(p) for p in self.config.image_grid_pinpoints],
        )
        height, width = shaped.shape[:2]
        inputs: dict[str, np.ndarray] = {
            "pixel_values": np.asarray(out["pixel_values"], dtype=np.float32),
            "image_sizes": np.asarray([[height, width]], dtype=np.int64),
        }
        tokens = ImageTokens(self._first_patch, self.grid_hw, region)
        tiles = tile_tokens((width, height), self._canvas(width, height), self._most_tiles())
        prefix = self._prompts.prefix(tokens.count + tiles)
        return PreparedImage(inputs, tokens, prefix_ids=prefix)

    def _canvas(self, width: int, height: int) -> tuple[int, int, int]:
        """Columns and rows of tokens over all tiles, and the columns of one tile."""
        from transformers.image_processing_utils import select_best_resolution

        best_h, best_w = select_best_resolution(
            (height, width), [tuple(p) for p in self.config.image_grid_pinpoints]
        )
        cells = self.grid_hw[0]
        return best_w // self.image_size * cells, best_h // self.image_size * cells, cells

    def _most_tiles(self) -> int | None:
        """Above how many tiles' worth of tokens the model pools them; None = never."""
        return None


class LlavaOnevisionFamily(LlavaNextFamily):
    """The LLaVA-OneVision adapter; parameters and errors as for `PictureFamily`.

    ``padding="squash"`` feeds the overview and its tiles, the model's way with a single picture:
    up to some 7,000 tokens. ``padding="pad"`` feeds one view padded to a square, its way with
    several pictures: 730 tokens.
    """

    name = "llava_onevision"
    model_types: tuple[str, ...] = ("llava_onevision",)
    default_prompt = "<|im_start|>user <image>\n{phrase}<|im_end|><|im_start|>assistant\n"

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image; see the base class."""
        if self.padding == "squash":
            return super().prepare(image)
        shaped, region = self._shaped(image)
        side = self.image_size
        # Its processor would pad by itself (a list of pictures is not tiled), but not say where.
        out = self._process(shaped, size={"height": side, "width": side}, image_grid_pinpoints=[
            [side, side]])  # fmt: skip
        inputs: dict[str, np.ndarray] = {
            "pixel_values": np.asarray(out["pixel_values"], dtype=np.float32)[:, :1],
            "image_sizes": np.asarray([shaped.shape[:2]], dtype=np.int64),
            # Anything but one picture in the sample: then it is not tiled.
            "batch_num_images": np.asarray([2], dtype=np.int64),
        }
        tokens = ImageTokens(self._first_patch, self.grid_hw, region)
        # The view's tokens are followed by one line break.
        return PreparedImage(inputs, tokens, prefix_ids=self._prompts.prefix(tokens.count + 1))

    def _most_tiles(self) -> int | None:
        given = str(self.config.vision_aspect_ratio).removeprefix("anyres_max_")
        if not given.isdigit():
            raise GroundingError(
                f"vision_aspect_ratio={self.config.vision_aspect_ratio!r}; expected a text such "
                "as 'anyres_max_9'"
            )
        return int(given)


def tile_tokens(
    size_wh: tuple[int, int], canvas: tuple[int, int, int], most_tiles: int | None = None
) -> int:
    """How many tokens the tiles of a picture take, line breaks included.

    Parameters
    ----------
    size_wh
        The picture's width and height in pixels.
    canvas
        Columns and rows of tokens over all tiles, and the columns of one tile. The picture lies
        centred in it with its shape kept; rows or columns of padding are dropped.
    most_tiles
        Tokens beyond this many tiles' are pooled (LLaVA-OneVision); None = never.

    Examples
    --------
    A picture of 2 : 1 on 2 x 2 tiles of 24 x 24 keeps 24 rows of 48 tokens and a line break:

    >>> tile_tokens((400, 200), (48, 48, 24))
    1176
    """
    width, height = size_wh
    columns, rows, cells = canvas
    if width / height > columns / rows:
        rows -= (rows - int(round(height * (columns / width), 7))) // 2 * 2
    else:
        columns -= (columns - int(round(width * (rows / height), 7))) // 2 * 2
    if most_tiles is not None:
        ratio = math.sqrt(columns * rows / (most_tiles * cells**2))
        if ratio > 1.1:
            rows, columns = int(rows // ratio), int(columns // ratio)
    return rows * columns + rows
