"""The folders of a batch and the files in them: where rows write, and the row of a file."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import GroundbrushError, one_line
from ..files import atomic_write
from .results import PictureFacts
from .rows import BatchRow

REVIEW = "review"
"""Folder of the small pictures that the review sheet shows."""
_THUMB = 384
_ENDINGS = r"\.(?:edited(?:-\d+)?|applied|steps|plan|mask|before|found|after)|_panoptic"
_OURS = re.compile(rf"([^.]+?)(?:{_ENDINGS})\.\w+")
_PARTIAL = re.compile(r"\..{1,32}\.[0-9a-f]{16}\.part", re.DOTALL)


def row_of(name: str) -> str | None:
    """The row's name in the name of a result's file, relative to `out`; None for other files."""
    match = _OURS.fullmatch(name.removeprefix(f"{REVIEW}/"))
    return match[1] if match else None


@dataclass(frozen=True)
class Workspace:
    """Where a batch reads (`root`) and writes (`out`), and how.

    `suffix` is that of painted pictures; `gate` is for rows without their own.
    """

    root: Path
    out: Path
    suffix: str = "png"
    gate: str = "hold"

    @property
    def work(self) -> Path:
        """Folder of what is kept between runs."""
        return self.out / ".batch"

    def grounding(self, key: str) -> Path:
        """File of a grounding."""
        return self.work / "found" / f"{key}.json.gz"

    def files_by_row(self) -> dict[str, set[str]]:
        """The names of all files that may be a batch's, by row name, relative to `out`."""
        found: dict[str, set[str]] = {}
        for folder, before in ((self.out, ""), (self.out / REVIEW, f"{REVIEW}/")):
            if folder.is_dir():
                for path in folder.iterdir():
                    if (row := row_of(path.name)) is not None:
                        found.setdefault(row, set()).add(before + path.name)
        return found

    def may_overwrite(self, path: Path) -> bool:
        """Whether a result could overwrite a file; both paths without links."""
        out = self.out.resolve()
        return path.parent in (out, out / REVIEW) and _OURS.fullmatch(path.name) is not None

    def sweep(self) -> int:
        """Remove what a killed process was still writing; how many files that were."""
        count = 0
        for folder in (self.out, self.out / REVIEW, self.work, self.work / "found"):
            if folder.is_dir():
                for path in folder.iterdir():
                    if _PARTIAL.fullmatch(path.name):
                        path.unlink(missing_ok=True)
                        count += 1
        return count


@dataclass(eq=False)
class RowFiles:
    """Writes a row's files and remembers them.

    What can be made again is not synced to the disk one by one: `--resume` compares digests.
    """

    workspace: Workspace
    row: BatchRow
    names: dict[str, str] = field(default_factory=dict)

    def path(self, kind: str, ending: str) -> Path:
        """A file directly in the output folder, remembered."""
        return self._add(kind, self.workspace.out / f"{self.row.name}{ending}")

    def mask(self, mask: np.ndarray) -> None:
        """A mask as a picture, white where it is True."""
        content = _encoded(mask.astype(np.uint8) * 255, "PNG")
        atomic_write(self.path("mask", ".mask.png"), content, durable=False)

    def thumb(self, kind: str, pixels: np.ndarray) -> None:
        """A small picture for the review sheet."""
        image = Image.fromarray(pixels)
        image.thumbnail((_THUMB, _THUMB), Image.Resampling.LANCZOS, reducing_gap=3.0)
        path = self.workspace.out / REVIEW / f"{self.row.name}.{kind}.jpg"
        content = _encoded(np.asarray(image), "JPEG")
        atomic_write(self._add(f"review_{kind}", path), content, durable=False)

    def remove(self) -> None:
        """Remove everything: a row that failed has no files."""
        for name in self.names.values():
            with contextlib.suppress(OSError):  # the error that made it fail is reported
                (self.workspace.out / name).unlink(missing_ok=True)

    def _add(self, kind: str, path: Path) -> Path:
        self.names[kind] = path.relative_to(self.workspace.out).as_posix()
        return path


def file_digest(path: Path) -> str:
    """SHA-256 of a file; OSError if it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def picture_facts(path: Path) -> PictureFacts:
    """Length, time and digest of a picture's file."""
    try:
        digest = file_digest(path)
        status = path.stat()
    except OSError as error:
        raise GroundbrushError(
            f"{str(path)!r} cannot be read ({one_line(error)}); expected the picture as it was "
            "when the batch began"
        ) from error
    return PictureFacts(bytes=status.st_size, mtime_ns=status.st_mtime_ns, sha256=digest)


def same_picture(path: Path, facts: PictureFacts) -> bool:
    """Whether a file is unchanged; it is read only if its time differs."""
    try:
        status = path.stat()
        if status.st_size != facts.bytes:
            return False
        return status.st_mtime_ns == facts.mtime_ns or picture_facts(path).sha256 == facts.sha256
    except (OSError, GroundbrushError):
        return False


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **({"quality": 85} if kind == "JPEG" else {}))
    return buffer.getvalue()
