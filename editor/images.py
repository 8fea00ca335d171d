"""Pictures in and out: any file becomes upright 8-bit RGB, and goes back with what it carried.

Pixels stay in the file's own colour space, whose ICC profile travels along unchanged, so that a
saved edit differs from its input only where it was edited. Only profiles that do not describe RGB
(CMYK, grey) are applied, to sRGB, and dropped.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from editor.decoding import has_wide_samples, read_exif, to_rgb, upright
from editor.errors import GroundbrushError, one_line
from editor.files import (
    RECIPE_LIMIT,
    as_path,
    atomic_write,
    open_regular,
    parse_recipe,
    recipe_text,
    unwrap_xmp,
    wrap_xmp,
)

MAX_PIXELS = 200_000_000
"""Largest picture opened by default, in pixels."""

WRITABLE = {".png": "PNG", ".webp": "WEBP", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""Suffixes `save_picture` accepts."""

# A closed list: Pillow would otherwise also run Ghostscript on an EPS named .png.
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
_HEIC = {b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")}
_LONGEST_SIDE = {"JPEG": 65_500, "WEBP": 16_383}
_JPEG_BLOCK = 65_400  # bytes one JPEG marker holds, less its label
_LOSSY = (
    "JPEG is lossy: pixels outside the edit are close to the input's but not equal; "
    "save as .png or .webp to keep them"
)
_PIL_GLOBALS = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture and what its file carried beside the pixels.

    Attributes
    ----------
    pixels : numpy.ndarray
        ``(H, W, 3)`` uint8 RGB, upright (EXIF orientation applied), in the file's colour space.
    alpha : numpy.ndarray or None
        ``(H, W)`` uint8 opacity; None where the file had no transparency.
    icc : bytes or None
        The RGB profile the pixels are in; None stands for sRGB.
    exif : bytes or None
        EXIF block with its leading ``Exif\\0\\0``, orientation 1 and no thumbnail.
    source : pathlib.Path or None
        The file it was read from.
    notes : tuple of str
        What was changed on the way in, in words.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    source: Path | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check every field."""
        _check_pixels(self.pixels)
        _check_alpha(self.alpha, self.pixels)
        for name in ("icc", "exif"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, bytes):
                raise GroundbrushError(
                    f"{name} of type {type(value).__name__} given; expected bytes or None"
                )
        if not isinstance(self.notes, tuple) or not all(isinstance(n, str) for n in self.notes):
            raise GroundbrushError(f"notes {self.notes!r} given; expected a tuple of str")

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the size and the pixels, in hexadecimal: whether it is the same picture."""
        made = hashlib.sha256("x".join(map(str, self.pixels.shape)).encode())
        made.update(np.ascontiguousarray(self.pixels).data)
        return made.hexdigest()


Source = Picture | str | os.PathLike[str] | Image.Image | np.ndarray
"""What `open_picture` takes."""


def open_picture(source: Source, *, max_pixels: int = MAX_PIXELS) -> Picture:
    """Read a picture of any common kind.

    Parameters
    ----------
    source : str, os.PathLike, PIL.Image.Image, numpy.ndarray or Picture
        A file (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000 or PPM, told by content and
        not by name), a Pillow image, or an ``(H, W, 3)`` uint8 RGB array, which is copied. A
        `Picture` is returned as it is.
    max_pixels : int
        Refuse pictures of more pixels than this, for a file before anything is decoded.

    Returns
    -------
    Picture
        With `Picture.notes` saying what was reduced or converted: 16-bit and float samples are
        scaled to 8 bits, CMYK converted, and of several frames the first is used.

    Raises
    ------
    GroundbrushError
        For anything that is not such a picture.

    Examples
    --------
    >>> open_picture(np.zeros((4, 6, 3), np.uint8)).size
    (6, 4)
    """
    if not isinstance(max_pixels, int) or max_pixels < 1:
        raise GroundbrushError(f"max_pixels={max_pixels!r} given; expected a whole number from 1")
    if isinstance(source, Picture):
        _check_size(source.size, max_pixels, "the picture")
        return source
    if isinstance(source, np.ndarray):
        _check_pixels(source)
        _check_size(source.shape[1::-1], max_pixels, "the array")
        return Picture(np.array(source, order="C"))
    if isinstance(source, Image.Image):
        return _decode(source, "the PIL image", None, max_pixels)
    if not isinstance(source, (str, os.PathLike)):
        raise GroundbrushError(
            f"a picture of type {type(source).__name__} given; expected a path, a PIL image or an "
            "(H, W, 3) uint8 array"
        )
    path = as_path(source)
    with _opened(path) as image:
        return _decode(image, repr(str(path)), path, max_pixels)


def save_picture(
    path: str | os.PathLike[str],
    pixels: np.ndarray,
    *,
    like: Picture | None = None,
    recipe: Mapping[str, Any] | None = None,
    quality: int = 95,
    lossless: bool = True,
) -> tuple[str, ...]:
    """Write a picture, whole or not at all, with what another one carried and a recipe.

    PNG and lossless WebP give every pixel back exactly. JPEG cannot: it is written without
    chroma subsampling, and the returned notes say that it is lossy. JPEG cannot hold
    transparency either: a `like` with any pixel not fully opaque is refused, not flattened.

    Parameters
    ----------
    path : str or os.PathLike
        Ends in .png, .webp, .jpg or .jpeg; its folder is created.
    pixels : numpy.ndarray
        ``(H, W, 3)`` uint8 RGB.
    like : Picture, optional
        Lends its EXIF, ICC profile and alpha (which must then fit `pixels`).
    recipe : Mapping, optional
        JSON-able; written into the file's metadata (PNG: an iTXt chunk named ``groundbrush``;
        JPEG and WebP: XMP) and read back by `read_recipe`.
    quality : int
        1 to 100, for JPEG and for WebP where `lossless` is False.
    lossless : bool
        For WebP only.

    Returns
    -------
    tuple of str
        What a user should know about the file; empty for a lossless one.

    Raises
    ------
    GroundbrushError
        For another suffix, a bad array, more than the format can hold, or an unwritable place.
        An earlier file of that name is then untouched.
    """
    path = as_path(path)
    kind = _writable_kind(path)
    _check_pixels(pixels)
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise GroundbrushError(f"quality={quality!r} given; expected 1 to 100; leave it at 95")
    alpha = None if like is None else like.alpha
    _check_alpha(alpha, pixels)
    if kind == "JPEG" and alpha is not None:
        if (alpha < 255).any():
            raise GroundbrushError(
                f"{str(path)!r} is a JPEG, which cannot hold the input's transparency; expected "
                ".png or .webp; change the suffix"
            )
        alpha = None
    text = None if recipe is None else recipe_text(recipe)
    options = _save_options(kind, like, text, quality, lossless)
    atomic_write(path, _encode(pixels, alpha, kind, options, path))
    return () if keeps_pixels(path, lossless=lossless) else (_LOSSY.replace("JPEG", kind),)


def keeps_pixels(path: str | os.PathLike[str], *, lossless: bool = True) -> bool:
    """Tell whether `save_picture` to this path gives every pixel back exactly."""
    kind = _writable_kind(as_path(path))
    return kind == "PNG" or (kind == "WEBP" and lossless)


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the recipe that `save_picture` wrote into a picture, or one in a ``.json`` file.

    Only the form is checked here: a JSON object of bounded size.

    Raises
    ------
    GroundbrushError
        If there is none, or it is too large, not JSON or not an object.
    """
    path = as_path(path)
    if path.suffix.lower() == ".json":
        with open_regular(path, "recipe") as file:
            return parse_recipe(file.read(RECIPE_LIMIT + 1), str(path))
    with _opened(path) as image:
        text = _recipe_in(image)
    if text is None:
        raise GroundbrushError(
            f"{str(path)!r} holds no recipe; expected a picture saved by this program, or a .json "
            "recipe; if another program saved it again, go back to the original"
        )
    return parse_recipe(text, str(path))


def _recipe_in(image: Image.Image) -> str | None:
    """Return the recipe text in an opened file's metadata, without decoding its pixels."""
    text = image.info.get("groundbrush")
    if isinstance(text, str):
        return text
    packet = image.info.get("xmp")
    return unwrap_xmp(packet) if isinstance(packet, (bytes, str)) else None


@contextmanager
def _opened(path: Path) -> Iterator[Image.Image]:
    """Open a file's header with Pillow."""
    with open_regular(path) as file:
        try:
            with _own_pixel_limit():
                image = Image.open(file, formats=_READABLE)
        except UnidentifiedImageError as error:
            file.seek(0)
            what = "a HEIC picture" if file.read(12)[4:] in _HEIC else "not a picture"
            raise GroundbrushError(
                f"{str(path)!r} is {what}; expected PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF "
                "content; export it again as one of these"
            ) from error
        except Exception as error:  # decoders of hostile files raise nearly everything
            raise _damaged(repr(str(path)), error) from error
        with image:
            yield image


@contextmanager
def _own_pixel_limit() -> Iterator[None]:
    """Lift Pillow's process-wide limit while a header is read: ours is per call, and stricter."""
    with _PIL_GLOBALS:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _decode(image: Image.Image, name: str, source: Path | None, max_pixels: int) -> Picture:
    """Return the picture in an opened image."""
    _check_size(image.size, max_pixels, name)
    notes: list[str] = []
    try:
        frames = getattr(image, "n_frames", 1)
        wide = has_wide_samples(image)
        image.load()
        _check_size(image.size, max_pixels, name)
        colour, icc = to_rgb(image, wide, notes)
        exif, orientation = read_exif(image, notes)
    except GroundbrushError:
        raise
    except Exception as error:  # decoders of hostile files raise nearly everything
        raise _damaged(name, error) from error
    if frames > 1:
        notes.append(f"first frame of {frames} used")
    values = upright(np.asarray(colour), orientation)
    return Picture(
        pixels=np.array(values[..., :3], order="C"),
        alpha=np.array(values[..., 3], order="C") if values.shape[2] == 4 else None,
        icc=icc,
        exif=exif,
        source=source,
        notes=tuple(notes),
    )


def _save_options(
    kind: str, like: Picture | None, text: str | None, quality: int, lossless: bool
) -> dict[str, Any]:
    """Return Pillow's options for one save."""
    options: dict[str, Any] = {}
    if like is not None and like.icc:
        options["icc_profile"] = like.icc
    if like is not None and like.exif:
        options["exif"] = like.exif
    if kind == "PNG":
        options["compress_level"] = 4  # level 6 took twice as long for the same size
    if kind == "PNG" and text is not None:
        options["pnginfo"] = PngInfo()
        options["pnginfo"].add_itxt("groundbrush", text)
    elif text is not None:
        options["xmp"] = wrap_xmp(text)
    if kind == "JPEG":
        options |= {"quality": quality, "subsampling": 0}
        for name, label in (("exif", "EXIF"), ("xmp", "recipe")):
            if len(options.get(name, b"")) > _JPEG_BLOCK:
                raise GroundbrushError(
                    f"the {label} is {len(options[name]):,} bytes; a JPEG holds at most "
                    f"{_JPEG_BLOCK:,}; save as .png or .webp"
                )
    if kind == "WEBP":
        # exact: keep the colour of transparent pixels, which libwebp otherwise flattens.
        # Where lossless, "quality" is effort: on a 2-megapixel gradient with noise, method 4 at
        # 80 took three times as long as method 2 at 50 for the same size.
        options |= {"lossless": lossless, "exact": True, "method": 2 if lossless else 4}
        options["quality"] = 50 if lossless else quality
    return options


def _encode(
    pixels: np.ndarray, alpha: np.ndarray | None, kind: str, options: dict[str, Any], path: Path
) -> bytes:
    """Return the bytes of the file."""
    height, width = pixels.shape[:2]
    limit = _LONGEST_SIDE.get(kind)
    if limit and max(width, height) > limit:
        raise GroundbrushError(
            f"{width}x{height} pixels given; {kind} holds at most {limit} a side; save as .png"
        )
    values = pixels if alpha is None else np.dstack((pixels, alpha))
    buffer = io.BytesIO()
    try:
        Image.fromarray(np.ascontiguousarray(values)).save(buffer, kind, **options)
    except Exception as error:  # encoders raise nearly everything; never their traceback
        raise GroundbrushError(
            f"{str(path)!r} cannot be encoded as {kind} ({one_line(error)}); save as .png"
        ) from error
    return buffer.getvalue()


def _writable_kind(path: Path) -> str:
    """Return Pillow's name of the format a path asks for."""
    try:
        return WRITABLE[path.suffix.lower()]
    except KeyError:
        raise GroundbrushError(
            f"{str(path)!r} ends in {path.suffix!r}; expected one of {', '.join(WRITABLE)}; "
            "change the suffix"
        ) from None


def _check_pixels(pixels: object) -> None:
    """Refuse anything but a non-empty ``(H, W, 3)`` uint8 array, naming the mend."""
    if not isinstance(pixels, np.ndarray):
        raise GroundbrushError(
            f"pixels of type {type(pixels).__name__} given; expected an (H, W, 3) uint8 array"
        )
    shape = pixels.shape
    if pixels.ndim == 3 and shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return
    mend = "convert it to 8-bit RGB"
    if not pixels.size:
        mend = "it has no pixels"
    elif pixels.ndim == 2:
        mend = "for grey use np.repeat(array[..., None], 3, axis=2)"
    elif pixels.ndim == 3 and shape[2] == 4:
        mend = "drop alpha with array[..., :3], or pass Image.fromarray(array)"
    elif pixels.ndim == 3 and shape[0] == 3 and shape[2] != 3:
        mend = "channels come last: use np.moveaxis(array, 0, 2)"
    elif pixels.ndim == 4:
        mend = "pass one picture at a time"
    elif pixels.dtype.kind == "f":
        mend = "for values 0 to 1 use (array * 255).round().astype(np.uint8)"
    raise GroundbrushError(
        f"an array of shape {shape} and dtype {pixels.dtype} given; expected (H, W, 3) uint8; "
        f"{mend}"
    )


def _check_alpha(alpha: object, pixels: np.ndarray) -> None:
    """Refuse an alpha that is not an ``(H, W)`` uint8 array of the pixels' size."""
    if alpha is None:
        return
    if not isinstance(alpha, np.ndarray) or alpha.dtype != np.uint8:
        given = getattr(alpha, "dtype", type(alpha).__name__)
        raise GroundbrushError(f"alpha of {given} given; expected an (H, W) uint8 array")
    if alpha.shape != pixels.shape[:2]:
        raise GroundbrushError(
            f"alpha of shape {alpha.shape} given for pixels of shape {pixels.shape}; expected "
            "the same height and width; save at the input's size or without `like`"
        )


def _check_size(size: tuple[int, ...], max_pixels: int, name: str) -> None:
    """Refuse a picture of too many pixels."""
    width, height = size
    if width * height > max_pixels:
        raise GroundbrushError(
            f"{name} is {width}x{height} = {width * height:,} pixels; expected at most "
            f"{max_pixels:,}; reduce it first, or raise max_pixels"
        )


def _damaged(name: str, error: Exception) -> GroundbrushError:
    """Return the error for a file that starts as a picture and does not go on as one."""
    return GroundbrushError(
        f"{name} is damaged or not fully copied ({one_line(error)}); expected a whole picture; "
        "copy or export it again"
    )
