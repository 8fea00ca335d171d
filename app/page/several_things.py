"""Several things: everything a sentence names, and a sentence that asks for several edits."""

from __future__ import annotations

import functools
from typing import Any

import streamlit as st

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.outputs import panoptic_files
from ...editor.pictures.panoptic_overlay import colour_of
from ...editor.plan.reader import read_plan
from ...editor.plan.steps import Plan, Step
from . import state
from .canvas import segments_view
from .tiles import jpeg


def tab(editor: Editor, options: dict[str, Any]) -> None:
    """Both halves."""
    s = st.session_state
    ask(editor)
    on = switches()
    found, pixels = s.everything, state.present().pixels
    if found is not None:
        parts = pixels, found, repr(on)
        shown = state.kept("segments", parts, lambda: jpeg(segments_view(pixels, found, on)))
        st.image(shown, width="stretch", alt=f"the parts found: {found.caption}")
        exports()
    st.divider()
    plan(editor, options)


def ask(editor: Editor) -> None:
    """The sentence."""
    st.subheader("Find everything a sentence names")
    with st.form("sentence-form", border=False):
        words = st.text_input(
            "Sentence", key=state.key("sentence"), placeholder="a dog next to two red cars"
        )
        go = st.form_submit_button("Find all", type="primary")
    if go and words.strip():
        picture = state.present()
        with state.told():
            st.session_state.everything = state.call(
                lambda: editor.ground_all(picture, words), "looking", st.empty()
            )
    elif st.session_state.everything is None:
        st.info("Each thing and each ground (sky, grass) of the sentence gets its own mask.")


def switches() -> list[bool]:
    """The legend; each phrase can be switched off."""
    found = st.session_state.everything
    if found is None:
        return []
    on = []
    with st.container(key="legend", gap="xsmall"):
        for k, segment in enumerate(found.segments):
            if segment.found and segment.ids:
                on.append(switch(segment, f"{state.key('on')}-{k}"))
            else:
                on.append(False)
                said = f"not drawn: {segment.phrase} ({segment.status}; {segment.reason})"
                st.caption(literal(said))
    return on


def switch(segment: Any, key: str) -> bool:
    """One phrase with its colours."""
    swatches = "".join(
        f"<span style='background:rgb{colour_of(i)};border-radius:3px;display:inline-block;"
        "width:1.1em;height:1.1em;margin-right:.2em'></span>"
        for i in segment.ids
    )
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.html(swatches, width="content")
        return st.checkbox(
            f"{literal(segment.phrase)} ({segment.status}, {segment.score:.2f})",
            value=True,
            key=key,
            help=literal(segment.reason),
        )


def exports() -> None:
    """COCO's panoptic format, as a PNG and a JSON."""
    png, document = panoptic_files(st.session_state.everything, "picture.png", "picture.png", 1)
    with st.container(horizontal=True):
        st.download_button("Panoptic PNG", png, "panoptic.png", "image/png", on_click="ignore")
        st.download_button(
            "Panoptic JSON", document, "panoptic.json", "application/json", on_click="ignore"
        )


def plan(editor: Editor, options: dict[str, Any]) -> None:
    """A sentence as steps that can be changed, then all of them."""
    s = st.session_state
    st.subheader("Do several edits")
    with st.form("plan-form", border=False):
        words = st.text_input(
            "What to do",
            key=state.key("do"),
            placeholder="replace the dog with a cat and remove the cup",
        )
        if st.form_submit_button("Make a plan") and words.strip():
            with state.told():
                s.plan = state.call(lambda: read_plan(words), "reading")
                s.plan_turn = s.get("plan_turn", 0) + 1
    if s.plan is None:
        st.info("The plan appears here as rows to change before anything is painted.")
        return
    for part in s.plan.unread:
        st.warning(f"Not understood: {literal(part)}. Write it as a row, or change the sentence.")
    for note in s.plan.notes:
        st.caption(literal(note))
    rows = [row(step) for step in s.plan.steps] or [row(None)]
    edited = st.data_editor(
        rows,
        num_rows="dynamic",
        width="stretch",
        hide_index=True,
        key=f"rows-{s.plan_turn}",
        column_config={
            "do": st.column_config.SelectboxColumn(options=["edit", "remove"], required=True),
            "find": st.column_config.TextColumn(required=True),
            "paint": st.column_config.TextColumn(help="empty where the row removes"),
            "how many": st.column_config.SelectboxColumn(options=["all", *map(str, range(1, 17))]),
            "at row": st.column_config.TextColumn(
                help="paint where this earlier row has painted; empty: where the thing is found",
                validate=r"^\d{0,2}$",
            ),
        },
    )
    st.caption("Change any cell; the last line adds a row. Nothing is painted before Run all.")
    if s.news:
        st.info(state.said(s.news))
    if st.button("Run all", type="primary", key="run-all"):
        with state.told():
            run(editor, edited, options)
            st.rerun()


def row(step: Step | None) -> dict[str, Any]:
    """One step as a row of the table."""
    if step is None:
        return {"do": "edit", "find": "", "paint": "", "how many": "1", "at row": ""}
    return {
        "do": step.action,
        "find": step.find,
        "paint": step.paint or "",
        "how many": "all" if step.count is None else str(step.count),
        "at row": "" if step.at is None else str(step.at + 1),
    }


def steps(rows: list[dict[str, Any]]) -> Plan:
    """The table as a plan; its errors name what is wrong."""
    made = []
    for r in rows:
        if r.get("find"):
            paint = None if r["do"] == "remove" else r["paint"] or None
            count = None if r["how many"] == "all" else int(r["how many"] or 1)
            at = int(r["at row"]) - 1 if r.get("at row") else None
            made.append(Step(r["do"] or "edit", r["find"], paint, count, at))
    return Plan(steps=tuple(made))


def run(editor: Editor, rows: list[dict[str, Any]], options: dict[str, Any]) -> None:
    """Put the plan in line."""
    wanted, picture = steps(rows), state.present()
    usual = {"seed": options["seed"], "settings": options["settings"]}
    state.begin_job(
        lambda cb: editor.apply(
            picture,
            wanted,
            on_step=cb.on_step,
            cancelled=cb.cancelled,
            on_preview=cb.on_preview,
            **usual,
        ),
        state.SEVERAL,
    )
    s = st.session_state
    s.again = functools.partial(run, editor, rows)
    s.plan, s.plan_turn = wanted, s.plan_turn + 1  # as changed, where it is returned to
    s.doing = "; ".join(map(str, wanted.steps))
