"""One page: a picture, what to find, what to paint instead. ``groundbrush app`` starts it."""

from __future__ import annotations

import streamlit as st

from app import more, one, several, start, state


def page() -> None:
    """The whole page, top to bottom."""
    st.set_page_config(page_title="Groundbrush", layout="wide", initial_sidebar_state="collapsed")
    state.begin()
    preset, options = more.settings()
    with state.told():
        editor = state.load_editor(preset)
        if st.session_state.session is None:
            st.title("Groundbrush")
            state.line_of_news()
            st.write(
                "Say what to find and what to paint instead. Nothing else in the picture changes."
            )
            start.screen(editor)
            return
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("#### Groundbrush")
            if st.button("Another picture", key="another"):
                close()
            state.line_of_news()
        first, second = st.tabs(["One thing", "Several things"])
        with first:
            one.tab(editor, options)
        with second:
            several.tab(editor, options)
        more.history()
        more.downloads(preset, options)


def close() -> None:
    """Back to the first screen; a painting under way is stopped."""
    if st.session_state.job is not None:
        st.session_state.job.cancel()
    for name in (*state.EMPTY, "upload", "saved"):
        st.session_state.pop(name, None)
    st.rerun()


page()
