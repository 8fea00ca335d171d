"""New sides for the picture: which, how far, what to paint there; shown before it is painted."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import streamlit as st

from ...editor.api import Editor
from ...editor.request import Sides, make_request
from ..session.session import with_sides
from ..uploads import MAX_UPLOAD_PIXELS
from . import state
from .canvas import outlines
from .components import canvas

SIDES = ("left", "top", "right", "bottom")
COLOUR = "rgb(255, 64, 129)"


def begin() -> None:
    """Show the fields for new sides in place of the words."""
    st.session_state.sides = {"which": [], "percent": 25, "paint": ""}


def end() -> None:
    """Back to the words and the mask."""
    st.session_state.sides = None


def wanted() -> Sides | None:
    """The chosen sides in pixels; None before one is chosen, and where the panel is closed."""
    s = st.session_state
    if s.sides is None or not s.sides["which"]:
        return None
    width, height = s.session.size
    lengths = {"left": width, "right": width, "top": height, "bottom": height}
    share = s.sides["percent"] / 100
    return Sides(**{side: max(1, round(share * lengths[side])) for side in s.sides["which"]})


def grown(pixels: np.ndarray) -> np.ndarray:
    """The picture's pixels with the chosen sides in grey."""
    chosen = wanted()
    if chosen is None:
        return pixels
    made: np.ndarray = state.kept(
        "grown", (pixels, repr(chosen)), lambda: with_sides(pixels, chosen)
    )
    return made


def picture() -> None:
    """The picture as large as it would become, the new sides marked."""
    pixels = state.present().pixels
    larger = grown(pixels)
    if larger is pixels:
        canvas("watch", pixels, "The picture.", say="Choose a side; it is shown here.")
        return
    empty = np.zeros(pixels.shape[:2], np.uint8)
    lines = state.kept(
        "new-sides", (larger,), lambda: outlines(with_sides(empty, wanted(), 1).astype(bool))
    )
    layers = [{"outlines": lines, "colour": COLOUR}]
    say = "The coloured part is new and will be painted."
    canvas("watch", larger, "The picture with its new sides.", layers=layers, say=say)


def panel(editor: Editor, options: dict[str, Any]) -> None:
    """Which sides, how far, and what to paint there."""
    s = st.session_state
    st.subheader("Extend the picture")
    for name, value in s.sides.items():  # Streamlit forgets what it does not show
        s.setdefault(state.key(f"sides-{name}"), value)
    which = st.pills("Sides", SIDES, selection_mode="multi", key=state.key("sides-which"))
    percent = st.slider(
        "How far, in percent of its width or height", 5, 100, step=5, key=state.key("sides-percent")
    )
    paint = st.text_input(
        "What to paint there",
        key=state.key("sides-paint"),
        placeholder="left empty: what continues the background",
    )
    s.sides = {"which": which, "percent": percent, "paint": paint}
    chosen, (width, height) = wanted(), s.session.size
    if chosen is None:
        st.caption("Choose at least one side.")
    else:
        new = width + chosen.left + chosen.right, height + chosen.top + chosen.bottom
        st.caption(f"From {width}×{height} to {new[0]}×{new[1]} pixels.")
        if new[0] * new[1] > MAX_UPLOAD_PIXELS:
            st.warning(f"At most {MAX_UPLOAD_PIXELS // 1_000_000} megapixels: extend it by less.")
            chosen = None
    if s.news:
        st.info(state.said(s.news))
    with st.container(horizontal=True):
        painting = st.button(
            "Paint the new sides", key="go-extend", type="primary", disabled=chosen is None
        )
        st.button("Back to the mask", key="sides-back", on_click=end)
    if painting:
        with state.told("Painting"):
            run(editor, paint, chosen, options)
            st.rerun()


def run(editor: Editor, words: str, chosen: Sides, options: dict[str, Any]) -> None:
    """Put the painting in line."""
    picture = state.present()
    request = make_request("extend", paint=words.strip() or None, extend=chosen, **options)
    doing = f"new sides → {request.paint or 'background'}"
    again = partial(run, editor, words, chosen)
    state.begin_job(lambda cb: [editor.paint(picture, request, cb)], doing, again)
