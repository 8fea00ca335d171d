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

from editor.canvas import canvas_view, data_uri
from editor.session import shrink

_HERE = Path(__file__).parent


def _component(name: str) -> Any:
    html, css, js = (
        (_HERE / f"{name}.{kind}").read_text("utf-8") for kind in ("html", "css", "js")
    )
    return st.components.v2.component(f"groundbrush_{name}", html=html, css=css, js=js)


_CANVAS = _component("canvas")
_COMPARE = _component("compare")


def canvas(pixels: np.ndarray, mask: np.ndarray | None, found: Any, label: str) -> dict | None:
    """Show a picture to mark; a new mark, once, or None."""
    image = data_uri(canvas_view(pixels, mask, found))
    stamp = hashlib.sha256(image.encode()).hexdigest()[:12]
    result = _CANVAS(
        data={"image": image, "label": label, "stamp": stamp},
        key="canvas",
        on_mark_change=lambda: None,
    )
    mark = result.mark
    if not mark or mark.get("id") == st.session_state.get("last_mark"):
        return None
    st.session_state.last_mark = mark.get("id")
    return {name: value for name, value in mark.items() if name != "id"}


def compare(before: np.ndarray, after: np.ndarray) -> None:
    """Show two pictures under a slider."""
    first, second = shrink(before, 1024), shrink(after, 1024)
    _COMPARE(
        data={
            "before": data_uri(first, 92),
            "after": data_uri(second, 92),
            "width": max(520, first.shape[1]),
            "before_label": "the picture before the edit",
            "after_label": "the picture after the edit",
        },
        key="compare",
    )
