"""LLaVA-NeXT and LLaVA-OneVision: an overview of the whole picture, then tiles of it.

The model gets all of it, as in training. Rows are usually read over the overview: its tokens come
first and cover the whole picture, squashed, in one regular grid. With ``tiles="fine"`` it is the
tiles: these follow row by row of the whole picture, its shape kept, each row ended by a
line break.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..errors import GroundingError
from .base import Family, check_aspect, leading_tokens, square_grid
from .geometry import TILES, ImageTokens, PreparedImage, Region


class LlavaNextFamily(Family):
    """The LLaVA-NeXT adapter; see :class:`Family`."""

    name = "llava_next"
    model_types: tuple[str, ...] = ("llava_next",)
    tilings: tuple[str, ...] = ("overview", "fine")
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

        Inputs: ``pixel_values`` (1, 1 + tiles, 3, S, S) float32 and ``image_sizes`` (1, 2) int64,
        with the prefix for its number of tokens.
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
        canvas = self._canvas(width, height)
        rows, columns = tile_grid((width, height), canvas, self._most_tiles())
        overview = self._tokens(region)
        prefix = self.prompts.prefix(overview.count + rows * (columns + 1))
        if self.tiles == "overview":
            return PreparedImage(inputs, overview, prefix_ids=prefix)
        first = overview.start + overview.count
        places = first + np.arange(rows)[:, None] * (columns + 1) + np.arange(columns)
        x0, y0, x1, y1 = tile_region((width, height), canvas, side, self._covered)
        left, top = region[:2]  # of the square, where the picture was padded first
        seen = (x0 + left, y0 + top, x1 + left, y1 + top)
        tokens = ImageTokens(first, (rows, columns), seen, tuple(places.ravel().tolist()))
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
    """The LLaVA-OneVision adapter; see :class:`Family`.

    ``padding="squash"`` feeds the overview and its tiles, the model's way with a single picture:
    up to some 7,000 tokens. ``padding="pad"`` feeds one view padded to a square, its way with
    several pictures: 730 tokens. `tiles` changes either.
    """

    name = "llava_onevision"
    model_types: tuple[str, ...] = ("llava_onevision",)
    tilings: tuple[str, ...] = TILES
    default_prompt = "<|im_start|>user <image>\n{phrase}<|im_end|><|im_start|>assistant\n"

    def _usual_tiles(self) -> str:
        return "off" if self.padding == "pad" else "overview"

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image; see the base class."""
        if self.tiles != "off":
            return super().prepare(image)
        shaped, region = self._shaped(image)
        side = self.image_size
        # Its processor would pad by itself (a list of pictures is not tiled), but not say where.
        out = self._process(
            shaped, size={"height": side, "width": side}, image_grid_pinpoints=[[side, side]]
        )
        inputs: dict[str, np.ndarray] = {
            "pixel_values": np.asarray(out["pixel_values"], dtype=np.float32)[:, :1],
            "image_sizes": np.asarray([shaped.shape[:2]], dtype=np.int64),
            # Anything but one picture in the sample: then it is not tiled.
            "batch_num_images": np.asarray([2], dtype=np.int64),
        }
        tokens = self._tokens(region)
        # The view's tokens are followed by one line break.
        return PreparedImage(inputs, tokens, prefix_ids=self.prompts.prefix(tokens.count + 1))

    def _most_tiles(self) -> int | None:
        given = str(self.config.vision_aspect_ratio).removeprefix("anyres_max_")
        if not given.isdigit():
            raise GroundingError(
                f"vision_aspect_ratio={self.config.vision_aspect_ratio!r}; expected a text such "
                "as 'anyres_max_9'"
            )
        return int(given)


def tile_grid(
    size_wh: tuple[int, int], canvas: tuple[int, int, int], most_tiles: int | None = None
) -> tuple[int, int]:
    """Rows and columns of the tokens that the tiles of a picture take, line breaks aside.

    Parameters
    ----------
    size_wh : The picture's width and height in pixels.
    canvas : Columns and rows of tokens over all tiles, and the columns of one tile. The picture
        lies centred in it with its shape kept; rows or columns of padding are dropped.
    most_tiles : Tokens beyond this many tiles' are pooled (LLaVA-OneVision); None = never.

    Examples
    --------
    A picture of 2 : 1 on 2 x 2 tiles of 24 x 24 keeps 24 rows of 48 tokens:

    >>> tile_grid((400, 200), (48, 48, 24))
    (24, 48)
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
    return rows, columns


def tile_region(
    size_wh: tuple[int, int], canvas: tuple[int, int, int], side: int, covered: float = 1.0
) -> Region:
    """Region of the picture, in its pixels, that the tokens of its tiles cover.

    `size_wh` and `canvas` as for :func:`tile_grid`; `side` is a tile's in pixels, and `covered` the
    share of it that patches cover: the gaps are spread over the cells.

    Examples
    --------
    >>> tile_region((400, 200), (48, 48, 24), 336)
    (0.0, 0.0, 400.0, 200.0)

    Whole rows of tokens are dropped with the padding, and what they hold of the picture:

    >>> tile_region((400, 220), (48, 48, 24), 336)  # doctest: +ELLIPSIS
    (0.0, 1.78..., 400.0, 218.2...)
    """
    width, height = size_wh
    columns, rows, cells = canvas
    cell = side / cells
    canvas_w, canvas_h = columns // cells * side, rows // cells * side
    across, down = canvas_w / width, canvas_h / height
    new_w = canvas_w if across < down else min(math.ceil(width * down), canvas_w)
    new_h = canvas_h if down <= across else min(math.ceil(height * across), canvas_h)
    kept_rows, kept_columns = tile_grid(size_wh, canvas)
    gap = (1 - covered) / 2 * side
    x = (columns - kept_columns) // 2 * cell - (canvas_w - new_w) // 2 - gap
    y = (rows - kept_rows) // 2 * cell - (canvas_h - new_h) // 2 - gap
    x1, y1 = x + kept_columns * cell, y + kept_rows * cell
    return (x * width / new_w, y * height / new_h, x1 * width / new_w, y1 * height / new_h)
