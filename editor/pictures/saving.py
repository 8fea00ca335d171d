"""Pictures out: written whole or not at all, with what another one carried and a recipe."""

from __future__ import annotations

import io
import os
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ...inpaint.callbacks import check_cancelled
from ...inpaint.errors import Cancelled
from ..errors import GroundbrushError, one_line
from ..files import as_path, atomic_write, recipe_text
from .metadata import COMMENT, Chunks, Texts, wrap_xmp
from .picture import Picture, check_alpha, check_pixels, is_grey

WRITABLE = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Suffixes `save_picture` accepts."""

_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_FAST_PNG = 4_000_000  # pixels of the largest PNG that is compressed well
_PNG_HEADER = 33  # bytes of signature and IHDR
_JPEG_BLOCK = 65_400  # bytes one JPEG marker holds, less its label
_LOSSY = (
    "JPEG is lossy: pixels outside the edit are close to the input's but not equal; "
    "save as .png or .webp to keep them"
)


class _Watched(io.BytesIO):
    """Bytes of a picture; an encoder writes them in pieces, and stops between two on request."""

    def write(self, content: Any) -> int:
        check_cancelled()
        return super().write(content)


def save_picture(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    like: Picture | None = None,
    recipe: Mapping[str, Any] | None = None,
) -> tuple[str, ...]:
    """Write a picture, whole or not at all, with what another one carried and a recipe.

    PNG and lossless WebP give every pixel back exactly. JPEG cannot: it is written without
    chroma subsampling, and the returned notes say that it is lossy. JPEG cannot hold
    transparency either: a `like` with any pixel not fully opaque is refused, not flattened.

    Parameters
    ----------
    path : Ends in .png, .webp, .jpg or .jpeg; its folder is created.
    pixels : ``(H, W, 3)`` uint8 RGB.
    like : Lends its alpha (which must then fit `pixels`), ICC profile, EXIF, XMP, resolution, texts
        and colour chunks, as far as the format has a place for them: WebP has none for the last
        three, a JPEG only for one comment. Like a grey one, grey pixels are saved as grey.
    recipe : JSON-able; written into the file's metadata (PNG: an iTXt chunk named ``groundbrush``;
        JPEG and WebP: XMP) and read back by `read_recipe`.

    Returns what a user should know about the file; empty for a lossless one.

    Raises GroundbrushError for another suffix, a bad array, more than the format can hold, or an
    unwritable place. An earlier file of that name is then untouched.
    """
    path = as_path(path)
    kind = _writable_kind(path)
    check_pixels(pixels)
    alpha = None if like is None else like.alpha
    check_alpha(alpha, pixels)
    check_holds(path, (pixels.shape[1], pixels.shape[0]), like)
    alpha = None if kind == "JPEG" else alpha
    text = None if recipe is None else recipe_text(recipe)
    notes = [_LOSSY] if kind == "JPEG" else []
    options = _save_options(kind, pixels) | _carried(kind, like, text, notes)
    grey = like is not None and like.grey and like.icc is None and kind != "WEBP"
    values = pixels[..., 0] if grey and is_grey(pixels) else pixels
    content = _encode(values, alpha, kind, options, path)
    if like is not None and like.colour:
        content = _with_colour(content, like.colour, kind, notes)
    atomic_write(path, content)
    return tuple(notes)


def check_holds(
    path: str | os.PathLike[str], size: tuple[int, int], like: Picture | None = None
) -> None:
    """Refuse what the format of a path cannot hold, before there is anything to save.

    `path` ends as `save_picture` wants it, and is not looked up; `size` is width and height; `like`
    lends alpha and EXIF.

    Raises GroundbrushError for sides too long for it, and for a JPEG transparency or more EXIF than
    one holds.
    """
    path = as_path(path)
    kind = _writable_kind(path)
    limit = _LONGEST_SIDE.get(kind)
    if limit and max(size) > limit:
        raise GroundbrushError(
            f"{size[0]}x{size[1]} pixels given; {kind} holds at most {limit} a side; save as .png"
        )
    if kind == "JPEG" and like is not None:
        if like.alpha is not None and (like.alpha < 255).any():
            raise GroundbrushError(
                f"{str(path)!r} is a JPEG, which cannot hold the input's transparency; expected "
                ".png or .webp; save it as PNG or WebP (command line: --format png)"
            )
        _check_block("EXIF", like.exif)


def png_level(pixels: int) -> int:
    """Return zlib's level for a PNG of so many pixels.

    Level 6 took twice as long as 4 for the same size. For large pictures, which take as
    long to encode as to edit, level 2 takes three fifths of the time for 8% more bytes.
    """
    return 4 if pixels <= _FAST_PNG else 2


def _save_options(kind: str, pixels: np.ndarray) -> dict[str, Any]:
    """Return Pillow's options for the pixels of one save."""
    if kind == "PNG":
        return {"compress_level": png_level(pixels.shape[0] * pixels.shape[1])}
    if kind == "JPEG":
        return {"quality": 95, "subsampling": 0}
    # exact: keep the colour of transparent pixels, which libwebp otherwise flattens.
    # "quality" is effort: on a 2-megapixel gradient with noise, method 4 at 80 took three times
    # as long as method 2 at 50 for the same size.
    return {"lossless": True, "exact": True, "method": 2, "quality": 50}


