"""Pictures that are dropped anywhere on the page, or pasted: they open at once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import streamlit as st

from ...editor.api import Editor
from ..session.session import Session, scene_of
from ..session.session_file import read_session
from ..uploads import UPLOADS, read_upload
from . import state, work

SAVED = "groundbrush"
_DROP = st.components.v2.component(
    "groundbrush_drop", js=Path(__file__).with_name("drop.js").read_text("utf-8")
)


def anywhere(editor: Editor) -> None:
    """Take what is dropped or pasted: the script puts it into an uploader that is not shown."""
    with st.container(key="dropzone"):
        given = st.file_uploader("Dropped", [*UPLOADS, SAVED], key=state.key("dropped"))
        _DROP(key="drop-script")
    if given is not None:
        open_file(editor, given)


def open_file(editor: Editor, given: Any) -> None:
    """Begin with an uploaded picture, or continue a saved session."""
    data = given.getvalue()
    with state.told("The file"):
        if given.name.lower().endswith(f".{SAVED}"):
            session = work.call(
                lambda: read_session(data, lambda picture: scene_of(editor, picture)), "opening"
            )
        else:
            with st.spinner("reading the picture"):
                session = Session(read_upload(data, given.name))
        state.open_session(session)
        st.rerun()
