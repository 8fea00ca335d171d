"""A session as one file: a zip of JSON and PNGs, read with bounds, nothing unpickled."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from ...editor.errors import GroundbrushError, one_line
from ...editor.files import safe_name
from ...editor.masks.history import MaskHistory
from ...editor.masks.operations import MaskScene
from ...editor.pictures.picture import Picture
from ...editor.pictures.saving import save_picture
from ...editor.request import read_request
from ..uploads import MAX_UPLOAD_PIXELS, read_upload
from .session import MAX_CHANGES, Change, Session

VERSION = 1
MAX_SESSION_BYTES = 400_000_000
MOST_CHANGED = 10
"""How many times the largest picture all changes of a session may have together in pixels."""
_MAX_JSON = 64_000_000
_MAX_OPERATIONS = 200
_FIELDS = {"groundbrush_session", "name", "find", "candidate", "drawn", "mask", "changes", "kept"}


def picture_bytes(
    pixels: np.ndarray, suffix: str, like: Picture | None, recipe: Mapping[str, Any] | None
) -> tuple[bytes, tuple[str, ...]]:
    """A picture as a file's bytes, as `save_picture` writes it, and its notes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"picture.{suffix}"
        notes = save_picture(path, pixels, like=like, recipe=recipe)
        return path.read_bytes(), notes


