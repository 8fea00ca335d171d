"""What one browser session holds, and the line of work that all sessions share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from editor import Edit, Editor, GroundbrushError
from editor.images import Picture
from editor.jobs import Job, JobCancelled, Jobs, Work
from editor.session import Session, paint_session, scene_of

EMPTY: dict[str, Any] = {
    "session": None,  # editor.session.Session
    "found": None,  # the grounding that the mask began from
    "asked": "",  # what was looked for last, found or not
    "trouble": "",  # why that failed, in words
    "news": "",  # how the last painting ended, where it gave no picture
    "job": None,  # painting under way
    "edits": [],  # painted and not yet kept
    "variant": 0,
    "everything": None,  # a grounded sentence
    "plan": None,
    "why": None,
    "turn": 0,  # new keys for widgets that must begin afresh
}


IDLE = "&nbsp;"
TYPED = ("find", "paint", "sentence", "do")
"""Fields whose words stay while they are not shown; Streamlit would forget them."""


@st.cache_resource(show_spinner=False)
def jobs() -> Jobs:
    """One line for all sessions: there is one model."""
    return Jobs()


@st.cache_resource(show_spinner=False)
def load_editor(preset: str) -> Editor:
    """One editor for all sessions; its models load when first needed."""
    return Editor.load(preset)


def begin() -> None:
    """Give a new browser session its empty state."""
    for name, value in EMPTY.items():
        if name not in st.session_state:
            st.session_state[name] = list(value) if isinstance(value, list) else value
    for name in TYPED:
        if key(name) in st.session_state:
            st.session_state[key(name)] = st.session_state[key(name)]


def line_of_news() -> None:
    """Reserve the line where waiting is told."""
    st.session_state.spot = st.empty()
    st.session_state.spot.markdown(IDLE)


def submit(work: Work) -> Job:
    """Put work in line; it is stopped when this browser session's page is closed."""
    context = get_script_run_ctx()
    owner = context.session_id if context else "test"
    alive = None
    if runtime.exists():
        server = runtime.get_instance()
        alive = lambda: server.is_active_session(owner)  # noqa: E731
    return jobs().submit(owner, work, alive)


def call(work: Callable[[], Any], doing: str) -> Any:
    """Do something with the models in the worker and wait for it, telling the place in line."""
    job = submit(lambda callbacks: work())
    spot = st.session_state.spot  # always there: a new element would push the others about
    try:
        while not job.wait(0.2):
            ahead = jobs().place(job)
            spot.markdown(
                f":orange[{doing}: {ahead} before you in line]" if ahead else f":orange[{doing} …]"
            )
        return job.value()
    finally:
        job.cancel()  # the page was left or run again meanwhile; nothing where it is over
        spot.markdown(IDLE)


@contextmanager
def told() -> Iterator[None]:
    """Show an error of ours where it happens and go on with the page."""
    try:
        yield
    except JobCancelled as stop:
        st.info(str(stop))
    except GroundbrushError as error:
        st.error(str(error))


def open_session(session: Session, find: str = "") -> None:
    """Begin with a picture or a reopened session."""
    turn = st.session_state.turn
    for name, value in EMPTY.items():
        st.session_state[name] = list(value) if isinstance(value, list) else value
    st.session_state.session = session
    st.session_state.turn = turn + 1
    # a reopened session has its mask already: its words are not looked for again
    st.session_state.asked = session.find if session.mask is not None else ""
    st.session_state[key("find")] = session.find or find


def key(name: str) -> str:
    """A widget's key; a new one for each picture and after each kept edit."""
    return f"{name}-{st.session_state.turn}"


def fresh(session: Session) -> None:
    """Go on with another state of the picture: nothing is looked for or painted in it yet."""
    open_session(session.cleared())


def look(editor: Editor, words: str) -> None:
    """Find what was typed and begin a mask from it."""
    state = st.session_state
    state.asked, state.trouble, state.news, state.why = words, "", "", None
    picture = state.session.picture
    try:
        found = call(lambda: editor.ground(picture, words), "looking")
    except GroundbrushError as error:
        state.trouble = str(error)
        return
    state.found = found
    state.session = state.session.looked(found, scene_of(editor, picture))


def paint(editor: Editor, words: str | None, options: dict[str, Any]) -> None:
    """Put a painting in line."""
    state = st.session_state
    session, found = state.session, state.found
    request = session.request(words, **options)
    known = found if found is not None and found.phrase == request["find"] else None
    state.edits, state.variant, state.news = [], 0, ""
    state.job = submit(lambda cb: [paint_session(editor, session, request, cb, known)])


def take() -> None:
    """Collect a painting that is over."""
    state = st.session_state
    job, state.job = state.job, None
    try:
        state.edits = job.value()
    except GroundbrushError as error:  # shown until something else is tried
        state.news = str(error)


def finished() -> list[Edit]:
    """What was painted and is not yet kept or dropped."""
    return [edit for edit in st.session_state.edits if edit.done]


def present() -> Picture:
    """The picture as it now is."""
    return st.session_state.session.picture
