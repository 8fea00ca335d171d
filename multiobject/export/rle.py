"""COCO's run-length encoding of masks.

Runs go down the columns, zeros first; the text form writes each run, less the one two before it,
in groups of five bits (https://github.com/cocodataset/cocoapi, common/maskApi.c). pycocotools
encodes. It does not decode here: for runs that fill less than the mask it returns memory that was
never written, and it reads past the end of a damaged text.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MultiObjectError

_MOST_PIXELS = 200_000_000
_LONGEST_RUN = 60  # bits


def encode_rle(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """A mask (H, W) bool as ``{"size": [H, W], "counts": text}``.

    Examples
    --------
    >>> encode_rle(np.array([[False, True], [False, True]]))
    {'size': [2, 2], 'counts': '22'}
    """
    from pycocotools import mask as coco

    encoded = coco.encode(np.asfortranarray(mask.view(np.uint8)))
    return {"size": list(mask.shape), "counts": encoded["counts"].decode("ascii")}


def decode_rle(rle: Mapping[str, Any]) -> NDArray[np.bool_]:
    """The mask (H, W) bool of an encoding; ``counts`` is text, bytes or a list of runs.

    Raises MultiObjectError if the runs cannot be read, are negative, or do not fill the mask.

    Examples
    --------
    >>> decode_rle({"size": [2, 2], "counts": [1, 2, 1]}).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    try:
        height, width = (int(v) for v in rle["size"])
        counts = rle["counts"]
        text = counts.decode("ascii") if isinstance(counts, bytes) else counts
        runs = np.array(_runs(text) if isinstance(text, str) else text, np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise MultiObjectError(
            f"run lengths that cannot be read given ({error!r}); expected "
            '{"size": [H, W], "counts": [...] or COCO\'s string}'
        ) from error
    if not 0 < height * width <= _MOST_PIXELS or min(height, width) < 1:
        raise MultiObjectError(f"run lengths of size {height} by {width}; expected a picture's")
    # A sum of huge runs may overflow to the right one.
    if (runs < 0).any() or (runs > height * width).any() or runs.sum() != height * width:
        raise MultiObjectError(
            f"run lengths that sum to {int(runs.sum())} given; expected {height * width} for a "
            f"mask of {height} by {width}, none negative"
        )
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(width, height).T)


def _runs(text: str) -> list[int]:
    """Run lengths of COCO's text."""
    runs: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64:
            raise ValueError(f"the character {character!r} is not of COCO's alphabet")
        value |= (code & 0x1F) << shift
        shift += 5
        if shift > _LONGEST_RUN:
            raise ValueError("a run has no end")
        if code & 0x20:
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
