"""What an LVLM keeps of a picture it has read, and what a phrase brings back from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import DynamicCache

from ..families import ImageTokens

__all__ = ["EncodedImage", "Reading"]


@dataclass(frozen=True, eq=False)
class EncodedImage:
    """A picture the model has read.

    Parameters
    ----------
    size_wh
        The picture's width and height in pixels.
    tokens
        Where its tokens stand and what part of the picture they look at.
    prefix_ids
        The prompt's tokens up to and including the picture.
    cache
        Their keys and values, one entry per layer read. Never grown: every use copies it
        shallowly first. Empty where nothing can be read before the phrase is known.
    next_position
        Rotary position of the first token after the prefix.
    features
        The vision tower's work, for families that read the whole prompt with every phrase.
    """

    size_wh: tuple[int, int]
    tokens: ImageTokens
    prefix_ids: tuple[int, ...]
    cache: DynamicCache
    next_position: int
    features: Mapping[str, Any] | None = None

    @property
    def layers(self) -> int | None:
        """How many layers have read the picture; None where each phrase reads it anew."""
        return None if self.features is not None else len(self.cache.layers)


@dataclass(frozen=True, eq=False)
class Reading:
    """What one phrase brought back.

    Parameters
    ----------
    rows
        Attention of the query token over the image tokens, float32, not renormalised:
        (k, P, Q) for k named heads, (L, H, P, Q) for all, None if not asked for.
    presence
        Probability in [0, 1] that the phrase is in the picture, None if not asked for.
    """

    rows: np.ndarray | None
    presence: float | None
