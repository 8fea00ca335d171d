"""The canvas, a component of our own: a picture to mark, to watch while it is painted, to compare.

It is plain files beside this one, needs no build and fetches nothing but tiles of the page's own.
"""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st

from . import state
from .canvas import new_marks, outlines
from .tiles import Shown

_HERE = Path(__file__).parent
_FILES = {"html": ["canvas"], "css": ["canvas"], "js": ["canvas_view", "canvas_draw", "canvas"]}
SOURCES = {
    kind: "\n".join((_HERE / f"{name}.{kind}").read_text("utf-8") for name in names)
    for kind, names in _FILES.items()
}
_CANVAS = st.components.v2.component("groundbrush_canvas", **SOURCES)
_TAKES_ALT = "alt" in signature(st.image).parameters
Mode = Literal["mark", "watch", "compare"]


def image(picture: Any, alt: str, **options: Any) -> None:
    """Show a picture with a text alternative, if this version of Streamlit has a place for one."""
    st.image(picture, **options, **({"alt": alt} if _TAKES_ALT else {}))


def canvas(
    mode: Mode,
    pixels: np.ndarray,
    label: str,
    before: np.ndarray | None = None,
    preview: Any = None,
) -> None:
    """Show a picture in its frame; marks come into the session's ``todo``.

    Parameters
    ----------
    mode
        To mark it, to watch it being painted, or to compare it with `before`.
    pixels
        ``(H, W, 3)`` uint8.
    label
        What is seen, for screen readers.
    before
        The picture that "Original" shows, of the same size.
    preview
        The job that is watched.
    """
    s = st.session_state
    mask, found = s.session.mask, s.session.found
    _CANVAS(
        data={
            "mode": mode,
            "source": _token("source", pixels),
            "before": None if before is None else _token("before", before),
            "opened": _token("opened", s.session.original.pixels),
            "preview": None if preview is None else _preview(preview),
            "size": list(pixels.shape[1::-1]),
            "outlines": []
            if mask is None
            else state.kept("outlines", (mask.mask,), lambda: outlines(mask.mask)),
            "boxes": _boxes(found) if mode == "mark" and found else [],
            "numbered": bool(found and found.candidates),
            "undo": mask is not None and bool(mask.operations),
            "redo": mask is not None and bool(mask.undone),
            "label": label,
            "turn": s.turn,
            "done": s.done,
        },
        key="canvas",
        on_mark_change=take_marks,
    )


def _token(name: str, pixels: np.ndarray) -> str:
    """The address of a picture, the same for as long as the picture is."""
    return str(state.kept(f"shown-{name}", (pixels,), lambda: Shown(pixels)).token)


def _preview(job: Any) -> str:
    return str(state.kept("shown-preview", (job,), lambda: Shown(lambda: job.preview)).token)


def _boxes(found: Any) -> list[dict[str, Any]]:
    """The first choice, where there is one, and the others, numbered as the chips are."""
    first = [(found.box, True)] if found.found and found.box is not None else []
    every = [*first, *((candidate.box, False) for candidate in found.candidates)]
    return [
        {"box": [float(v) for v in box], "first": is_first, "number": number}
        for number, (box, is_first) in enumerate(every, 1)
    ]


def take_marks() -> None:
    """Put new marks in the list of what is to be done."""
    s = st.session_state
    for number, mark in new_marks(s.canvas.get("mark"), s.done):
        s.todo.append(mark)
        s.done = number
