"""Read pictures that come from clients: untrusted bytes under an untrusted name."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path, PurePosixPath

from ..editor.errors import GroundbrushError
from ..editor.files import safe_name
from ..editor.pictures.picture import Picture, open_picture

MAX_UPLOAD_BYTES = 100_000_000
MAX_UPLOAD_PIXELS = 60_000_000
UPLOADS = ("png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff", "gif", "avif")
"""Endings of pictures that the page takes."""


def read_upload(
    data: bytes,
    name: str,
    *,
    max_bytes: int = MAX_UPLOAD_BYTES,
    max_pixels: int = MAX_UPLOAD_PIXELS,
) -> Picture:
    """A picture from its file's bytes; of the name only a harmless last part stays.

    Raises GroundbrushError for too many bytes or pixels and for anything that is no picture, naming
    the upload.
    """
    if len(data) > max_bytes:
        raise GroundbrushError(
            f"{name!r} has {len(data):,} bytes; expected at most {max_bytes:,}; save it smaller, "
            "or as JPEG"
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "upload"
        path.write_bytes(data)
        return open_upload(path, safe_name(Path(name).name), max_pixels)


def open_upload(path: Path, name: str, max_pixels: int = MAX_UPLOAD_PIXELS) -> Picture:
    """A picture from a temporary file; errors and the result's source name the upload instead.

    That is no `Path`, since there is no file of that name.
    """
    try:
        picture = open_picture(path, max_pixels=max_pixels)
    except GroundbrushError as error:
        raise GroundbrushError(str(error).replace(str(path), name)) from None
    return dataclasses.replace(picture, source=PurePosixPath(name))
