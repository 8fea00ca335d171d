"""One thing: find it, correct its mask, paint something else, compare, keep."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state
from app.surface import canvas, compare
from editor import Editor, Grounding
from editor.canvas import read_mark
from editor.masks import Dilate, Erode, Feather, FillHoles, Invert, Level, Operation, Shadow
from editor.session import scene_of, shrink
from editor.why import explain

SHOWN = {"found": "success", "absent": "warning", "ambiguous": "warning", "uncertain": "warning"}


def tab(editor: Editor, options: dict[str, Any]) -> None:
    """The whole tab; while something is painted or waits to be kept, only that."""
    s = st.session_state
    if s.job is not None:
        if s.job.over:
            state.take()
        else:
            progress()
            return
    if s.edits:
        result(editor)
        return
    left, right = st.columns([3, 2], gap="large")
    with right:
        find(editor)
    with left:
        surface(editor)
    with right:
        correct(editor)
        prompt(editor, options)
    if s.found is not None:
        why(editor, s.found)


def find(editor: Editor) -> None:
    """What to look for, what was found, which one is meant."""
    s = st.session_state
    st.subheader("2. Say what to find")
    words = st.text_input(
        "What to find",
        key=state.key("find"),
        placeholder="the red apple on the left",
        help="One thing in the picture, with its colour, side or neighbour if there are several",
    )
    if words.strip() and words != s.asked:
        state.look(editor, words)
    if s.trouble:
        st.error(s.trouble)
    elif s.found is not None:
        found: Grounding = s.found
        getattr(st, SHOWN[found.status])(f"**{found.status}**, {found.reason}")
        choose(editor, found)
    elif s.session.mask is None:
        st.info("Name one thing in the picture and press Enter, or mark it on the picture.")


def choose(editor: Editor, found: Grounding) -> None:
    """Chips for the other candidates."""
    if not found.candidates:
        return
    names: list[int | None] = [*([None] if found.found else []), *range(len(found.candidates))]

    def label(k: int | None) -> str:
        score = found.score if k is None else found.candidates[k].score
        return f"{1 if k is None else k + 2} ({score:.2f})"

    def take() -> None:
        s = st.session_state
        k = s[name]
        chosen = None if k is None or k == "first" else int(k)
        scene = scene_of(editor, s.session.picture)
        s.session = s.session.looked(found, scene, chosen)

    name = f"{state.key('candidate')}-{s_hash(found)}"
    values = ["first" if k is None else str(k) for k in names]
    shown = {v: label(k) for v, k in zip(values, names, strict=True)}
    st.pills(
        "Which one is meant?",
        values,
        format_func=shown.__getitem__,
        key=name,
        default=values[0] if found.found else None,
        on_change=take,
        help="the numbers are in the picture; in brackets how well each fits",
    )


def s_hash(found: Grounding) -> str:
    """Tells groundings apart in widget keys."""
    return str(abs(hash((found.phrase, found.box, found.score))))


def mark(editor: Editor, operation: Operation) -> None:
    """Do one operation on the mask."""
    s = st.session_state
    session, scene = s.session, scene_of(editor, s.session.picture)
    s.session = state.call(lambda: session.mark(operation, scene), "marking")


def surface(editor: Editor) -> None:
    """The picture, to be looked at and marked."""
    s = st.session_state
    mask = None if s.session.mask is None else s.session.mask.mask
    label = f"The picture. {s.found.reason if s.found else 'Nothing is looked for yet.'}"
    given = canvas(state.present().pixels, mask, s.found, label)
    if given is None:
        return
    with state.told():
        if given.get("kind") == "undo":
            s.session = s.session.undo()
        elif given.get("kind") == "redo":
            s.session = s.session.redo()
        else:
            mark(editor, read_mark(given, state.present().size))
        st.rerun()


def correct(editor: Editor) -> None:
    """Operations on the mask as buttons."""
    s = st.session_state
    mask = s.session.mask
    if mask is None:
        return
    some = bool(mask.mask.any())
    st.caption(
        f"The mask covers {100 * mask.mask.mean():.1f}% of the picture. Click, box, brush "
        "and eraser are above the picture."
    )
    step = max(1, round(0.01 * max(s.session.original.size)))
    buttons: dict[str, tuple[Operation, str]] = {
        "Grow": (Dilate(step), f"by {step} pixels"),
        "Shrink": (Erode(step), f"by {step} pixels"),
        "Fill holes": (FillHoles(), "close every hole in it"),
        "Whole thing": (Level("whole"), "the largest thing around its middle"),
        "Part": (Level("part"), "a part of it"),
        "Shadow": (Shadow(), "include the shadow it casts"),
        "Soft edge": (Feather(2 * step), f"blend over {2 * step} pixels inside the edge"),
        "Invert": (Invert(), "everything else"),
    }
    with st.container(horizontal=True, gap="small"):
        for name, (operation, help_) in buttons.items():
            if st.button(name, key=f"op-{name}", help=help_, disabled=not some):
                with state.told():
                    mark(editor, operation)
                    st.rerun()
        if st.button("↶ Undo", key="op-undo", help="U", disabled=not mask.operations):
            s.session = s.session.undo()
            st.rerun()
        if st.button("↷ Redo", key="op-redo", help="R", disabled=not mask.undone):
            s.session = s.session.redo()
            st.rerun()


def prompt(editor: Editor, options: dict[str, Any]) -> None:
    """What to paint, and the two buttons."""
    st.subheader("3. Say what to paint")
    words = st.text_input(
        "What to paint instead", key=state.key("paint"), placeholder="a green pear"
    )
    if st.session_state.news:
        st.info(st.session_state.news)
    ready = st.session_state.session.mask is not None
    with st.container(horizontal=True):
        painting = st.button("Paint", key="go-paint", type="primary", disabled=not ready)
        removing = st.button("Remove it", key="go-remove", disabled=not ready)
    if not (painting or removing):
        return
    if painting and not words.strip():
        st.warning("Say what to paint, or press Remove it.")
        return
    with state.told():
        state.paint(editor, words if painting else None, options)
        st.rerun()


@st.fragment(run_every=0.5)
def progress() -> None:
    """The bar, the preview and Cancel; when the painting is over the whole page runs again."""
    job = st.session_state.job
    if job is None or job.over:
        st.rerun()
    ahead = state.jobs().place(job)
    if job.state == "waiting":
        st.info(f"In line: {ahead} before you" if ahead else "You are next")
    else:
        words = f"painting: step {job.step} of {job.total}" if job.total else "preparing"
        st.progress(job.step / job.total if job.total else 0.0, words)
    if st.button("Cancel", key="cancel"):
        job.cancel()
    if job.preview is not None:
        st.image(shrink(job.preview, 640), caption="so far")
    else:
        st.image(shrink(state.present().pixels, 640), caption="before the first preview")


def result(editor: Editor) -> None:
    """Variants, before and after, and what to do with them."""
    s = st.session_state
    done = state.finished()
    if not done:
        st.warning(s.edits[-1].notes[-1])
        st.button("Back to the mask", on_click=drop, key="drop")
        return
    edit = done[-1]
    s.variant = min(s.variant, len(edit.variants) - 1)
    st.subheader("4. Compare and keep")
    left, right = st.columns([3, 2], gap="large")
    with left:
        compare(state.present().pixels, edit.variants[s.variant].image)
    with right:
        with st.container(horizontal=True):
            st.button("Keep and continue", on_click=keep, type="primary", key="keep")
            st.button("Back to the mask", on_click=drop, key="drop")
        changed = 100 * edit.support.mean()
        st.caption(
            f"{changed:.1f}% of the pixels were open to change; every other one is untouched."
        )
        for note in dict.fromkeys(n for e in s.edits for n in e.notes):
            st.info(note)
        if len(edit.variants) > 1:
            variants(edit)


def variants(edit: Any) -> None:
    """All paintings, to choose one."""
    with st.container(horizontal=True):
        for k, variant in enumerate(edit.variants):
            with st.container(width=150, border=True):
                st.image(shrink(variant.image, 256))
                chosen = k == st.session_state.variant
                if st.button(
                    "✓ shown" if chosen else "Show",
                    key=f"variant-{k}",
                    width="stretch",
                    help=f"seed {variant.seed}",
                ):
                    st.session_state.variant = k
                    st.rerun()


def keep() -> None:
    """Continue from what was painted."""
    s = st.session_state
    state.fresh(s.session.keep(s.edits, s.variant))


def drop() -> None:
    """Back to the picture as it was, the mask still there."""
    st.session_state.edits = []


def why(editor: Editor, found: Grounding) -> None:
    """What the heads looked at, when asked for."""
    s = st.session_state
    with st.expander("Why here?"):
        st.write(f"**{found.status}** because {found.reason}.")
        if s.why is None:
            st.write("The maps take a moment to read again.")
            if st.button("Show what the model looked at", key="show-why"):
                picture = state.present()
                with state.told():
                    s.why = state.call(lambda: explain(editor, picture, found), "reading")
                    st.rerun()
            return
        st.write(f"**What to try:** {s.why.advice}")
        if s.why.presence is not None:
            st.write(f"Asked whether it is there, the model says yes with {s.why.presence:.2f}.")
        with st.container(horizontal=True):
            with st.container(width=230):
                st.image(s.why.combined, caption="all heads together")
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
