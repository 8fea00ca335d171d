"""The pictures of the folder that ``groundbrush app --folder`` named, one after the other."""

from __future__ import annotations

import os
from pathlib import Path

import streamlit as st

from ...editor.errors import GroundbrushError
from ...editor.pictures.picture import open_picture
from ..session.session import Session
from ..uploads import MAX_UPLOAD_PIXELS, UPLOADS
from . import state

VARIABLE = "GROUNDBRUSH_PAGE_FOLDER"


def folder_pictures() -> list[Path]:
    """The pictures in the folder, by name; none without a folder."""
    named = os.environ.get(VARIABLE)
    if not named:
        return []
    try:
        return sorted(p for p in Path(named).iterdir() if p.suffix.lower()[1:] in UPLOADS)
    except OSError as error:
        raise GroundbrushError(
            f"the folder {Path(named).name!r} cannot be read ({error.strerror}); start the app "
            "with --folder DIR again"
        ) from None


def open_in_folder(path: Path) -> None:
    """Begin with a picture of the folder."""
    with state.told("The folder"):
        state.open_session(Session(open_picture(path, max_pixels=MAX_UPLOAD_PIXELS)))


def neighbours(paths: list[Path]) -> tuple[Path | None, Path | None, int]:
    """The pictures before and after the one that is open, and its number from 1, or 0."""
    session = st.session_state.session
    source = None if session is None else session.original.source
    if source not in paths:
        return None, paths[0] if paths else None, 0
    k = paths.index(source)
    return (paths[k - 1] if k else None), (paths[k + 1] if k + 1 < len(paths) else None), k + 1


def steps() -> None:
    """Buttons to the picture before and the one after."""
    paths = folder_pictures()
    if not paths:
        return
    before, after, number = neighbours(paths)
    for name, path in (("Previous", before), ("Next", after)):
        st.button(
            name,
            key=f"folder-{name}",
            disabled=path is None,
            help=None if path is None else path.name,
            on_click=open_in_folder,
            args=(path,),
        )
    st.caption(f"{number} of {len(paths)}", width="content")
