"""One page: a picture, what to find, what to paint instead. ``groundbrush app`` starts it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from . import more, start, state
from . import one_thing as one
from . import several_things as several

STYLE = Path(__file__).with_name("page.css")


def page() -> None:
    """The whole page, top to bottom."""
    st.set_page_config(page_title="Groundbrush", layout="wide")
    st.html(STYLE)
    state.begin()
    s = st.session_state
    choosing = s.session is None or s.choosing
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="left", key="top"
    ):
        st.markdown("# Groundbrush" if choosing else "#### Groundbrush", width="content")
        if not choosing and st.button("Another picture", key="another"):
            s.choosing = True
            st.rerun()
        preset, options = more.settings()
        state.line_of_news()
    with state.told():
        editor = state.load_editor(preset)
        if not more.on_this_machine(editor):
            return
        if choosing:
            start.screen(editor)
            return
        work(editor, options)
        more.history()
        more.downloads(preset, options)


def work(editor: state.Editor, options: more.Options) -> None:
    """The picture, which stays where it is, and beside it what can be done with it now."""
    s = st.session_state
    if s.job is not None and s.job.over:
        state.take()
    left, right = st.columns([3, 2], gap="large")
    marking = s.job is None and not s.edits
    if marking:
        state.do_marks(editor)
    with right:
        if s.job is not None:
            one.progress()
        elif s.edits:
            one.result()
        else:
            first, second = st.tabs([state.ONE, state.SEVERAL], default=s.tab)
            with first:
                one.tab(editor, options)
            with second:
                several.tab(editor, options)
    with left:
        one.surface()
    if marking and s.found is not None:
        one.why(editor, s.found)
