"""Masks from outside: a file, an image, an array or a recipe become one ``(H, W)`` bool array."""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..errors import GroundbrushError
from ..pictures.picture import MAX_PIXELS, open_picture

MaskSource = np.ndarray | Image.Image | str | os.PathLike[str] | Mapping[str, Any]
"""What `read_mask` takes."""

Box = tuple[float, float, float, float]
_THRESHOLD = 127


def read_mask(source: MaskSource, size: tuple[int, int]) -> np.ndarray:
    """A mask for a picture of `size` (width, height).

    Parameters
    ----------
    source
        An ``(H, W)`` bool array, a grey one (marked above 127, or above 0 where it holds 0 and 1
        only), a Pillow image, a picture file (white or coloured on black; transparent pixels are
        not marked), or what `encode_mask` gave.
    size
        Width and height it must have.

    Returns
    -------
    numpy.ndarray
        ``(H, W)`` bool, a new array.

    Raises
    ------
    GroundbrushError
        For anything else, another size, or a mask without a marked pixel.

    Examples
    --------
    >>> read_mask(np.array([[0, 1], [0, 0]], np.uint8), (2, 2)).sum()
    np.int64(1)
    """
    if isinstance(source, Mapping):
        mask = decode_mask(source)
    elif isinstance(source, np.ndarray):
        mask = _from_array(source)
    else:
        mask = _from_picture(source)
    if mask.shape[::-1] != tuple(size):
        raise GroundbrushError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels and the picture "
            f"{size[0]}x{size[1]}; expected one size: draw it on the picture itself, or resize it "
            "without smoothing"
        )
    if not mask.any():
        raise GroundbrushError(
            "the mask marks no pixel; expected white where to paint and black elsewhere"
        )
    return mask


def _from_array(values: np.ndarray) -> np.ndarray:
    if values.ndim == 2 and values.dtype == np.bool_:
        return values.copy()
    if values.ndim == 2 and values.dtype == np.uint8:
        binary = values.size > 0 and values.max() <= 1
        return values > (0 if binary else _THRESHOLD)
    raise GroundbrushError(
        f"a mask of shape {values.shape} and dtype {values.dtype} given; expected (H, W) bool or "
        "uint8; compare a float mask with a threshold first, e.g. mask > 0.5"
    )


def _from_picture(source: Any) -> np.ndarray:
    picture = open_picture(source)
    mask = picture.pixels.max(2) > _THRESHOLD
    return mask if picture.alpha is None else mask & (picture.alpha > _THRESHOLD)


def encode_mask(mask: np.ndarray) -> dict[str, Any]:
    """A mask as JSON values, small enough to travel in a picture's metadata.

    Rows are written as their difference from the row above, packed to bits and deflated: a
    drawn outline in a picture of 12 megapixels takes about ten kilobytes.

    Examples
    --------
    >>> mask = np.eye(5, dtype=bool)
    >>> bool((decode_mask(encode_mask(mask)) == mask).all())
    True
    """
    changes = mask ^ np.vstack((np.zeros_like(mask[:1]), mask[:-1]))
    packed = zlib.compress(np.packbits(changes).tobytes(), 9)
    return {"size": [mask.shape[1], mask.shape[0]], "bits": base64.b64encode(packed).decode()}


def decode_mask(values: Mapping[str, Any]) -> np.ndarray:
    """The mask that `encode_mask` wrote; GroundbrushError where it did not."""
    try:
        width, height = (int(v) for v in values["size"])
        if width < 1 or height < 1 or width * height > MAX_PIXELS:
            raise ValueError(f"its size is {width}x{height}")
        count = width * height
        length = -(-count // 8)
        packed = base64.b64decode(values["bits"], validate=True)
        # never more than the size allows, however well the data deflates
        raw = zlib.decompressobj().decompress(packed, length + 1)
        if len(raw) != length:
            raise ValueError("its data is not of its size")
    except (KeyError, TypeError, ValueError, OverflowError, binascii.Error, zlib.error) as error:
        raise GroundbrushError(
            f"the recipe's mask cannot be read ({error}); expected the size and bits that "
            "groundbrush wrote"
        ) from error
    changes = np.unpackbits(np.frombuffer(raw, np.uint8), count=count).reshape(height, width)
    return np.logical_xor.accumulate(changes.astype(bool), axis=0)


def read_boxes(given: Any) -> tuple[Box, ...]:
    """One box or several, xyxy, as floats; sizes are checked against the picture by `fit_box`.

    Raises
    ------
    GroundbrushError
        For anything but four finite numbers with x0 < x1 and y0 < y1, or several of these.

    Examples
    --------
    >>> read_boxes([1, 2, 3, 4])
    ((1.0, 2.0, 3.0, 4.0),)
    """
    several = isinstance(given, Sequence | np.ndarray) and len(given) > 0 and not np.isscalar(given)
    many = given if several and not np.isscalar(given[0]) else [given]
    return tuple(_read_box(box) for box in many)


def _read_box(box: Any) -> Box:
    try:
        x0, y0, x1, y1 = (float(v) for v in box)
    except (TypeError, ValueError, OverflowError):
        x0 = y0 = x1 = y1 = 0.0
    if not np.isfinite([x0, y0, x1, y1]).all() or x0 >= x1 or y0 >= y1:
        raise GroundbrushError(
            f"box {box!r} given; expected x0,y0,x1,y1 in pixels with x0 < x1 and y0 < y1, such as "
            "40,60,200,220"
        )
    return x0, y0, x1, y1


def fit_box(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in whole pixels inside a picture of `size` (width, height).

    Raises
    ------
    GroundbrushError
        When it lies outside the picture.
    """
    width, height = size
    x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x0 >= x1 or y0 >= y1:
        raise GroundbrushError(
            f"box {[round(v, 1) for v in box]} lies outside the picture of {width}x{height}; "
            "expected x0,y0,x1,y1 in its pixels"
        )
    return x0, y0, x1, y1
