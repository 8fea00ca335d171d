"""The canvas, a component of our own: a picture to mark, to watch while it is painted, to compare.

It is plain files beside this one, needs no build and fetches nothing but tiles of the page's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import streamlit as st

from ...editor.api import Editor
from ...editor.pictures.picture import Picture
from . import state, work
from .canvas import new_marks, outlines, read_mark
from .tiles import Shown

_HERE = Path(__file__).parent
_FILES = {
    "html": ["canvas"],
    "css": ["canvas"],
    "js": ["canvas_keys", "canvas_view", "canvas_draw", "canvas"],
}
SOURCES = {
    kind: "\n".join((_HERE / f"{name}.{kind}").read_text("utf-8") for name in names)
    for kind, names in _FILES.items()
}
_CANVAS = st.components.v2.component("groundbrush_canvas", **SOURCES)
Mode = Literal["mark", "watch", "compare"]


def canvas(
    mode: Mode,
    pixels: np.ndarray,
    label: str,
    before: np.ndarray | None = None,
    preview: Any = None,
    name: str = "before",
    split: float = 0.5,
    editor: Editor | None = None,
    layers: Sequence[Mapping[str, Any]] = (),
    say: str = "",
) -> None:
    """Show a picture, ``(H, W, 3)`` uint8, in its frame; marks come into the session's ``todo``.

    `label` is for screen readers. `before` is the picture of the same size, called `name`, that
    "Original" shows and that is left of `split`, a share of the width; `preview` the job that is
    watched, `layers` are ``outlines`` and ``colour`` of each thing in it. With `editor` a click's
    outlines are shown before it is made. `say` is the line below what is not marked.
    """
    s = st.session_state
    mask, found = s.session.mask, s.session.found
    _CANVAS(
        data={
            "mode": mode,
            "source": _token("source", pixels)
            if editor is None
            else state.kept("shown-marked", (pixels, editor), lambda: _clickable(editor)).token,
            "clicks": editor is not None,
            "before": None if before is None else _token("before", before),
            "opened": _token("opened", s.session.original.pixels),
            "name": name,
            "split": split,
            "layers": list(layers),
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
            "say": say,
            "turn": s.turn,
            "done": s.done,
        },
        key="canvas",
        on_mark_change=take_marks,
    )


def _clickable(editor: Editor) -> Shown:
    """The present picture, and what a click on it would take while the finder is free."""
    picture, queue = state.present(), work.jobs("finding")
    scene = editor.finder.scene(picture)

    def click(x: float, y: float) -> np.ndarray | None:
        if not queue.idle:
            return None
        mark = read_mark({"kind": "point", "how": "add", "points": [[x, y]]}, picture.size)
        empty = np.zeros(picture.size[::-1], bool)
        job = queue.submit("hover", lambda callbacks: mark.apply(empty, scene))
        if not job.wait(5):
            job.cancel()
            return None
        return job.value()

    return Shown(_with_alpha(picture.pixels), click)


def carrier() -> Picture:
    """What lends the shown pixels their alpha and metadata; where sides are new, with these."""
    done = state.finished()
    return done[-1].picture if done else state.present()


def _with_alpha(pixels: np.ndarray) -> np.ndarray:
    """Pixels with the picture's transparency as a fourth channel."""
    alpha = carrier().alpha
    fits = alpha is not None and alpha.shape == pixels.shape[:2]
    return np.dstack((pixels, alpha)) if fits else pixels


def _token(name: str, pixels: np.ndarray) -> str:
    """The address of a picture, the same for as long as the picture is."""
    return str(state.kept(f"shown-{name}", (pixels,), lambda: Shown(_with_alpha(pixels))).token)


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
