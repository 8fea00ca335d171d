"""What only the browser can do: warn before unsaved work is left, paint at Enter, move focus."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ..session.session_store import new_id
from . import state

_BROWSER = st.components.v2.component(
    "groundbrush_browser", js=Path(__file__).with_name("browser.js").read_text("utf-8")
)


def mount() -> None:
    """Give the browser's part of the page its present values."""
    s = st.session_state
    state_now = s.session.changes, s.edits, s.job
    unsaved = bool(s.session.changes or state.finished() or s.job)
    stamp = state.kept("unsaved", state_now, new_id) if unsaved else ""
    stage = "painting" if s.job else "result" if s.edits else "marking"
    _BROWSER(data={"unsaved": stamp, "stage": stage}, key="browser")
