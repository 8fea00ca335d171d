"""What the samples and the profile of an opened file mean: 8-bit RGB, upright.

Profiles that describe RGB stay with the picture; others (CMYK, grey) are applied, to sRGB, and
dropped. What is changed on the way is noted.
"""

from __future__ import annotations

import io

import numpy as np
from PIL import Image, ImageCms

from ..errors import GroundbrushError


def has_wide_samples(image: Image.Image) -> bool:
    """Return whether the file has 16-bit samples (Pillow reads RGB ones as their high bytes)."""
    if image.mode.startswith("I;16"):
        return True
    for tile in getattr(image, "tile", ()):
        arguments = tile[3] if isinstance(tile[3], (tuple, list)) else (tile[3],)
        if any(";16" in a and not a.startswith("BGR") for a in arguments if isinstance(a, str)):
            return True
    return False


def to_rgb(image: Image.Image, wide: bool, notes: list[str]) -> tuple[Image.Image, bytes | None]:
    """Return the image as RGB or RGBA, and the profile that still describes it."""
    icc = _usable_icc(image, notes)
    space = icc[16:20] if icc else b"RGB "
    mode = image.mode
    if mode == "La":
        image = image.convert("LA")  # the one mode Pillow does not take to RGBA in one step
    if mode in ("I", "F") or mode.startswith("I;16"):
        image = _to_eight_bits(image, notes)
    elif wide:
        notes.append("16-bit input reduced to 8-bit")
    if mode == "CMYK":
        return _through_profile(image, icc if space == b"CMYK" else None, notes), None
    transparent = image.has_transparency_data
    if space == b"GRAY" and image.mode == "L" and not transparent:
        return _through_profile(image, icc, notes), None
    if space != b"RGB ":
        notes.append("ICC profile dropped: it does not describe RGB")
        icc = None
    return image.convert("RGBA" if transparent else "RGB"), icc


def _usable_icc(image: Image.Image, notes: list[str]) -> bytes | None:
    """Return the image's ICC profile if it is one."""
    icc = image.info.get("icc_profile")
    if not icc:
        return None
    if not isinstance(icc, bytes) or len(icc) < 132 or icc[36:40] != b"acsp":
        notes.append("unreadable ICC profile dropped")
        return None
    return icc


def _to_eight_bits(image: Image.Image, notes: list[str]) -> Image.Image:
    """Scale 16-bit, 32-bit or float grey to 8 bits, carrying a transparent value as alpha."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= 65_535) or (image.mode == "F" and high > 255):
        raise GroundbrushError(
            f"samples from {low:g} to {high:g} given; expected 0 to 1 or 0 to 255 (float), or "
            "0 to 65535 (whole numbers); rescale the picture first"
        )
    if image.mode == "F":
        eight = np.rint(values * 255 if high <= 1 else values).astype(np.uint8)
        notes.append(f"float input (0 to {1 if high <= 1 else 255}) reduced to 8-bit")
    elif high <= 255 and not (image.mode == "I" and image.format == "PPM"):
        # 8-bit samples in wider ones: a mask of 0 and 1; by its high byte it would be black.
        eight = values.astype(np.uint8)
        bits = 32 if image.mode == "I" else 16
        notes.append(f"{bits}-bit input (0 to 255) reduced to 8-bit")
    else:
        # The high byte, as Pillow and libpng take it for 16-bit RGB: 257 * v gives v back.
        eight = (values.astype(np.uint16) >> 8).astype(np.uint8)
        notes.append("16-bit input reduced to 8-bit")
    grey = Image.fromarray(eight)
    key = image.info.get("transparency")
    if isinstance(key, int):
        opaque = np.where(values == key, 0, 255).astype(np.uint8)
        return Image.merge("LA", (grey, Image.fromarray(opaque)))
    return grey


def _through_profile(image: Image.Image, icc: bytes | None, notes: list[str]) -> Image.Image:
    """Convert CMYK or profiled grey to sRGB, by its profile where that works."""
    kind = "grey" if image.mode == "L" else image.mode
    if not icc:
        notes.append(f"{kind} converted to RGB without a profile; colours are approximate")
        return image.convert("RGB")
    try:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc))
        srgb = ImageCms.createProfile("sRGB")
        result = ImageCms.buildTransform(profile, srgb, image.mode, "RGB").apply(image)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        notes.append(f"{kind} converted to RGB; its ICC profile was unusable and was dropped")
        return image.convert("RGB")
    notes.append(f"{kind} converted to RGB by its ICC profile")
    return result


def upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Apply an EXIF orientation (Exif 2.32, tag 0x0112) to an ``(H, W, C)`` array."""
    if orientation >= 5:
        values = values.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    return values
