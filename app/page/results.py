"""What was painted: compare the results, try again, keep one, download it; and the history."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import streamlit as st

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.editing.result import Edit
from ...editor.pictures.overlay import shrink
from ...editor.request import recipe_for_file
from ..session.session_file import picture_bytes
from . import ask, more, sides, state
from .components import canvas, carrier
from .start import show_image

MIMES = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}
BEFORE = "before"


def surface(editor: Editor) -> None:
    """The picture: to be marked, painted at the moment, or painted and compared."""
    s = st.session_state
    pixels, done = state.present().pixels, state.finished()
    if s.job is not None:
        say = "The picture so far."
        canvas("watch", sides.grown(pixels), say, preview=s.job, say=say)
    elif done:
        after = done[-1].variants[s.variant].image
        left, name = sides.grown(pixels), BEFORE
        if s.versus != BEFORE and int(s.versus) <= len(results()):
            _, edit, k = results()[int(s.versus) - 1]
            left, name = edit.variants[k].image, f"result {s.versus}"
        label = f"The picture after the edit, beside {name}."
        shown = "the original" if name == BEFORE else name
        say = f"Drag the line, or hold Tab to see {shown}."
        changed = np.flatnonzero(support(done).any(0))
        split = float(changed[0] / after.shape[1]) if changed.size else 0.0
        canvas("compare", after, label, before=left, name=name, split=split, say=say)
    elif s.plan is not None:
        canvas("watch", pixels, "The picture.", say="The rows say what becomes of it.")
    else:
        found = s.session.found
        label = (
            f"The picture. {ask.ANSWERS[found.status][1] if found else 'No thing is named yet.'}"
        )
        session = s.session
        parts = session.original, session.changes
        original = (
            state.kept("original", parts, lambda: session.opened) if session.changes else None
        )
        canvas("mark", pixels, label, before=original, editor=editor)


def results() -> list[tuple[list[Edit], Edit, int]]:
    """Every painting of this place: the edits of its try, the last one, the number of a variant."""
    last = [(edits, [e for e in edits if e.done][-1]) for edits in st.session_state.tries]
    return [(edits, edit, k) for edits, edit in last for k in range(len(edit.variants))]


def support(done: list[Edit]) -> np.ndarray:
    """Where the edits could change the picture, ``(H, W)`` bool."""
    made: np.ndarray = state.kept(
        "support", tuple(done), lambda: np.logical_or.reduce([e.support for e in done])
    )
    return made


def result(options: dict[str, Any]) -> None:
    """What to do with what was painted."""
    s = st.session_state
    done = state.finished()
    if not done:
        for note in s.edits[-1].notes:
            st.warning(literal(note))
        st.button("Back", on_click=drop, key="drop")
        return
    st.subheader("Compare and keep")
    with st.container(horizontal=True):
        st.button("Keep and continue", on_click=keep, type="primary", key="keep")
        st.button(
            "Try again",
            on_click=try_again,
            args=(options,),
            key="try-again",
            help="paint once more with another seed; this result stays to choose from",
        )
        whole = s.everything is None and s.plan is None
        place = "sides" if s.sides else "mask" if whole else "plan"
        st.button(f"Back to the {place}", on_click=drop, key="drop")
        if s.edits[-1].request.draft:
            st.button(
                "Paint the final",
                on_click=state.paint_final,
                key="final",
                help="this was a draft of few steps; the same again with all steps",
            )
    st.caption(
        f"{100 * support(done).mean():.1f}% of the pixels were open to change; every other one is "
        "untouched."
    )
    if s.news:
        st.info(state.said(s.news))
    for note in dict.fromkeys(n for e in s.edits for n in e.notes):
        st.info(literal(note))
    choose_result()


def choose_result() -> None:
    """All paintings as small pictures, and which one is compared with which."""
    s = st.session_state
    every = results()
    if len(every) < 2:
        return
    with st.container(horizontal=True, gap="xsmall"):
        for number, (edits, edit, k) in enumerate(every, 1):
            variant = edit.variants[k]
            with st.container(width=118, gap="xxsmall"):
                parts, make = (variant.image,), functools.partial(shrink, variant.image, 256)
                small = state.kept(f"v{number}", parts, make)
                show_image(small, f"result {number}", width="stretch")
                chosen = k == s.variant and edits is s.edits
                st.button(
                    f"✓ {number}" if chosen else f"Show {number}",
                    key=f"variant-{number - 1}",
                    width="stretch",
                    help=f"seed {variant.seed}",
                    on_click=show,
                    args=(edits, k),
                )
    names = [BEFORE, *map(str, range(1, len(every) + 1))]
    s.versus = (
        st.segmented_control("Compare with", names, default=BEFORE, key="versus-with") or BEFORE
    )


def show(edits: list[Edit], variant: int) -> None:
    """Choose one of the results."""
    st.session_state.edits, st.session_state.variant = edits, variant


def try_again(options: dict[str, Any]) -> None:
    """Paint the same once more, with the next seed that was not used."""
    seeds = [edit.variants[k].seed for _, edit, k in results()]
    with state.told("Trying again"):
        st.session_state.again({**options, "seed": (max(seeds) + 1) % 2**31})


def keep() -> None:
    """Continue from what was painted."""
    s = st.session_state
    state.fresh(s.session.keep(s.edits, s.variant))


def drop() -> None:
    """Back to the picture as it was, mask and plan still there."""
    st.session_state.edits, st.session_state.tries = [], []


def history() -> None:
    """Thumbnails of every step to return to; below them the branches that were left."""
    s = st.session_state
    session = s.session
    if not (session.changes or session.undone):
        return
    st.subheader("History")
    rows = [(*session.changes, *session.undone), *session.branches]
    for row, chain in enumerate(rows):
        small = state.kept(
            f"history-{row}", (session.original, *chain), lambda c=chain: session.thumbnails(256, c)
        )
        words = ["as opened", *(change.words for change in chain)]
        common = sum(a is b for a, b in zip(chain, rows[0], strict=False)) + 1 if row else 0
        if row:
            st.caption(f"Another way, from step {common - 1}:")
        with st.container(horizontal=True):
            for k in range(common, len(words)):
                with st.container(width=158, border=True):
                    show_image(small[k], words[k], caption=literal(words[k]))
                    here = not row and k == len(session.changes)
                    st.button(
                        "✓ here" if here else "Go here",
                        key=f"at-{k}" if not row else f"branch-{row}-{k}",
                        width="stretch",
                        disabled=here or s.job is not None,
                        on_click=go,
                        args=(row, k),
                    )


def go(row: int, count: int) -> None:
    """Go to a step of the history: of its own row, or of a way that was left."""
    session = st.session_state.session
    state.fresh(session.at(count) if not row else session.branch(row - 1, count))


def download() -> None:
    """The result in a format of choice, its recipe inside, wherever there is one."""
    s = st.session_state
    if s.job is not None or not (state.finished() or s.session.changes):
        return
    button, formats = st.columns([3, 2], vertical_alignment="center")
    kind = formats.segmented_control(
        "Format",
        list(MIMES),
        default="png",
        key="format",
        label_visibility="collapsed",
        help="PNG and WebP keep every pixel; JPEG is lossy",
    )
    kind = kind or "png"
    edits = state.finished()
    pixels = edits[-1].variants[s.variant].image if edits else state.present().pixels
    like = carrier()
    recipe, told = recipe_for_file([request.as_dict() for request in more.chain()])
    # written once, at the first request
    write = state.kept(
        f"file-{kind}",
        (s.edits, s.variant, s.session.changes),
        lambda: functools.cache(lambda: picture_bytes(pixels, kind, like, recipe)),
    )
    with state.told():
        notes = list(told)
        if kind == "jpg":  # the one that is quick to write and has things to say, or to refuse
            notes += write()[1]
        button.download_button(
            f"Download {kind.upper()} with its recipe",
            lambda: write()[0],
            f"{more.source_name().rsplit('.', 1)[0]}.edited.{kind}",
            MIMES[kind],
            on_click="ignore",
            key="download",
            type="primary" if not edits else "secondary",
        )
        for note in notes:
            st.caption(literal(note))
