"""Copy the images of a request to the job's directory, to be decoded when the job runs."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import BinaryIO

from starlette.datastructures import UploadFile

from ...editor.batch.manifest import inside
from ...editor.errors import GroundbrushError
from ...editor.files import open_regular, safe_name
from ...editor.pictures.picture import Picture
from ..uploads import open_upload
from .errors import ApiError
from .settings import ServeSettings


@dataclass(frozen=True)
class StoredImage:
    """An image file in a job's directory, and the client's name for it."""

    file: Path
    name: str

    def open(self, max_pixels: int) -> Picture:
        """Decode it; too many pixels are refused from the header."""
        return open_upload(self.file, self.name, max_pixels)


def store_image(given: UploadFile | str, file: Path, settings: ServeSettings) -> StoredImage:
    """Copy an upload, or the file at a path inside the server's root.

    Raises ApiError: 403 for a path that is absolute, has ``..`` or leads outside by a link, or if
    the server has no root; 404 for a missing file; 413 for one too large.
    """
    if isinstance(given, str):
        return _store_path(given, file, settings)
    given.file.seek(0)
    _copy(given.file, file)
    name = (given.filename or "picture").replace("\\", "/").split("/")[-1]
    return StoredImage(file, safe_name(name))


def _store_path(given: str, file: Path, settings: ServeSettings) -> StoredImage:
    if settings.root is None:
        raise ApiError(
            403,
            "no_root",
            "this server reads no files; expected an upload (multipart/form-data); --root DIR lets "
            "it read those of a folder",
        )
    path, windows = PurePosixPath(given), PureWindowsPath(given)
    if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise ApiError(
            403,
            "outside_root",
            f"the path {given!a} is absolute or has '..'; expected one inside the server's root, "
            "such as 'photos/one.png'",
        )
    try:
        real = inside(settings.root, given)
    except GroundbrushError:  # its message names the root, which clients must not learn
        message = f"the path {given!a} cannot be one inside the server's root"
        raise ApiError(403, "outside_root", message) from None
    try:
        with open_regular(real) as source:
            if real.stat().st_size > settings.max_bytes:
                raise ApiError(
                    413,
                    "too_large",
                    f"the file {given!a} is longer than {settings.max_bytes:,} bytes; expected a "
                    "smaller picture",
                )
            _copy(source, file)
    except GroundbrushError:
        message = f"{given!a} is no picture file in the server's root"
        raise ApiError(404, "no_picture", message) from None
    return StoredImage(file, path.as_posix())


def _copy(source: BinaryIO, file: Path) -> None:
    with file.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
