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
from ..pictures.picture import MAX_PIXELS, Picture, open_picture

MaskSource = np.ndarray | Image.Image | str | os.PathLike[str] | Mapping[str, Any]
"""What `read_mask` takes."""

Box = tuple[float, float, float, float]
_THRESHOLD = 127
_MIDDLE = (32, 223)
MOST_COLOURS = 64
"""Most colours, at 4 bits a channel, of a mask; a photograph has hundreds."""
MOST_GREY = 0.5
"""Largest share of a mask that is neither dark nor bright; a soft edge has less."""
NEARLY_ALL = 0.8
"""A drawn mask that marks more of the picture may be meant the other way round."""
SPECK = (16, 1e-5)
"""A drawn mask of fewer pixels, or of less of the picture, may be a slip of the hand."""
_OVERHANG = 0.02
_LUMA = np.array([299, 587, 114])


def read_mask(source: MaskSource, size: tuple[int, int]) -> tuple[np.ndarray, tuple[str, ...]]:
    """A mask for a picture of `size` (width, height), and notes about how it was read.

    Parameters
    ----------
    source : An ``(H, W)`` bool array, a grey one, a Pillow image, a picture file, or what
        `encode_mask` gave. Marked is what is brighter than 127 in any channel, or the brighter one
        of only two values or colours; transparent pixels are not.
    size : Width and height it must have.

    Returns
    -------
    mask : numpy.ndarray
        ``(H, W)`` bool, a new array.
    notes : tuple of str
        Which of two values was taken, where that is not plain.

    Raises GroundbrushError for anything else, another size, or a mask without a marked pixel.

    Examples
    --------
    >>> mask, notes = read_mask(np.array([[0, 1], [0, 0]], np.uint8), (2, 2))
    >>> int(mask.sum()), notes
    (1, ())
    """
    note = ""
    if isinstance(source, Mapping):
        mask = decode_mask(source)
    elif isinstance(source, np.ndarray):
        mask, note = _from_array(source)
    else:
        mask, note = _from_picture(source, size)
    if mask.shape[::-1] != tuple(size):
        raise GroundbrushError(
            f"the mask is {mask.shape[1]}x{mask.shape[0]} pixels and the picture "
            f"{size[0]}x{size[1]}; expected one size: draw it on the picture itself, or resize it "
            "without smoothing"
        )
    if not mask.any():
        raise GroundbrushError(
            "the mask marks no pixel; expected white where to paint and black elsewhere: of a map "
            "of labels, make one white"
        )
    return mask, (note,) if note else ()


def region_notes(mask: np.ndarray) -> tuple[str, ...]:
    """Notes about a drawn mask, ``(H, W)`` bool, that may not be meant as it is.

    Examples
    --------
    >>> region_notes(np.ones((9, 9), bool))[0]
    'the mask marks nearly all of the picture (100%): if the rest is meant, invert it'
    """
    marked = int(np.count_nonzero(mask))
    if marked > NEARLY_ALL * mask.size:
        share = f"{marked / mask.size:.0%}"
        return (
            f"the mask marks nearly all of the picture ({share}): if the rest is meant, invert it",
        )
    if marked < max(SPECK[0], SPECK[1] * mask.size):
        many = "1 pixel" if marked == 1 else f"{marked} pixels"
        return (f"the mask marks only {many}: that is too small for most things to be painted",)
    return ()


def _from_array(values: np.ndarray) -> tuple[np.ndarray, str]:
    if values.ndim == 2 and values.dtype == np.bool_:
        return values.copy(), ""
    if values.ndim == 2 and values.dtype == np.uint8:
        pair = _two_colours(values.reshape(-1, 1))
        return (values == pair[1], _reading(pair)) if pair else (values > _THRESHOLD, "")
    raise GroundbrushError(
        f"a mask of shape {values.shape} and dtype {values.dtype} given; expected (H, W) bool or "
        "uint8; compare a float mask with a threshold first, e.g. mask > 0.5"
    )


def _from_picture(source: Any, size: tuple[int, int]) -> tuple[np.ndarray, str]:
    picture = open_picture(source)
    opaque = None if picture.alpha is None else picture.alpha > _THRESHOLD
    seen = picture.pixels.reshape(-1, 3) if opaque is None else picture.pixels[opaque]
    pair = _two_colours(seen)
    if pair is None and picture.size == tuple(size):  # another size is the first thing to say
        _check_colours(picture)
    mask = (picture.pixels == pair[1]).all(2) if pair else picture.pixels.max(2) > _THRESHOLD
    return mask if opaque is None else mask & opaque, _reading(pair) if pair else ""