def session_bytes(session: Session) -> bytes:
    """A session as a file's bytes; `read_session` reads them back."""
    every = (*session.changes, *session.undone)
    told = {
        "groundbrush_session": VERSION,
        "name": session.original.source.name if session.original.source else None,
        "find": session.find,
        "candidate": session.candidate,
        "drawn": session.drawn,
        "mask": None if session.mask is None else session.mask.as_dict(),
        "changes": [{"window": list(c.window), "request": c.request.as_dict()} for c in every],
        "kept": len(session.changes),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(told, allow_nan=False)
        archive.writestr("session.json", text, compress_type=zipfile.ZIP_DEFLATED)
        original = session.original
        archive.writestr("original.png", picture_bytes(original.pixels, "png", original, None)[0])
        for k, change in enumerate(every):
            archive.writestr(f"change-{k}.png", picture_bytes(change.patch, "png", None, None)[0])
    return file.getvalue()


def read_session(
    data: bytes,
    scene: Callable[[Picture], MaskScene] | None = None,
    *,
    max_bytes: int = MAX_SESSION_BYTES,
    max_pixels: int = MAX_UPLOAD_PIXELS,
) -> Session:
    """A session from `session_bytes`, every part checked.

    Parameters
    ----------
    data
        The file.
    scene
        Gives what mask operations may look at, for the picture as the session left it; needed
        where the mask was corrected by clicks.
    max_bytes, max_pixels
        Of the file and all it holds, and of its picture.

    Raises
    ------
    GroundbrushError
        For anything that `session_bytes` did not write.
    """
    if len(data) > max_bytes:
        raise GroundbrushError(
            f"the session has {len(data):,} bytes; expected at most {max_bytes:,}"
        )
    parts = _unzip(data, max_bytes)
    told = _json(parts.pop("session.json", None))
    original = _picture(parts.pop("original.png", None), "original.png", max_pixels)
    source = None if told["name"] is None else PurePosixPath(safe_name(Path(told["name"]).name))
    original = dataclasses.replace(original, source=source)
    changes = _changes(told["changes"], parts, max_pixels)
    kept = told["kept"]
    session = Session(original, changes[:kept], changes[kept:])
    for change in changes:  # outside the picture is told here, not when it is brought back
        change.apply(original.pixels)
    mask = None
    if told["mask"] is not None:
        mask = _mask(told["mask"], session.picture, scene)
    return dataclasses.replace(
        session, find=told["find"], candidate=told["candidate"], drawn=told["drawn"], mask=mask
    )


def _unzip(data: bytes, max_bytes: int) -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    left = max_bytes
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            listed = archive.infolist()
            if len(listed) > MAX_CHANGES + 2:
                raise _damaged(f"it holds {len(listed)} files")
            for info in listed:
                if info.filename in parts:
                    raise _damaged(f"it holds {info.filename!r} twice")
                limit = min(left, _MAX_JSON if info.filename == "session.json" else left)
                with archive.open(info) as file:
                    parts[info.filename] = file.read(limit + 1)
                if len(parts[info.filename]) > limit:
                    raise _damaged(f"{info.filename!r} is too large")
                left -= len(parts[info.filename])
    except (
        zipfile.BadZipFile,
        zipfile.LargeZipFile,
        NotImplementedError,
        RuntimeError,
        OSError,
        EOFError,
        ValueError,
    ) as error:
        raise _damaged(one_line(error)) from error
    except Exception as error:  # zlib.error and what else a hostile archive brings about
        if isinstance(error, GroundbrushError):
            raise
        raise _damaged(one_line(error)) from error
    return parts


def _json(raw: bytes | None) -> dict[str, Any]:
    if raw is None:
        raise _damaged("it holds no session.json")
    try:
        told = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _damaged(f"session.json is no JSON: {one_line(error)}") from error
    if not isinstance(told, dict) or told.get("groundbrush_session") != VERSION:
        version = told.get("groundbrush_session") if isinstance(told, dict) else None
        raise GroundbrushError(
            f"session version {version!r} given; this program reads version {VERSION}"
        )
    if set(told) != _FIELDS:
        odd = sorted(set(told) ^ _FIELDS)[0]
        raise _damaged(f"session.json lacks or should not have {odd!r}")
    changes, kept, candidate = told["changes"], told["kept"], told["candidate"]
    good = (
        isinstance(told["find"], str)
        and len(told["find"]) < 10_000
        and isinstance(told["drawn"], bool)
        and (told["name"] is None or isinstance(told["name"], str))
        and (candidate is None or (type(candidate) is int and 0 <= candidate < 100))
        and (told["mask"] is None or isinstance(told["mask"], dict))
        and isinstance(changes, list)
        and len(changes) <= MAX_CHANGES
        and type(kept) is int
        and 0 <= kept <= len(changes)
    )
    if not good:
        raise _damaged("session.json has a value of the wrong kind")
    return told


def _picture(raw: bytes | None, name: str, max_pixels: int) -> Picture:
    if raw is None:
        raise _damaged(f"it holds no {name}")
    return read_upload(raw, name, max_bytes=MAX_SESSION_BYTES, max_pixels=max_pixels)


def _changes(listed: list[Any], parts: dict[str, bytes], max_pixels: int) -> tuple[Change, ...]:
    names = [f"change-{k}.png" for k in range(len(listed))]
    if set(parts) != set(names):
        odd = sorted(set(parts) ^ set(names))[0]
        raise _damaged(f"{odd!r} is missing or does not belong there")
    changes: list[Change] = []
    left = MOST_CHANGED * max_pixels
    for name, told in zip(names, listed, strict=True):
        if not isinstance(told, dict) or set(told) != {"window", "request"}:
            raise _damaged(f"{name}: expected a window and a request")
        window = told["window"]
        if not isinstance(window, list) or [type(v) for v in window] != [int] * 4:
            raise _damaged(f"{name}: its window is {window!r}")
        if not isinstance(told["request"], dict):
            raise _damaged(f"{name}: its request is no mapping")
        x0, y0, x1, y1 = window
        patch = _picture(parts[name], name, max_pixels).pixels
        left -= patch.shape[0] * patch.shape[1]
        if left < 0:  # black pictures are small in a file and not in memory
            raise _damaged(f"its changes have more than {MOST_CHANGED * max_pixels:,} pixels")
        changes.append(Change((x0, y0, x1, y1), patch, read_request(told["request"])))
    return tuple(changes)


def _mask(
    told: dict[str, Any], picture: Picture, scene: Callable[[Picture], MaskScene] | None
) -> MaskHistory:
    for name in ("operations", "undone"):
        if not isinstance(told.get(name), list) or len(told[name]) > _MAX_OPERATIONS:
            raise _damaged(f"the mask's {name} are no list of at most {_MAX_OPERATIONS}")
    base = told.get("base")
    if not isinstance(base, dict) or base.get("size") != list(picture.size):
        raise _damaged("its mask is not of the picture's size")
    look = MaskScene(picture.pixels) if scene is None else scene(picture)
    return MaskHistory.from_dict(told, look)


def _damaged(why: str) -> GroundbrushError:
    return GroundbrushError(
        f"this is no session file, or a damaged one ({why}); expected one that Groundbrush saved"
    )
