"""Image tokens, prompts and prepared pictures: what every family hands to the model.

Arrays are numpy. It knows no network and no weights.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import GroundingError

QUERY_MODES = ("stop", "expression", "prompt")
"""The query token: the full stop that ends the expression (Kang et al., CVPR 2025, Sec. 3: "in the
sentence 'the pizza mouth.' ... the last token [.]"), the expression's last word piece, or the last
token of the whole prompt (the public code)."""

TILES = ("off", "overview", "fine")
"""``off``: one view of the whole picture. Otherwise it is also cut into tiles, each a view of its
own, and the rows are read over the ``overview`` or, ``fine``, over the tiles side by side."""


@dataclass(frozen=True)
class ImageTokens:
    """Where the image tokens are in the prompt and which part of the image they cover.

    Parameters
    ----------
    start : Position of the first image token in the prompt.
    grid_hw : Rows and columns of the token grid.
    region_xyxy : The rectangle of the original image, in its pixels, that the grid covers: larger
        than the image where it was padded to a square, smaller where it was cropped, the image
        itself where it was squashed. Half-open, may be negative or fractional.
    places : Position of each cell's token, row by row, if they are not consecutive (tiles, line
        breaks); None = consecutive from `start`.

    Examples
    --------
    >>> tokens = ImageTokens(start=5, grid_hw=(2, 4), region_xyxy=(0.0, -50.0, 200.0, 150.0))
    >>> tokens.count, tokens.positions.tolist()
    (8, [5, 6, 7, 8, 9, 10, 11, 12])
    """

    start: int
    grid_hw: tuple[int, int]
    region_xyxy: tuple[float, float, float, float]
    places: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        if self.start < 0 or len(self.grid_hw) != 2 or min(self.grid_hw) < 1:
            raise GroundingError(
                f"ImageTokens got start={self.start}, grid_hw={self.grid_hw}; expected a start of "
                "at least 0 and a (rows, columns) grid of at least 1 x 1"
            )
        x0, y0, x1, y1 = self.region_xyxy
        if not all(math.isfinite(v) for v in self.region_xyxy) or x1 <= x0 or y1 <= y0:
            raise GroundingError(
                f"ImageTokens got region_xyxy={self.region_xyxy}; expected finite "
                "(x0, y0, x1, y1) pixels with x0 < x1 and y0 < y1"
            )
        places = self.places
        if places is not None and (len(set(places)) != self.count or min(places) != self.start):
            raise GroundingError(
                f"ImageTokens got {len(places)} places from {min(places, default=None)}; expected "
                f"one for each of {self.grid_hw[0]} x {self.grid_hw[1]} cells, all different, the "
                f"first at {self.start}"
            )

    @property
    def count(self) -> int:
        """Number of image tokens."""
        return self.grid_hw[0] * self.grid_hw[1]

    @property
    def span(self) -> slice | None:
        """The tokens' positions as a slice; None if they are not consecutive."""
        return slice(self.start, self.start + self.count) if self.places is None else None

    @property
    def positions(self) -> np.ndarray:
        """The tokens' positions, row by row, (count,) int64."""
        if self.places is not None:
            return np.asarray(self.places, dtype=np.int64)
        return np.arange(self.start, self.start + self.count, dtype=np.int64)


@dataclass(frozen=True)
class TokenizedPrompt:
    """A tokenised prompt for one phrase.

    Parameters
    ----------
    ids : Token ids, image tokens expanded.
    expression : First and one-past-last position of the expression's tokens.
    offsets : For each expression token, its characters in `phrase`, half-open.
    query : Position of the query token, which attention is read from.
    phrase : The phrase as tokenised (white space tidied).
    """

    ids: tuple[int, ...]
    expression: tuple[int, int]
    offsets: tuple[tuple[int, int], ...]
    query: int
    phrase: str


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """The network's inputs for one picture.

    Parameters
    ----------
    inputs : Vision arguments of the model's forward, by name, e.g. ``pixel_values`` (1, 3, S, S)
        float32.
    tokens : Where its tokens are and what they cover.
    prefix_ids : The prompt up to and including the picture, if the number of image tokens varies
        between pictures; None = the family's own.
    next_position : Rotary position of the first token after the prefix, where it is not the
        prefix's length (the Qwen-VL families count a picture's rows and columns, not its tokens);
        then `inputs` holds the prefix's own ``position_ids``.
    """

    inputs: Mapping[str, np.ndarray]
    tokens: ImageTokens
    prefix_ids: tuple[int, ...] | None = None
    next_position: int | None = None
