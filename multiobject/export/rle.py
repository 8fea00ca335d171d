"""COCO's run-length encoding of masks, without pycocotools.

Runs go down the columns, zeros first; the text form writes each run, less the one two before it,
in groups of five bits (https://github.com/cocodataset/cocoapi, common/maskApi.c).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import MultiObjectError


def encode_rle(mask: np.ndarray) -> dict[str, Any]:
    """A mask (H, W) bool as ``{"size": [H, W], "counts": text}``.

    Examples
    --------
    >>> encode_rle(np.array([[False, True], [False, True]]))
    {'size': [2, 2], 'counts': '22'}
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise MultiObjectError(f"mask of {mask.dtype} {mask.shape} given; expected (H, W) bool")
    flat = mask.ravel(order="F")
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    bounds = np.concatenate([[0], edges, [flat.size]])
    runs = np.diff(bounds).tolist() if flat.size else []
    counts = [0, *runs] if flat.size and flat[0] else runs
    return {"size": list(mask.shape), "counts": _to_text(counts)}


def decode_rle(rle: dict[str, Any]) -> np.ndarray:
    """The mask (H, W) bool of an encoding; `counts` may also be a list of runs.

    Raises
    ------
    MultiObjectError
        Where the runs do not fill the size.
    """
    height, width = rle["size"]
    given = rle["counts"]
    counts = list(given) if isinstance(given, list) else _from_text(given)
    if min(counts, default=0) < 0 or sum(counts) != height * width:
        raise MultiObjectError(
            f"runs of {sum(counts)} pixels given for a mask of {height} x {width}; expected "
            f"{height * width}"
        )
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(height, width, order="F")


def _to_text(counts: Sequence[int]) -> str:
    out = []
    for k, count in enumerate(counts):
        value = count - counts[k - 2] if k > 2 else count
        more = True
        while more:
            bits = value & 0x1F
            value >>= 5
            more = value != -1 if bits & 0x10 else value != 0
            out.append(chr((bits | 0x20 if more else bits) + 48))
    return "".join(out)


def _from_text(text: str | bytes) -> list[int]:
    letters = text.encode() if isinstance(text, str) else text
    counts: list[int] = []
    value = shift = 0
    for letter in letters:
        bits = letter - 48
        if not 0 <= bits < 64:
            raise MultiObjectError(f"the letter {chr(letter)!r} is not of COCO's run-length text")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value |= -1 << shift
        counts.append(value + counts[-2] if len(counts) > 2 else value)
        value = shift = 0
    return counts
