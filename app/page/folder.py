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
        files = (p for p in Path(named).iterdir() if p.suffix.lower()[1:] in UPLOADS)
        return sorted(p for p in files if p.is_file())
    except OSError as error:
        raise GroundbrushError(
            f"the folder {Path(named).name!r} cannot be read ({error.strerror}); start the app "
            "with --folder DIR again"
        ) from None


def open_in_folder(*paths: Path) -> None:
    """Begin with the first of these pictures that opens; says what is wrong with those before."""
    for path in paths:
        with state.told("The folder"):
            state.open_session(Session(open_picture(path, max_pixels=MAX_UPLOAD_PIXELS)))
            return


def neighbours(paths: list[Path]) -> tuple[list[Path], list[Path], int]:
    """The pictures before and after the open one, nearest first, and its number from 1, or 0."""
    session = st.session_state.session
    source = None if session is None else session.original.source
    if source not in paths:
        return [], paths, 0
    k = paths.index(source)
    return paths[:k][::-1], paths[k + 1 :], k + 1


def steps() -> None:
    """Buttons to the picture before and the one after."""
    paths = folder_pictures()
    if not paths:
        return
    before, after, number = neighbours(paths)
    for name, others in (("Previous", before), ("Next", after)):
        st.button(
            name,
            key=f"folder-{name}",
            disabled=not others,
            help=others[0].name if others else None,
            on_click=open_in_folder,
            args=others,
        )
    of = f"{number} of {len(paths)}" if number else f"{len(paths)} in the folder"
    st.caption(of, width="content")
