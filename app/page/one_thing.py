"""One thing: find it, correct its mask, paint something else, compare, keep."""

from __future__ import annotations

from typing import Any

import streamlit as st

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.errors import GroundbrushError
from ...editor.explain import explain
from ...editor.finder import Grounding
from ...editor.masks.operations import (
    Area,
    Dilate,
    Erode,
    Feather,
    FillHoles,
    Level,
    Operation,
    Shadow,
)
from ...editor.masks.source import encode_mask, read_mask
from ..uploads import UPLOADS, read_upload
from . import ask, sides, state, work


def correct() -> None:
    """Operations on the mask as buttons, and a mask from a file."""
    s = st.session_state
    if s.wrong:
        st.error(state.said(s.wrong))
    mask = s.session.mask
    some = mask is not None and bool(mask.mask.any())
    if some:
        covers = f"The mask covers {100 * mask.mask.mean():.1f}% of the picture."
        st.caption(f"{covers} Correct it with the tools above the picture, or with these:")
    elif mask is not None:
        st.caption("The mask covers 0.0% of the picture: mark the place on the picture.")
    step = max(1, round(0.01 * max(s.session.size)))
    buttons: dict[str, tuple[Operation, str]] = {
        "Grow": (Dilate(step), f"by {step} pixels"),
        "Shrink": (Erode(step), f"by {step} pixels"),
        "Fill holes": (FillHoles(), "close every hole in it"),
        "Whole thing": (Level("whole"), "the largest thing around its middle"),
        "Part": (Level("part"), "a part of it"),
        "Shadow": (Shadow(), "include the shadow it casts"),
        "Soft edge": (Feather(2 * step), f"blend over {2 * step} pixels inside the edge"),
    }
    with st.container(horizontal=True, gap="xsmall"):
        for name, (operation, help_) in buttons.items() if some else ():
            st.button(name, key=f"op-{name}", help=help_, on_click=s.todo.append, args=(operation,))
        with st.popover("Mask from a file"):
            st.file_uploader(
                "A picture of this one's size: white where to paint, black elsewhere",
                UPLOADS,
                key=state.key("mask"),
                on_change=take_mask,
            )
        st.button("Extend the picture", key="extend", on_click=sides.begin, help="add to its sides")


def take_mask() -> None:
    """Take the mask of an uploaded file in place of the present one."""
    s = st.session_state
    given = s[state.key("mask")]
    if given is None:
        return
    try:
        picture = read_upload(given.getvalue(), given.name)
        mask, notes = read_mask(picture, s.session.size)
    except GroundbrushError as error:
        s.wrong = str(error)
        return
    s.todo.append(Area(encode_mask(mask), how="replace"))
    s.news = "; ".join(notes)


def prompt(editor: Editor, options: dict[str, Any]) -> None:
    """What to paint, and the two buttons."""
    s = st.session_state
    wordless = editor.preset.wordless
    ready = s.session.mask is not None and bool(s.session.mask.mask.any())
    words, painting = "", False
    if not wordless:
        words = st.text_input(
            "What to paint instead", key=state.key("paint"), placeholder="a green pear"
        )
    with st.container(horizontal=True):
        if not wordless:
            painting = st.button("Paint", key="go-paint", type="primary", disabled=not ready)
        removing = st.button(
            "Remove it",
            key="go-remove",
            type="primary" if wordless else "secondary",
            disabled=not ready,
            help="paint what is behind it, and look whether it is gone",
        )
        ask.known_words(editor)
    if s.news:
        st.info(state.said(s.news))
    last = work.durations().get(state.duration_key(options["draft"], options["settings"]))
    if not ready:
        st.caption("First something must be found or marked.")
    elif last:
        st.caption(f"Takes {duration(last * options['variants'])}, as the last time.")
    if painting and not words.strip():
        st.warning("Say what to paint, or press Remove it.")
    elif painting or removing:
        with state.told():
            state.paint(editor, words if painting else None, options)
            st.rerun()


def duration(seconds: float) -> str:
    """A time in words."""
    return f"about {seconds:.0f} s" if seconds < 90 else f"about {seconds / 60:.0f} minutes"


@st.fragment(run_every=0.5)
def progress() -> None:
    """The bar and Cancel; when the painting is over the whole page runs again."""
    s = st.session_state
    job = s.job
    if job is None or job.over:
        st.rerun()
    st.subheader("Painting")
    st.write(literal(s.doing))
    ahead = work.jobs("painting").place(job)
    if job.state == "waiting":
        st.info(f"In line: {ahead} before you" if ahead else "You are next")
    else:
        number = f" of painting {job.painting}" if job.painting > 1 else ""
        left = job.seconds_left
        time = "" if left is None else f", {duration(left)} left"
        words = f"step {job.step} of {job.total}{number}{time}" if job.total else "preparing …"
        st.progress(job.step / job.total if job.total else 0.0, words)
    if st.button("Cancel", key="cancel", disabled=job.stopping):
        job.cancel()
    st.caption("stopping after this step …" if job.stopping else work.IDLE)


def why(editor: Editor, found: Grounding) -> None:
    """The maps of the heads, on request."""
    s = st.session_state
    with st.expander("Why here?"):
        st.write(f"**{found.status}**: {literal(found.reason)}.")
        st.caption(
            "The score, from 0 to 1, is the mean of three: how sure the model is that the thing "
            "is there (presence), how much of its attention falls on the mask, and how sure the "
            "segmenter is of the outline."
        )
        if s.why is None:
            st.write("The maps take a moment to read again.")
            if st.button("Show what the model looked at", key="show-why"):
                picture = state.present()
                with state.told():
                    s.why = work.call(lambda: explain(editor, picture, found), "reading")
                    st.rerun()
            return
        st.write(f"**What to try:** {literal(s.why.advice)}")
        if s.why.presence is not None:
            st.write(f"Presence query: the model answers yes with {s.why.presence:.2f}.")
        with st.container(horizontal=True):
            with st.container(width=230):
                st.image(s.why.combined, caption="all heads together" if s.why.heads else "scores")
            for head in s.why.heads:
                layer, number = head.head
                with st.container(width=230):
                    st.image(
                        head.picture,
                        caption=f"layer {layer}, head {number}: attention sum "
                        f"{head.attention_sum:.2f}, spatial entropy {head.entropy:.2f}",
                    )
        st.caption(
            "Attention sum: how much of the head's attention is on the picture. Spatial "
            "entropy: low where it looks at one place. Heads with much of the first and "
            "little of the second say where a thing is."
        )
