"""Pictures in: any file becomes upright 8-bit RGB, and keeps what it carried beside the pixels.

Pixels stay in the file's own colour space, with its ICC profile unchanged, so that a
saved edit differs from its input only where it was edited. Only profiles that do not describe RGB
(CMYK, grey) are applied, to sRGB, and dropped.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from ...inpaint.prefill import prefill, resize_image, resize_mask
from ..errors import GroundbrushError, one_line
from ..files import RECIPE_LIMIT, as_path, open_regular, parse_recipe
from .decoding import has_wide_samples, to_rgb, upright
from .metadata import (
    Chunks,
    Resolution,
    Texts,
    check_metadata,
    read_metadata,
    read_unloaded,
    unwrap_xmp,
)

MAX_PIXELS = 200_000_000
"""Largest picture opened by default, in pixels."""

CLEAR = 8
"""Alpha, of 255, up to which a pixel cannot be seen."""
_VISIBLE_SIDE = 512
"""Longest side of the copy on which clear pixels are filled."""

READABLE_KINDS = (
    "expected PNG, JPEG, WebP, TIFF, BMP, GIF or AVIF content; export it again as one of these"
)
"""What is to be done with a file of another kind."""

# A closed list: Pillow would otherwise also run Ghostscript on an EPS named .png.
_READABLE = ("PNG", "JPEG", "WEBP", "TIFF", "BMP", "GIF", "AVIF", "JPEG2000", "PPM")
_HEIC = {b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"mif1", b"msf1")}
_GREY_MODES = frozenset(("1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"))
_PIL_GLOBALS = threading.Lock()


@dataclass(frozen=True, eq=False)
class Picture:
    """A decoded picture and what its file carried beside the pixels.

    Attributes
    ----------
    pixels : ``(H, W, 3)`` uint8 RGB, upright (EXIF orientation applied), in the file's colour
        space.
    alpha : ``(H, W)`` uint8 opacity; None where the file had no transparency.
    icc : The RGB profile the pixels are in; None stands for sRGB.
    exif : EXIF block with its leading ``Exif\\0\\0``, orientation 1 and no thumbnail.
    xmp : XMP packet of what describes the picture, as `editor.pictures.metadata.about_xmp` leaves
        it.
    dpi : Pixels per inch, across and down.
    texts : tuple of (str, str). Named texts: PNG's, such as ("Copyright", "..."), and a JPEG's or
        GIF's "Comment".
    colour : tuple of (bytes, bytes). A PNG's chunks that say how its samples are other than sRGB:
        cICP, gAMA, cHRM and the like.
    grey : The file had no colour channels: all channels of `pixels` are equal.
    source : The file it was read from.
    notes : What was changed on the way in, in words.
    """

    pixels: np.ndarray
    alpha: np.ndarray | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: Resolution | None = None
    texts: Texts = ()
    colour: Chunks = ()
    grey: bool = False
    source: PurePath | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check what saving would fail on, or write unreadably."""
        check_pixels(self.pixels)
        check_alpha(self.alpha, self.pixels)
        check_metadata(self)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @cached_property
    def visible(self) -> np.ndarray:
        """The pixels with what is clear (`CLEAR`) filled from around it: what a viewer shows.

        Under alpha 0 many files keep the colours of what was erased.
        """
        hidden = None if self.alpha is None else self.alpha <= CLEAR
        if hidden is None or not hidden.any():
            return self.pixels
        scale = min(1, _VISIBLE_SIDE / max(self.size))
        small = max(1, round(self.size[0] * scale)), max(1, round(self.size[1] * scale))
        filled = prefill(resize_image(self.pixels, small), resize_mask(hidden, small), "blur")
        result = self.pixels.copy()
        result[hidden] = resize_image(filled, self.size)[hidden]
        return result

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
        A file (PNG, JPEG, WebP, TIFF, BMP, GIF, AVIF, JPEG 2000 or PPM, recognised by content and
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
        check_pixels(source)
        _check_size(source.shape[1::-1], max_pixels, "the array")
        return Picture(np.array(source, order="C"))
    if isinstance(source, Image.Image):
        return _decode(source, "the PIL image", None, max_pixels)
    if not isinstance(source, (str, os.PathLike)):
        raise GroundbrushError(
            f"a picture of type {type(source).__name__} given; expected a path, a PIL image or an "
            "(H, W, 3) uint8 array"
        )
    if isinstance(source, str) and "://" in source:
        raise GroundbrushError(f"{source!r} is an address; download the picture first")
    path = as_path(source)
    with _opened(path) as image:
        return _decode(image, repr(str(path)), path, max_pixels)


def read_recipe(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the recipe that `save_picture` wrote into a picture, or one in a ``.json`` file.

    Only the form is checked here: a JSON object of bounded size.

    Raises GroundbrushError if there is none, or it is too large, not JSON or not an object.
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
            raise GroundbrushError(f"{str(path)!r} is {what}; {READABLE_KINDS}") from error
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
        turned, described = read_unloaded(image)
        frames = getattr(image, "n_frames", 1)
        wide = has_wide_samples(image)
        image.load()
        _check_size(image.size, max_pixels, name)
        colour, icc = to_rgb(image, wide, notes)
        orientation, carried = read_metadata(image, turned, notes)
    except GroundbrushError:
        raise
    except Exception as error:  # decoders of hostile files raise nearly everything
        raise _damaged(name, error) from error
    if frames > 1:
        notes.append(f"first frame of {frames} used")
    values = upright(np.asarray(colour), orientation)
    pixels = np.array(values[..., :3], order="C")
    return Picture(
        pixels=pixels,
        alpha=np.array(values[..., 3], order="C") if values.shape[2] == 4 else None,
        icc=icc,
        **carried,
        colour=described,
        grey=image.mode in _GREY_MODES and is_grey(pixels),
        source=source,
        notes=tuple(notes),
    )


def is_grey(pixels: np.ndarray) -> bool:
    """Whether all channels of ``(H, W, 3)`` pixels are equal."""
    return bool((pixels[..., :1] == pixels[..., 1:]).all())


def check_pixels(pixels: object) -> None:
    """Refuse anything but a non-empty ``(H, W, 3)`` uint8 array, naming the remedy."""
    if not isinstance(pixels, np.ndarray):
        raise GroundbrushError(
            f"pixels of type {type(pixels).__name__} given; expected an (H, W, 3) uint8 array"
        )
    shape = pixels.shape
    if pixels.ndim == 3 and shape[2] == 3 and pixels.dtype == np.uint8 and pixels.size:
        return
    remedy = "convert it to 8-bit RGB"
    if not pixels.size:
        remedy = "it has no pixels"
    elif pixels.ndim == 2:
        remedy = "for grey use np.repeat(array[..., None], 3, axis=2)"
    elif pixels.ndim == 3 and shape[2] == 4:
        remedy = "drop alpha with array[..., :3], or pass Image.fromarray(array)"
    elif pixels.ndim == 3 and shape[0] == 3 and shape[2] != 3:
        remedy = "channels come last: use np.moveaxis(array, 0, 2)"
    elif pixels.ndim == 4:
        remedy = "pass one picture at a time"
    elif pixels.dtype.kind == "f":
        remedy = "for values 0 to 1 use (array * 255).round().astype(np.uint8)"
    raise GroundbrushError(
        f"an array of shape {shape} and dtype {pixels.dtype} given; expected (H, W, 3) uint8; "
        f"{remedy}"
    )


def check_alpha(alpha: object, pixels: np.ndarray) -> None:
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
            f"{max_pixels:,}; reduce it first (in Python, open_picture's max_pixels can be raised)"
        )


def _damaged(name: str, error: Exception) -> GroundbrushError:
    """Return the error for a file that starts as a picture but is damaged later."""
    return GroundbrushError(
        f"{name} is damaged or not fully copied ({one_line(error)}); expected a whole picture; "
        "copy or export it again"
    )