def _two_colours(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the darker and the brighter colour of ``(n, channels)`` pixels of only two."""
    if not len(seen):
        return None
    other = (seen != seen[0]).any(1)
    if not other.any():
        return None
    first, second = seen[0], seen[other.argmax()]
    if not (seen[other] == second).all():
        return None
    luma = _LUMA if len(first) == 3 else np.ones(1, np.int64)
    darker, brighter = sorted((first, second), key=lambda colour: int(colour @ luma))
    return darker, brighter


def _reading(pair: tuple[np.ndarray, np.ndarray]) -> str:
    """Say which of two colours was taken, unless one is black or dark and the other is bright."""
    darker, brighter = pair
    if darker.max() <= _THRESHOLD and (brighter.max() > _THRESHOLD or brighter.max() <= 1):
        return ""
    dark, bright = (
        str(c[0]) if (c == c[0]).all() else f"rgb({','.join(map(str, c))})" for c in pair
    )
    return f"the mask holds {dark} and {bright} only: painted where it is {bright}"


def _check_colours(picture: Picture) -> None:
    """Refuse a photograph: nearly all of it would be painted over."""
    seen = picture.pixels if picture.alpha is None else picture.pixels[picture.alpha > 0]
    seen = seen.reshape(-1, 3)
    colours = len(np.unique((seen >> 4).astype(np.uint16) @ np.array([256, 16, 1], np.uint16)))
    grey = ((seen > _MIDDLE[0]) & (seen < _MIDDLE[1])).all(1)
    if colours > MOST_COLOURS or grey.mean() > MOST_GREY:
        clear = 0 if picture.alpha is None else int((picture.alpha <= _THRESHOLD).sum())
        hole = (
            f" Its {clear} transparent pixels may be meant: fill those with white" if clear else ""
        )
        raise GroundbrushError(
            "the mask looks like a picture, not like a mask; expected white where to paint and "
            f"black elsewhere.{hole}"
        )


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
    """Decode a mask of `encode_mask`; GroundbrushError for anything else."""
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


def check_encoded(given: Any) -> dict[str, Any]:
    """Return a recipe's mask as it is, or raise GroundbrushError where it cannot be decoded."""
    if not isinstance(given, Mapping):
        raise GroundbrushError(f"the recipe's mask is {given!r}; expected size and bits")
    decode_mask(given)
    return dict(given)


def read_boxes(given: Any) -> tuple[Box, ...]:
    """One box or several, xyxy, as floats; sizes are checked against the picture by `fit_box`.

    Raises GroundbrushError for anything but four finite numbers with x0 < x1 and y0 < y1, or
    several of these.

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


def box_notes(boxes: Sequence[Box], size: tuple[int, int]) -> tuple[str, ...]:
    """Notes about boxes that reach beyond a picture of `size` (width, height).

    Examples
    --------
    >>> box_notes([(0, 0, 10.2, 10)], (10, 10))
    ()
    """
    notes = []
    for box in boxes:
        beyond = (-box[0], -box[1], box[2] - size[0], box[3] - size[1])
        if max(beyond) > 1 + _OVERHANG * max(size):
            given = ",".join(f"{v:g}" for v in box)
            notes.append(
                f"the box {given} was cut off at the picture's edge ({size[0]}x{size[1]}): give it "
                "in the scale of this picture's pixels if it was drawn on another one"
            )
    return tuple(notes)


def fit_box(box: Box, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """A box in whole pixels inside a picture of `size` (width, height).

    Raises GroundbrushError when it lies outside the picture, or is given in fractions of it.
    """
    width, height = size
    if max(box) <= 1 and max(size) > 1:
        pixels = ",".join(f"{v * side:.0f}" for v, side in zip(box, size * 2, strict=True))
        raise GroundbrushError(
            f"box {[round(v, 3) for v in box]} given; expected pixels, and these look like "
            f"fractions: of this picture of {width}x{height} they are {pixels}"
        )
    x0, y0 = max(0, int(np.floor(box[0]))), max(0, int(np.floor(box[1])))
    x1, y1 = min(width, int(np.ceil(box[2]))), min(height, int(np.ceil(box[3])))
    if x0 >= x1 or y0 >= y1:
        raise GroundbrushError(
            f"box {[round(v, 1) for v in box]} lies outside the picture of {width}x{height}; "
            "expected x0,y0,x1,y1 in its pixels"
        )
    return x0, y0, x1, y1
