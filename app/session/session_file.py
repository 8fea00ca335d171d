"""A session as one file: a zip of JSON and PNGs, read with bounds, nothing unpickled."""

from __future__ import annotations

import dataclasses
import io
import json
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from ...editor.errors import GroundbrushError, explain, one_line
from ...editor.files import safe_name
from ...editor.grounding_json import GroundingEntry, Pixel, Text, grounding_values
from ...editor.masks.history import MaskHistory
from ...editor.masks.operations import AnyOperation, MaskScene
from ...editor.masks.source import check_encoded
from ...editor.pictures.picture import Picture
from ...editor.pictures.saving import save_picture
from ...editor.request import AnyRequest
from ...editor.values import Flag, Whole, as_validator, expects
from ..uploads import MAX_UPLOAD_PIXELS, read_upload
from .session import MAX_CHANGES, Change, Session

VERSION = 2
MAX_SESSION_BYTES = 400_000_000
MOST_CHANGED = 10
"""How many times the largest picture all changes of a session may have together in pixels."""
_MAX_JSON = 64_000_000
_MAX_OPERATIONS = 200


def _check_version(given: int) -> int:
    if given not in (1, VERSION):
        raise ValueError(f"session version {given} given; this program reads 1 and {VERSION}")
    return given


MaskEntry = Annotated[dict[str, Any], as_validator(check_encoded)]
Operations = Annotated[
    tuple[AnyOperation, ...],
    Field(max_length=_MAX_OPERATIONS),
    expects(f"a list of at most {_MAX_OPERATIONS}"),
]


class _Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HistoryEntry(_Entry):
    """A `MaskHistory`."""

    base: MaskEntry
    operations: Operations
    undone: Operations


Chain = Annotated[
    tuple[Annotated[int, Whole(0, MAX_CHANGES - 1)], ...], Field(max_length=MAX_CHANGES)
]
"""Numbers of edits, from the original on."""


class ChangeEntry(_Entry):
    """A `Change`, without its pixels, which are a file of their own."""

    window: tuple[Pixel, Pixel, Pixel, Pixel]
    request: AnyRequest


class SessionEntry(_Entry):
    """All of a session but its pixels: the file ``session.json``."""

    groundbrush_session: Annotated[int, Whole(0, 10**6), AfterValidator(_check_version)]
    name: Text | None
    find: Text
    candidate: Annotated[int, Whole(0, 99)] | None
    drawn: Flag
    mask: HistoryEntry | None
    changes: Annotated[tuple[ChangeEntry, ...], Field(max_length=MAX_CHANGES)]
    kept: Annotated[int, Whole(0, MAX_CHANGES)]
    branches: Annotated[tuple[Chain, ...], Field(max_length=MAX_CHANGES + 1)] = ()
    paint: Text = ""
    found: GroundingEntry | None = None


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
    every = session.every_change
    chains = ((*session.changes, *session.undone), *session.branches)
    entry = {
        "groundbrush_session": VERSION,
        "name": session.original.source.name if session.original.source else None,
        "find": session.find,
        "candidate": session.candidate,
        "drawn": session.drawn,
        "mask": None if session.mask is None else session.mask.as_dict(),
        "changes": [{"window": list(c.window), "request": c.request.as_dict()} for c in every],
        "kept": len(session.changes),
        "branches": [[every.index(change) for change in chain] for chain in chains],
        "paint": session.paint,
        "found": None if session.found is None else grounding_values(session.found),
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        text = json.dumps(entry, allow_nan=False, default=lambda number: number.item())  # of numpy
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
) -> Session:
    """A session from `session_bytes`, every part checked.

    `scene` gives what mask operations may look at, for the picture as the session left it; it is
    needed where the mask was corrected by clicks. `max_bytes` are of the file and all it holds.
    Raises GroundbrushError for anything that `session_bytes` did not write.
    """
    if len(data) > max_bytes:
        raise GroundbrushError(
            f"the session has {len(data):,} bytes; expected at most {max_bytes:,}"
        )
    parts = _unzip(data, max_bytes)
    entry = _entry(parts.pop("session.json", None))
    original = _picture(parts.pop("original.png", None), "original.png")
    source = None if entry.name is None else PurePosixPath(safe_name(Path(entry.name).name))
    original = dataclasses.replace(original, source=source)
    changes = _changes(entry.changes, parts)
    own, *branches = [tuple(changes[k] for k in chain) for chain in entry.branches] or [changes]
    session = Session(original, own[: entry.kept], own[entry.kept :], tuple(branches))
    for chain in (own, *branches):  # one outside the picture is refused here, not when reached
        size = original.size
        for change in chain:
            size = change.size_after(size)
    mask = None if entry.mask is None else _history(entry.mask, session.picture, scene)
    found = None if entry.found is None else entry.found.grounding()
    if found is not None and found.size_wh != session.size:
        raise _damaged("what was found is not of the picture's size")
    names = ("find", "candidate", "drawn", "paint")
    values: dict[str, Any] = {name: getattr(entry, name) for name in names}
    return dataclasses.replace(session, mask=mask, found=found, **values)


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
    except GroundbrushError:
        raise
    except Exception as error:  # whatever a damaged or hostile archive brings about
        raise _damaged(one_line(error)) from error
    return parts


def _entry(raw: bytes | None) -> SessionEntry:
    if raw is None:
        raise _damaged("it holds no session.json")
    try:
        entry = SessionEntry.model_validate_json(raw)
    except ValidationError as error:
        json_error = error.errors()[0]["type"] == "json_invalid"
        why = "session.json is no JSON" if json_error else explain(error, SessionEntry, "it")[0]
        raise _damaged(why) from error
    chains = entry.branches or (range(len(entry.changes)),)
    if entry.kept > len(chains[0]):
        raise _damaged(f"{entry.kept} edits kept of {len(chains[0])}")
    if any(k >= len(entry.changes) for chain in chains for k in chain):
        raise _damaged(f"a branch names an edit that is not one of its {len(entry.changes)}")
    return entry


def _picture(raw: bytes | None, name: str) -> Picture:
    if raw is None:
        raise _damaged(f"it holds no {name}")
    return read_upload(raw, name, max_bytes=MAX_SESSION_BYTES)


def _changes(entries: Sequence[ChangeEntry], parts: dict[str, bytes]) -> tuple[Change, ...]:
    names = [f"change-{k}.png" for k in range(len(entries))]
    if set(parts) != set(names):
        odd = sorted(set(parts) ^ set(names))[0]
        raise _damaged(f"{odd!r} is missing or does not belong there")
    changes: list[Change] = []
    left = most = MOST_CHANGED * MAX_UPLOAD_PIXELS
    for name, entry in zip(names, entries, strict=True):
        patch = _picture(parts[name], name).pixels
        left -= patch.shape[0] * patch.shape[1]
        if left < 0:  # black pictures are small in a file and not in memory
            raise _damaged(f"its changes have more than {most:,} pixels")
        changes.append(Change(entry.window, patch, entry.request))
    return tuple(changes)


def _history(
    entry: HistoryEntry, picture: Picture, scene: Callable[[Picture], MaskScene] | None
) -> MaskHistory:
    if list(entry.base["size"]) != list(picture.size):
        raise _damaged("its mask is not of the picture's size")
    with_models = MaskScene(picture.pixels) if scene is None else scene(picture)
    return MaskHistory.from_dict(dict(entry), with_models)


def _damaged(why: str) -> GroundbrushError:
    return GroundbrushError(
        f"this is no session file, or a damaged one ({why}); expected one that Groundbrush saved"
    )
