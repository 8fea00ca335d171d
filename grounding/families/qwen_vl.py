"""Qwen2-VL, Qwen2.5-VL and Qwen3-VL: the token grid takes the picture's own shape.

The picture is resized to whole cells (two by two patches a token), so its shape is kept but for
the rounding. Positions have three parts (time, row, column): they are given here, for the model
would otherwise remember those of the last picture it read.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import GroundingError
from .base import Family, check_aspect
from .geometry import ImageTokens, PreparedImage

_FEWEST_TOKENS = 256
_MOST_TOKENS = 1024
"""The processors' own bounds are 4 to 16,384 tokens: small pictures would get a grid too coarse
to find anything on, large ones a cost without a gain for finding."""


class Qwen2VLFamily(Family):
    """The Qwen2-VL adapter; see :class:`Family`.

    ``padding="squash"`` is the model's own way: the whole picture on a grid of nearly its shape.
    """

    name = "qwen2_vl"
    model_types: tuple[str, ...] = ("qwen2_vl",)
    default_prompt = (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<image>{phrase}<|im_end|>\n<|im_start|>assistant\n"
    )
    image_token = "<|image_pad|>"
    picture = "<|vision_start|><|image_pad|><|vision_end|>"

    def _layout(self, config: Any) -> tuple[int, tuple[int, int], int]:
        vision, processor = config.vision_config, self.image_processor
        theirs = (vision.patch_size, vision.spatial_merge_size, vision.temporal_patch_size)
        ours = (processor.patch_size, processor.merge_size, processor.temporal_patch_size)
        if theirs != ours:
            raise GroundingError(
                f"the image processor cuts (patch, merge, frames) {ours}, the model takes "
                f"{theirs}; use the processor saved with the model"
            )
        cell = vision.patch_size * vision.spatial_merge_size
        side = int(_MOST_TOKENS**0.5)
        return side * cell, (side, side), 0

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image.

        Inputs: ``pixel_values`` (patches, values) float32, ``image_grid_thw`` (1, 3) and
        ``position_ids`` (3, 1, prefix) int64, with the prefix for its number of tokens.
        """
        shaped, region = self._shaped(image)
        check_aspect(shaped, "be read")
        merge = self.config.vision_config.spatial_merge_size
        cell = (merge * self.config.vision_config.patch_size) ** 2
        size = {"shortest_edge": _FEWEST_TOKENS * cell, "longest_edge": _MOST_TOKENS * cell}
        out = self._process(shaped, size=size)
        grid = np.asarray(out["image_grid_thw"], dtype=np.int64).reshape(1, 3)
        rows, columns = int(grid[0, 1]) // merge, int(grid[0, 2]) // merge
        positions, following = _positions(self.prompts.image_start, rows, columns)
        inputs: dict[str, np.ndarray] = {
            "pixel_values": np.asarray(out["pixel_values"], dtype=np.float32),
            "image_grid_thw": grid,
            "position_ids": positions[:, None],
        }
        tokens = ImageTokens(self._first_patch, (rows, columns), region)
        prefix = self.prompts.prefix(tokens.count)
        return PreparedImage(inputs, tokens, prefix_ids=prefix, next_position=following)


class Qwen25VLFamily(Qwen2VLFamily):
    """The Qwen2.5-VL adapter: as Qwen2-VL."""

    name = "qwen2_5_vl"
    model_types: tuple[str, ...] = ("qwen2_5_vl",)


class Qwen3VLFamily(Qwen2VLFamily):
    """The Qwen3-VL adapter: as Qwen2-VL, larger patches, no system prompt."""

    name = "qwen3_vl"
    model_types: tuple[str, ...] = ("qwen3_vl",)
    default_prompt = "<|im_start|>user\n<image>{phrase}<|im_end|>\n<|im_start|>assistant\n"


def _positions(start: int, rows: int, columns: int) -> tuple[np.ndarray, int]:
    """Time, row and column of `start` text tokens and a picture, and the position after it.

    Examples
    --------
    >>> positions, following = _positions(2, 1, 3)
    >>> positions.tolist(), following
    ([[0, 1, 2, 2, 2], [0, 1, 2, 2, 2], [0, 1, 2, 3, 4]], 5)
    """
    text = np.tile(np.arange(start), (3, 1))
    row, column = np.divmod(np.arange(rows * columns), columns)
    picture = start + np.stack([np.zeros_like(row), row, column])
    return np.concatenate([text, picture], axis=1), start + max(rows, columns)
