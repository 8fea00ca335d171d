"""Two small components of our own: a picture to mark, and a before/after slider.

They are plain files beside this one, need no build and fetch nothing; the pictures reach them as
``data:`` addresses of at most 1024 pixels a side.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from . import state
from .canvas import canvas_view, data_uri, fit_screen, new_marks

_HERE = Path(__file__).parent


def _component(name: str) -> Any:
    html, css, js = (
        (_HERE / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    return st.components.v2.component(f"groundbrush_{name}", html=html, css=css, js=js)


_CANVAS = _component("canvas")
_COMPARE = _component("compare")


def canvas(pixels: np.ndarray, mask: np.ndarray | None, found: Any, label: str) -> None:
    """Show a picture to mark; the marks come into the session's ``todo``."""
    parts = (pixels, mask, found)
    image = state.kept("canvas", parts, lambda: data_uri(canvas_view(*parts)))
    s = st.session_state
    _CANVAS(
        data={
            "image": image,
            "label": label,
            "stamp": hashlib.sha256(image.encode()).hexdigest()[:12],
            "turn": s.turn,
            "done": s.done,
        },
        key="canvas",
        on_mark_change=take_marks,
    )


def take_marks() -> None:
    """Put new marks in the list of what is to be done."""
    s = st.session_state
    for number, mark in new_marks(s.canvas.get("mark"), s.done):
        s.todo.append(mark)
        s.done = number


def compare(before: np.ndarray, after: np.ndarray) -> None:
    """Show two pictures under a slider."""
    first, second = (
        state.kept(name, (pixels,), lambda pixels=pixels: data_uri(fit_screen(pixels), 92))
        for name, pixels in (("before", before), ("after", after))
    )
    _COMPARE(
        data={
            "before": first,
            "after": second,
            "aspect": before.shape[1] / before.shape[0],
            "before_label": "the picture before the edit",
            "after_label": "the picture after the edit",
        },
        key="compare",
    )
