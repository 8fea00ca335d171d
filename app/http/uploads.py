"""The pictures of a request, put aside on the disk and looked at before the job is taken."""

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
from ..session.session_file import read_upload
from .refusal import Refusal
from .settings import ServeSettings


@dataclass(frozen=True)
class Kept:
    """A picture's bytes as they came.

    Attributes
    ----------
    file
        In the job's folder.
    name
        What the client calls it: a plain name, or a path inside the root.
    """

    file: Path
    name: str

    def open(self, settings: ServeSettings) -> Picture:
        """Decode it; its header is read first, and pictures of too many pixels are refused.

        Raises
        ------
        GroundbrushError
            For what is no whole picture, naming it as the client does.
        """
        import dataclasses

        picture = read_upload(
            self.file.read_bytes(),
            self.name,
            max_bytes=settings.max_bytes,
            max_pixels=settings.max_pixels,
        )
        # named as the client names it, so that recipes say the same as those of a batch
        return dataclasses.replace(picture, source=Path(self.name))


def keep_upload(upload: UploadFile, file: Path) -> Kept:
    """Put an upload aside; of its name only a harmless last part stays."""
    upload.file.seek(0)
    _copy(upload.file, file)
    return Kept(file, safe_name((upload.filename or "picture").replace("\\", "/").split("/")[-1]))


def keep_from_root(given: str, file: Path, settings: ServeSettings) -> Kept:
    """Put a copy of a file of the root aside.

    Raises
    ------
    Refusal
        403 for a path that is absolute, has ``..`` or leads outside by a link, or where the server
        has no root; 404 for one that is not there; 413 for one too large.
    """
    if settings.root is None:
        raise Refusal(
            403,
            "no_root",
            "this server reads no files; expected an upload (multipart/form-data); "
            "--root DIR lets it read those of a folder",
        )
    path = PurePosixPath(given)
    windows = PureWindowsPath(given)
    if path.is_absolute() or windows.drive or windows.root or ".." in windows.parts:
        raise Refusal(
            403,
            "outside_root",
            f"the path {given!a} is absolute or has '..'; expected one inside "
            "the server's root, such as 'photos/one.png'",
        )
    try:
        real = inside(settings.root, given)
    except GroundbrushError:  # its words name the root, which is not the client's to know
        raise Refusal(
            403, "outside_root", f"the path {given!a} cannot be one inside the server's root"
        ) from None
    try:
        with open_regular(real) as source:
            if real.stat().st_size > settings.max_bytes:
                raise Refusal(
                    413,
                    "too_large",
                    f"the file {given!a} is longer than {settings.max_bytes:,} "
                    "bytes; expected a smaller picture",
                )
            _copy(source, file)
    except GroundbrushError:
        raise Refusal(
            404, "no_picture", f"{given!a} is no picture file in the server's root"
        ) from None
    return Kept(file, path.as_posix())


def _copy(source: BinaryIO, file: Path) -> None:
    with file.open("wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)
