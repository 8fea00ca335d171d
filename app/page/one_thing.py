"""One thing: find it, correct its mask, paint something else, compare, keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.explain import advise, explain
from ...editor.masks.operations import (
    Dilate,
    Erode,
    Feather,
    FillHoles,
    Invert,
    Level,
    Operation,
    Shadow,
)
from ...editor.pictures.overlay import shrink
from ..session.session import scene_of
from . import more, state
from .components import canvas, compare

if TYPE_CHECKING:
    from ...editor.finder import Grounding

SHOWN = {"found": "success", "absent": "warning", "ambiguous": "warning", "uncertain": "warning"}


def tab(editor: Editor, options: dict[str, Any]) -> None:
    """The whole tab."""
    s = st.session_state
    left, right = st.columns([3, 2], gap="large")
    state.do_marks(editor)
    with right:
        find(editor)
    with left:
        surface(editor)
    with right:
        correct()
        prompt(editor, options)
    if s.found is not None:
        why(editor, s.found)


def find(editor: Editor) -> None:
    """What to look for, what was found, which one is meant."""
    s = st.session_state
    if editor.preset.wordless:
        st.subheader("2. Mark what to remove")
        st.info("Draw a box, brush over it or click it. These models understand no words.")
        return
    st.subheader("2. Say what to find")
    words = st.text_input(
        "What to find",
        key=state.key("find"),
        placeholder=s.hint.get("find", "the red apple on the left"),
        help="One thing in the picture, with its colour, side or neighbour if there are several",
    )
    spot = st.empty()  # what waiting says stands where the answer will
    if words.strip() and words != s.asked:
        state.look(editor, words, spot)
    elif not words.strip() and s.asked:
        state.forget()
    if s.trouble:
        spot.error(literal(s.trouble))
    elif s.found is not None:
        found: Grounding = s.found
        tried = "" if found.found else f"  \n{literal(advise(found))}"
        getattr(spot, SHOWN[found.status])(f"**{found.status}**, {literal(found.reason)}{tried}")
        choose(editor, found)
    elif s.session.mask is None:
        spot.info("Name one thing in the picture and press Enter, or mark it on the picture.")


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


def surface(editor: Editor) -> None:
    """The picture, to be looked at and marked."""
    s = st.session_state
    mask = None if s.session.mask is None else s.session.mask.mask
    label = f"The picture. {s.found.reason if s.found else 'Nothing is looked for yet.'}"
    canvas(state.present().pixels, mask, s.found, label)
    if s.wrong:
        st.error(literal(s.wrong))


def correct() -> None:
    """Operations on the mask as buttons."""
    s = st.session_state
    mask = s.session.mask
    if mask is None:
        return
    some = bool(mask.mask.any())
    if some:
        covers = f"The mask covers {100 * mask.mask.mean():.1f}% of the picture."
        st.caption(f"{covers} Correct it with the tools above the picture, or with these:")
    else:
        st.caption("The mask covers 0.0% of the picture: mark the place on the picture.")
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
    with st.container(horizontal=True, gap="xsmall"):
        for name, (operation, help_) in buttons.items():
            st.button(
                name,
                key=f"op-{name}",
                help=help_,
                disabled=not some,
                on_click=s.todo.append,
                args=(operation,),
            )
        for name, key, possible in (("Undo", "U", mask.operations), ("Redo", "R", mask.undone)):
            st.button(
                name,
                key=f"op-{name.lower()}",
                help=key,
                disabled=not possible,
                on_click=s.todo.append,
                args=({"kind": name.lower()},),
            )
        st.button("Clear", key="op-clear", help="no words, no mask", on_click=state.clear)


def prompt(editor: Editor, options: dict[str, Any]) -> None:
    """What to paint, and the two buttons."""
    s = st.session_state
    wordless = editor.preset.wordless
    st.subheader("3. Remove it" if wordless else "3. Say what to paint")
    ready = s.session.mask is not None and bool(s.session.mask.mask.any())
    with st.form("paint-form", border=False):
        words = st.text_input(
            "What to paint instead",
            key=state.key("paint"),
            placeholder=s.hint.get("paint", "a green pear"),
            disabled=wordless,
        )
        with st.container(horizontal=True):
            painting = st.form_submit_button(
                "Paint", key="go-paint", type="primary", disabled=wordless or not ready
            )
            removing = st.form_submit_button(
                "Remove it",
                key="go-remove",
                disabled=not ready,
                help="paint what is behind it, and look whether it is gone",
            )
    if s.news:
        st.info(literal(s.news))
    if not ready:
        st.caption("First something must be found or marked.")
    elif painting and not words.strip():
        st.warning("Say what to paint, or press Remove it.")
    elif painting or removing:
        with state.told():
            state.paint(editor, words if painting else None, options)
            st.rerun()


@st.fragment(run_every=0.5)
def progress() -> None:
    """The bar, the preview and Cancel; when the painting is over the whole page runs again."""
    s = st.session_state
    job = s.job
    if job is None or job.over:
        st.rerun()
    left, right = st.columns([3, 2], gap="large")
    with right:
        st.subheader("Painting")
        st.write(literal(s.doing))
        ahead = state.jobs().place(job)
        if job.state == "waiting":
            st.info(f"In line: {ahead} before you" if ahead else "You are next")
        else:
            number = f" of painting {job.painting}" if job.painting > 1 else ""
            words = f"step {job.step} of {job.total}{number}" if job.total else "preparing …"
            st.progress(job.step / job.total if job.total else 0.0, words)
        if st.button("Cancel", key="cancel", disabled=job.stopping):
            job.cancel()
        st.caption("stopping after this step …" if job.stopping else state.IDLE)
    with left:
        preview = job.preview
        if preview is not None:
            state.picture(preview, "preview", "the picture so far", "so far")
        else:
            pixels = state.present().pixels
            state.picture(pixels, "present", "the picture", "before the first preview")


def result() -> None:
    """Variants, before and after, and what to do with them."""
    s = st.session_state
    done = state.finished()
    if not done:
        for note in s.edits[-1].notes:
            st.warning(literal(note))
        st.button("Back", on_click=drop, key="drop")
        return
    edit = done[-1]
    s.variant = min(s.variant, len(edit.variants) - 1)
    left, right = st.columns([3, 2], gap="large")
    with left:
        compare(state.present().pixels, edit.variants[s.variant].image)
    with right:
        st.subheader("4. Compare and keep")
        with st.container(horizontal=True):
            st.button("Keep and continue", on_click=keep, type="primary", key="keep")
            back = "Back to the mask" if s.tab == state.ONE else "Back to the plan"
            st.button(back, on_click=drop, key="drop")
        support = np.logical_or.reduce([e.support for e in done])
        st.caption(
            f"{100 * support.mean():.1f}% of the pixels were open to change; every other one is "
            "untouched."
        )
        for note in dict.fromkeys(n for e in s.edits for n in e.notes):
            st.info(literal(note))
        if len(edit.variants) > 1:
            variants(edit)
        more.download()


def variants(edit: Any) -> None:
    """All paintings, to choose one."""
    with st.container(horizontal=True, gap="xsmall"):
        for k, variant in enumerate(edit.variants):
            with st.container(width=118, gap="xxsmall"):
                st.image(
                    state.kept(f"v{k}", (variant.image,), lambda v=variant: shrink(v.image, 256)),
                    width="stretch",
                    alt=f"variant {k + 1}",
                )
                chosen = k == st.session_state.variant
                if st.button(
                    f"✓ {k + 1}" if chosen else f"Show {k + 1}",
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
    """Back to the picture as it was, mask and plan still there."""
    st.session_state.edits = []


def why(editor: Editor, found: Grounding) -> None:
    """What the heads looked at, when asked for."""
    s = st.session_state
    with st.expander("Why here?"):
        st.write(f"**{found.status}**: {literal(found.reason)}.")
        if s.why is None:
            st.write("The maps take a moment to read again.")
            if st.button("Show what the model looked at", key="show-why"):
                picture = state.present()
                with state.told():
                    s.why = state.call(lambda: explain(editor, picture, found), "reading")
                    st.rerun()
            return
        st.write(f"**What to try:** {literal(s.why.advice)}")
        if s.why.presence is not None:
            st.write(f"Asked whether it is there, the model says yes with {s.why.presence:.2f}.")
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