def _carried(
    kind: str, like: Picture | None, recipe: str | None, notes: list[str]
) -> dict[str, Any]:
    """Return Pillow's options for what goes beside the pixels."""
    options: dict[str, Any] = {}
    xmp: bytes | None = None
    texts: Texts = ()
    if like is not None:
        options = {"icc_profile": like.icc, "exif": like.exif, "dpi": like.dpi}
        xmp, texts = like.xmp, like.texts
    if kind == "PNG":
        options["pnginfo"] = _png_texts(texts, xmp, recipe)
    else:
        options["xmp"] = wrap_xmp(recipe, xmp)
    if kind == "JPEG":
        options["comment"] = dict(texts).get(COMMENT, "").encode()
        _fit_jpeg(options, recipe, notes)
    return {name: value for name, value in options.items() if value}


def _png_texts(texts: Texts, xmp: bytes | None, recipe: str | None) -> PngInfo:
    info = PngInfo()
    for name, text in texts:
        info.add_text(name, text)
    if xmp:
        info.add_itxt("XML:com.adobe.xmp", xmp)
    if recipe is not None:
        info.add_itxt("groundbrush", recipe)
    return info


def _fit_jpeg(options: dict[str, Any], recipe: str | None, notes: list[str]) -> None:
    """Leave out texts that a JPEG's blocks cannot hold; without its recipe nothing is saved."""
    if len(options["xmp"] or b"") > _JPEG_BLOCK:
        options["xmp"] = wrap_xmp(recipe)
        notes.append("the picture's XMP is larger than a JPEG holds beside the recipe: left out")
    if len(options["comment"]) > _JPEG_BLOCK:
        del options["comment"]
        notes.append("the comment is larger than a JPEG holds: left out")
    _check_block("recipe", options["xmp"])


def _check_block(label: str, block: bytes | None) -> None:
    """Refuse more than one JPEG marker holds."""
    size = len(block or b"")
    if size > _JPEG_BLOCK:
        raise GroundbrushError(
            f"the {label} is {size:,} bytes; a JPEG holds at most {_JPEG_BLOCK:,}; "
            "save as .png or .webp"
        )


def _encode(
    pixels: np.ndarray, alpha: np.ndarray | None, kind: str, options: dict[str, Any], path: Path
) -> bytes:
    """Return the bytes of the file."""
    values = pixels if alpha is None else np.dstack((pixels, alpha))
    buffer = _Watched()
    try:
        Image.fromarray(np.ascontiguousarray(values)).save(buffer, kind, **options)
    except Cancelled:
        raise
    except Exception as error:  # encoders raise nearly everything; never their traceback
        raise GroundbrushError(
            f"{str(path)!r} cannot be encoded as {kind} ({one_line(error)}); save as .png"
        ) from error
    return buffer.getvalue()


def _with_colour(content: bytes, colour: Chunks, kind: str, notes: list[str]) -> bytes:
    """Put chunks behind a PNG's header, where they come first; Pillow drops some of them."""
    if kind != "PNG":
        names = ", ".join(name.decode() for name, _ in colour)
        notes.append(
            f"the picture's colour description ({names}) has no place in {kind}: its colours will "
            "look different; save as .png"
        )
        return content
    chunks = b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in colour
    )
    return content[:_PNG_HEADER] + chunks + content[_PNG_HEADER:]


def encode_png(picture: Image.Image | np.ndarray) -> bytes:
    """A picture made to be looked at, ``(H, W, 3)`` uint8 or Pillow's, as the bytes of a PNG."""
    buffer = _Watched()
    image = Image.fromarray(picture) if isinstance(picture, np.ndarray) else picture
    image.save(buffer, "PNG", compress_level=png_level(image.width * image.height))
    return buffer.getvalue()


def _writable_kind(path: Path) -> str:
    """Return Pillow's name of the format of a path."""
    try:
        return WRITABLE[path.suffix.lower()]
    except KeyError:
        raise GroundbrushError(
            f"{str(path)!r} ends in {path.suffix!r}; expected one of {', '.join(WRITABLE)}; "
            "change the suffix"
        ) from None
