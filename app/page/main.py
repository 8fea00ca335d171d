"""One page: a picture, what to find, what to paint instead. ``groundbrush app`` starts it."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from ...editor.api import Editor
from ..session.session_store import new_id
from . import ask, more, results, sides, start, state, work
from . import one_thing as one
from . import several_things as several

STYLE = Path(__file__).with_name("page.css")
_BROWSER = st.components.v2.component(
    "groundbrush_browser", js=Path(__file__).with_name("browser.js").read_text("utf-8")
)


def mount_browser(editor: Editor, choosing: bool) -> None:
    """Give the browser's part of the page its present values.

    It does what only a browser can: confirm leaving, paint at Enter, move focus, complete words.
    """
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


def page() -> None:
    """The whole page, top to bottom."""
    st.set_page_config(page_title="Groundbrush", layout="wide")
    st.html(STYLE)
    state.begin()
    try:
        whole()
    finally:  # also where the run is interrupted
        state.keep()


def whole() -> None:
    """Top line, then what is under way."""
    s = st.session_state
    choosing = s.session is None or s.choosing
    with st.container(
        horizontal=True, vertical_alignment="center", horizontal_alignment="left", key="top"
    ):
        st.markdown("# Groundbrush" if choosing else "#### Groundbrush", width="content")
        if not choosing:
            st.button("Another picture", key="another", on_click=state.choose_picture)
            with state.told("The folder"):
                start.folder_steps()
        preset, options = more.settings()
        s.spot = st.empty()  # the line that shows the place in the queue
        s.spot.markdown(work.IDLE, width="content")
    with state.told("The editor"):
        editor = work.load_editor(preset)
        if not more.on_this_machine(editor):
            return
        start.drop_anywhere(editor)
        if choosing:
            start.screen(editor)
            mount_browser(editor, choosing)
            return
        workplace(editor, options)
    with state.told("The history"):
        results.history()
    with state.told("The list of downloads"):
        more.downloads(preset, options)
    mount_browser(editor, choosing)


def workplace(editor: Editor, options: more.Options) -> None:
    """The picture, which stays where it is, and beside it what can be done with it now."""
    s = st.session_state
    if s.job is not None and s.job.over:
        state.take()
    left, right = st.columns([3, 2], gap="large")
    marking = s.job is None and not s.edits
    if marking:
        state.do_marks(editor)
    with right, state.told("What can be done"):
        if s.job is not None or marking:
            with st.container(key="ask"):
                if s.job is not None:
                    one.progress()
                elif s.sides is not None:
                    sides.panel(editor, options)
                else:
                    ask.field(editor)
                    if s.everything is None and s.plan is None:
                        one.prompt(editor, options)
            if s.job is None and s.sides is None:
                choices(editor, options)
        else:
            results.result(options)
    with left, state.told("The picture"):
        if marking and s.sides is not None:
            sides.picture()
        elif marking and s.everything is not None:
            several.picture()
        else:
            results.surface(editor)
        results.download()
    if marking and s.sides is None and s.session.found is not None:
        with state.told("The explanation"):
            one.why(editor, s.session.found)


def choices(editor: Editor, options: more.Options) -> None:
    """What was found or read, and how to change it."""
    s = st.session_state
    if s.everything is not None:
        several.things(editor, options)
    elif s.plan is not None:
        several.rows(editor, options)
    else:
        one.correct()
