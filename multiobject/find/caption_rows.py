"""Attention rows of a caption's phrases from one forward of the whole caption.

The paper's way with several objects (Kang et al., CVPR 2025, App. D.4): the row of a phrase is the
mean of its tokens' rows. A token's row knows only the words before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ...grounding.errors import GroundingError
from ..errors import MultiObjectError

if TYPE_CHECKING:
    from ...grounding.attention.model import LVLM
    from ...grounding.attention.types import EncodedImage


def caption_rows(
    lvlm: LVLM, encoded: EncodedImage, caption: str, spans: Sequence[tuple[int, int]]
) -> list[np.ndarray]:
    """Mean attention of each span's tokens over the image tokens.

    Parameters
    ----------
    lvlm
        With its heads set.
    encoded
        A picture it has read.
    caption
        The whole text.
    spans
        Half-open character offsets in `caption`.

    Returns
    -------
    list of ndarray
        Per span (k, P, Q) float32.

    Raises
    ------
    MultiObjectError
        For a caption that the model cannot read whole, or a span without a token.
    """
    try:
        tokens = lvlm.token_rows(encoded, caption, spans, lvlm.heads)
    except GroundingError as error:
        raise MultiObjectError(
            f"the caption cannot be read whole ({error}); use mode='phrases'"
        ) from error
    return [rows.mean(axis=0) for rows in tokens]
