"""Attention rows of a caption's phrases from one forward of the whole caption.

The paper's way with several objects (Kang et al., CVPR 2025, App. D.4): the row of a phrase is the
mean of its tokens' rows. A token's row knows only the words before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from multiobject.errors import MultiObjectError

if TYPE_CHECKING:
    from grounding.lvlm import LVLM, EncodedImage


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
    GroundingError
        For a caption that holds a control token.
    MultiObjectError
        For a caption longer than the model reads, or a span without a token.
    """
    import torch

    from grounding.capture import RowRequest, capture
    from grounding.suffixes import Suffix

    prompt = lvlm.family.prompt(caption)
    start = 0 if encoded.features is not None else len(lvlm.family.prefix_ids)
    first, last = prompt.expression
    total = len(prompt.ids) - len(lvlm.family.prefix_ids) + len(encoded.prefix_ids)
    if lvlm.context_length is not None and total > lvlm.context_length:
        raise MultiObjectError(
            f"the caption makes a prompt of {total} tokens, but the model reads at most "
            f"{lvlm.context_length}; use mode='phrases' or a shorter caption"
        )
    inputs = lvlm._suffix_inputs(encoded, [Suffix(prompt.ids[start:])])
    request = RowRequest(
        lvlm._by_layer(lvlm.heads),
        keys=encoded.tokens.span,
        query=torch.arange(first - start, last - start)[None],
    )
    with torch.inference_mode(), capture(request) as rows:
        lvlm._base(**inputs)
    tokens = np.stack(lvlm._maps(rows, lvlm.heads, encoded.tokens.grid_hw))  # (T, k, P, Q)
    places = _tidied(caption)
    return [
        tokens[_inside(prompt.offsets, places[a], places[b - 1] + 1, caption[a:b])].mean(axis=0)
        for a, b in spans
    ]


def _tidied(caption: str) -> list[int]:
    """Where each character stands once blanks are single, as the model is given the caption."""
    places, at, blank = [], -1, True
    for c in caption:
        at += 0 if c.isspace() and blank else 1
        blank = c.isspace()
        places.append(max(at, 0))
    return places


def _inside(offsets: Sequence[tuple[int, int]], start: int, stop: int, words: str) -> list[int]:
    """Which tokens stand for some of the characters from start to stop."""
    found = [k for k, (a, b) in enumerate(offsets) if a < stop and b > start and b > a]
    if not found:
        raise MultiObjectError(f"the tokenizer has no token for {words!r}; use mode='phrases'")
    return found
