"""What only the browser can do: confirm leaving, paint at Enter, move focus, complete words."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ...editor.api import Editor
from ..session.session_store import new_id
from . import state

_BROWSER = st.components.v2.component(
    "groundbrush_browser", js=Path(__file__).with_name("browser.js").read_text("utf-8")
)


def mount(editor: Editor, choosing: bool) -> None:
    """Give the browser's part of the page its present values."""
    s = st.session_state
    changes = s.session.changes if s.session else ()
    state_now = changes, s.edits, s.job
    unsaved = bool(changes or state.finished() or s.job)
    stamp = state.kept("unsaved", state_now, new_id) if unsaved else ""
    stage = "painting" if s.job else "result" if s.edits else "marking"
    stage = "choosing" if choosing else stage
    known = editor.models.words
    words = [] if known is None else [*known.nouns, *known.colours]
    _BROWSER(data={"unsaved": stamp, "stage": stage, "words": words}, key="browser")
