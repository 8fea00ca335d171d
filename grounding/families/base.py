"""What a model family must tell the rest of the package, and nothing more.

A family knows how one kind of vision-language model wants its picture prepared and its prompt
written, and which part of the picture each of its image tokens looks at. It runs no network and
holds no weights; arrays are numpy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from ..errors import GroundingError

__all__ = ["QUERY_MODES", "TILES", "Family", "ImageTokens", "PreparedImage", "Presence", "Prompt"]

QUERY_MODES = ("expression", "prompt")
"""Whose last token asks: the expression's (paper, Sec. 3) or the whole prompt's."""

TILES = ("off", "overview", "fine")
"""``off``: one view of the whole picture. Else it is also cut into tiles, each a view of its own,
and read is the ``overview`` or, ``fine``, the tiles' tokens laid side by side."""


@dataclass(frozen=True)
class ImageTokens:
    """Where the image tokens stand in the prompt and what they look at.

    Parameters
    ----------
    start
        Position of the first image token in the prompt.
    grid_hw
        Rows and columns of the token grid.
    region_xyxy
        The rectangle of the original image, in its pixels, that the grid covers: larger than the
        image where it was padded to a square, smaller where it was cropped, the image itself
        where it was squashed. Half-open, may be negative or fractional.
    places
        Position of each cell's token, row by row, where they are no run (tiles, line breaks);
        None = consecutive from `start`.

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
        """The tokens' positions as a slice; None where they are no run."""
        return slice(self.start, self.start + self.count) if self.places is None else None

    @property
    def positions(self) -> np.ndarray:
        """The tokens' positions, row by row, (count,) int64."""
        if self.places is not None:
            return np.asarray(self.places, dtype=np.int64)
        return np.arange(self.start, self.start + self.count, dtype=np.int64)


@dataclass(frozen=True)
class Prompt:
    """A tokenised prompt for one phrase.

    Parameters
    ----------
    ids
        Token ids, image tokens expanded.
    expression
        First and one-past-last position of the expression's tokens.
    offsets
        For each expression token, the characters of `phrase` it stands for, half-open.
    query
        Position of the token whose attention is read.
    phrase
        The phrase as tokenised (white space tidied).
    """

    ids: tuple[int, ...]
    expression: tuple[int, int]
    offsets: tuple[tuple[int, int], ...]
    query: int
    phrase: str


@dataclass(frozen=True, eq=False)
class PreparedImage:
    """What the network is fed for one picture.

    Parameters
    ----------
    inputs
        Vision arguments of the model's forward, by name, e.g. ``pixel_values`` (1, 3, S, S)
        float32.
    tokens
        Where its tokens stand and what they look at.
    prefix_ids
        The prompt up to and including the picture, for families whose pictures take a varying
        number of tokens; None = the family's own.
    next_position
        Rotary position of the first token after the prefix, where it is not the prefix's length
        (the Qwen-VL families count a picture's rows and columns, not its tokens); then `inputs`
        holds the prefix's own ``position_ids``.
    """

    inputs: Mapping[str, np.ndarray]
    tokens: ImageTokens
    prefix_ids: tuple[int, ...] | None = None
    next_position: int | None = None


@dataclass(frozen=True)
class Presence:
    """How the language model is asked whether the phrase is in the picture at all.

    Parameters
    ----------
    template
        The question, with ``{phrase}``. Without the image placeholder it continues the grounding
        prompt right after the picture; with it, it must open as the grounding prompt does.
    yes, no
        The answers' first words; several spellings may be given as a tuple. With ``yes=None`` the
        probability is ``1 - P(no)``, else ``P(yes) / (P(yes) + P(no))``, at the last token.

    Examples
    --------
    >>> Presence("Is there {phrase} in the image? ASSISTANT:", yes=("Yes", "yes"), no=("No", "no"))
    ... # doctest: +ELLIPSIS
    Presence(template=...)
    """

    template: str = "is there {phrase} ?"
    yes: str | tuple[str, ...] | None = "yes"
    no: str | tuple[str, ...] = "no"

    def __post_init__(self) -> None:
        if self.template.count("{phrase}") != 1:
            raise GroundingError(
                f"presence template {self.template!r} must hold {{phrase}} exactly once, e.g. "
                "'is there {phrase} ?'"
            )
        for name in ("yes", "no"):
            words = getattr(self, name)
            spelled = (words,) if isinstance(words, str) else words
            if spelled is None and name == "yes":
                continue
            if not spelled or not all(isinstance(w, str) and w.strip() for w in spelled):
                raise GroundingError(
                    f"presence answer {name}={words!r}; expected a word or a tuple of words"
                )


@runtime_checkable
class Family(Protocol):
    """One kind of vision-language model, seen from outside.

    Registered by one line in :data:`grounding.families.FAMILIES`; ``prompt=None``,
    ``padding=None`` and ``tiles=None`` mean the family's usual ones.

    Attributes
    ----------
    name
        The registry's name.
    model_types
        The ``model_type`` values of configs it can read.
    packs_phrases
        Whether several phrases in one row with a 4D mask give the same numbers as one by one.
    shares_prefix
        Whether the picture is read without knowing the phrase. False for prefix language models,
        whose picture tokens attend to the text: each phrase then runs the whole prompt, with
        ``token_type_ids`` of zeros, and only the vision tower's work is shared.
    grid_hw
        Rows and columns of the image-token grid (usual ones, where they vary with the picture).
    prefix_ids
        The tokens up to and including the picture, the same for every phrase.
    """

    name: str
    model_types: tuple[str, ...]
    packs_phrases: bool
    shares_prefix: bool
    grid_hw: tuple[int, int]
    prefix_ids: tuple[int, ...]

    def __init__(
        self,
        config: Any,
        tokenizer: Any,
        image_processor: Any,
        *,
        prompt: str | None = None,
        padding: str | None = None,
        query: str = "expression",
        tiles: str | None = None,
    ) -> None: ...

    @classmethod
    def register(cls) -> None:
        """Make transformers' auto classes know the family's model, if they do not."""
        ...

    def prepare(self, image: np.ndarray) -> PreparedImage:
        """Prepare an (H, W, 3) uint8 RGB image."""
        ...

    def prompt(self, phrase: str, template: str | None = None) -> Prompt:
        """Tokenise the prompt (or another template with the same opening) for a phrase."""
        ...

    def answer_id(self, word: str, template: str) -> int:
        """First token of an answer that follows the template."""
        ...

    def unknown_words(self, phrase: str) -> tuple[str, ...]:
        """Words of the phrase that the tokenizer has no token for."""
        ...
