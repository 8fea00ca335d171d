"""The queues for work with the models, which all sessions share, and the store of open sessions."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import streamlit as st
from streamlit import runtime
from streamlit.runtime.scriptrunner import get_script_run_ctx

from ...editor.api import Editor
from ...editor.errors import GroundbrushError
from ..queue import Job, JobQueue, Work
from ..session.session_store import SessionStore

IDLE = "&nbsp;"


@st.cache_resource(show_spinner=False)
def jobs(kind: str) -> JobQueue:
    """One queue for all sessions, for there is one model; finding has its own and need not wait.

    Where finder and painter alternate on an accelerator, the models wait for each other.
    """
    return JobQueue()


@st.cache_resource(show_spinner=False)
def durations() -> dict[Any, float]:
    """Seconds that the last painting took, by what was set."""
    return {}


@st.cache_resource(show_spinner=False)
def store() -> SessionStore:
    """The open sessions of all browsers, by the id in their address."""
    return SessionStore()


@st.cache_resource(show_spinner=False)
def load_editor(preset: str) -> Editor:
    """One editor for all sessions; its models load while a picture is being chosen."""
    editor = Editor.load(preset)
    threading.Thread(target=warm, args=(editor,), daemon=True, name="loader").start()
    return editor


def warm(editor: Editor) -> None:
    """Load the models that are on this machine; errors show where the models are needed."""
    with suppress(GroundbrushError):
        if editor.models.plan().incomplete:
            return
        editor.models.grounder()
        editor.models.inpainter()


def submit(work: Work, kind: str = "painting") -> Job:
    """Put work in line; others that wait stop it when no page shows the session any more."""
    context = get_script_run_ctx()
    page = context.session_id if context else "test"
    owner = st.session_state.id or page
    alive = None
    if runtime.exists():
        server, sessions, queue = runtime.get_instance(), store(), jobs(kind)
        alive = lambda: (  # noqa: E731
            server.is_active_session(page)
            or sessions.is_viewed(owner, server.is_active_session)
            or not queue.others_wait(owner)
        )
    return jobs(kind).submit(owner, work, alive)


def call(work: Callable[[], Any], doing: str, spot: Any = None) -> Any:
    """Do something with the models in the worker and wait for it, telling the place in line."""
    job = submit(lambda callbacks: work(), "finding")
    spot = spot or st.session_state.spot  # reserved: a new element would push the others about
    waited = 0
    try:
        while not job.wait(0.2):
            ahead, waited = jobs("finding").place(job), waited + 1
            words = f"{doing}: {ahead} before you in line" if ahead else f"{doing} …"
            if waited > 15 and not ahead:  # three seconds: nothing but loading takes so long here
                words = f"{doing} … (the models are still loading)"
            spot.markdown(f":orange[{words}]", width="content")
        return job.value()
    finally:
        job.cancel()  # the page was left or run again meanwhile; nothing where it is over
        spot.markdown(IDLE, width="content")
