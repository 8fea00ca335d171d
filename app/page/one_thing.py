"""One thing: find it, correct its mask, paint something else, compare, keep."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.explain import explain
from ...editor.masks.operations import Dilate, Erode, Feather, FillHoles, Level, Operation, Shadow
from ...editor.pictures.overlay import shrink
from . import ask, more, state, work
from .components import canvas

if TYPE_CHECKING:
    from ...editor.finder import Grounding


def words(editor: Editor, options: dict[str, Any]) -> None:
    """What to find and what to paint."""
    s = st.session_state
    ask.field(editor)
    if s.everything is None and s.plan is None:
        prompt(editor, options)


def surface() -> None:
    """The picture: to be marked, painted at the moment, or painted and compared."""
    s = st.session_state
    pixels, done = state.present().pixels, state.finished()
    if s.job is not None:
        canvas("watch", pixels, "The picture so far.", preview=s.job)
    elif done:
        after = done[-1].variants[s.variant].image
        canvas("compare", after, "The picture after the edit.", before=pixels)
    else:
        found = s.session.found
        label = (
            f"The picture. {ask.ANSWERS[found.status][1] if found else 'No thing is named yet.'}"
        )
        original = s.session.original.pixels if s.session.changes else None
        canvas("mark", pixels, label, before=original)
    if s.wrong:
        st.error(state.said(s.wrong))


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


def prompt(editor: Editor, options: dict[str, Any]) -> None:
    """What to paint, and the two buttons."""
    s = st.session_state
    wordless = editor.preset.wordless
    ready = s.session.mask is not None and bool(s.session.mask.mask.any())
    words = st.text_input(
        "What to paint instead",
        key=state.key("paint"),
        placeholder="a green pear",
        disabled=wordless,
    )
    with st.container(horizontal=True):
        painting = st.button(
            "Paint", key="go-paint", type="primary", disabled=wordless or not ready
        )
        removing = st.button(
            "Remove it",
            key="go-remove",
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
    ahead = work.jobs().place(job)
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


def result(editor: Editor) -> None:
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
    st.subheader("4. Compare and keep")
    with st.container(horizontal=True):
        st.button("Keep and continue", on_click=keep, type="primary", key="keep")
        back = "Back to the mask" if s.everything is None and s.plan is None else "Back to the plan"
        st.button(back, on_click=drop, key="drop")
        if s.edits[-1].request.draft:
            st.button(
                "Paint the final",
                on_click=state.paint_final,
                args=(editor,),
                key="final",
                help="this was a draft of few steps; the same again with all steps",
            )
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
