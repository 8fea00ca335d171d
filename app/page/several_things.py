"""Several things: each that was named, to be changed or exported; and a plan as rows to change."""

from __future__ import annotations

import dataclasses
import functools
import io
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.outputs import panoptic_files
from ...editor.pictures.panoptic_overlay import colour_of
from ...editor.plan.steps import MAX_COUNT, Plan, Step, Unread
from . import ask, state
from .canvas import outlines
from .components import canvas

KEEP, REPLACE, REMOVE = "keep", "replace", "remove"
COUNTS = [*map(str, range(1, MAX_COUNT + 1)), "all"]


def picture() -> None:
    """The picture with what was found in its colours."""
    s = st.session_state
    found, layers = s.everything, []
    for k, segment in enumerate(found.segments):
        for number in segment.ids if s.get(thing_key(k, "on"), True) else ():
            lines = state.kept(
                f"segment-{number}", (found,), lambda n=number: outlines(found.id_map == n)
            )
            layers.append({"outlines": lines, "colour": f"rgb{colour_of(number)}"})
    label = f"The parts found: {found.caption}"
    say = "What was found; untick a thing to hide it."
    canvas("watch", state.present().pixels, label, layers=layers, say=say)


def things(editor: Editor, options: dict[str, Any]) -> None:
    """Each thing that was found, with what becomes of it."""
    found = st.session_state.everything
    steps = []
    for k, segment in enumerate(found.segments):
        if segment.found and segment.ids:
            steps += thing(editor, k, segment)
        else:
            st.warning(f"Not found: {literal(segment.phrase)}")
    steps = [step for step in steps if step is not None]
    if not steps:
        st.caption("First choose replace, with words for what to paint, or remove for one of them.")
    if st.button("Change these", type="primary", key="change", disabled=not steps):
        with state.told("Painting"):
            run(editor, Plan(steps=tuple(steps)), options)
            st.rerun()
    png, document = panoptic_files(found, "picture.png", "picture.png", 1)
    with st.container(horizontal=True):
        st.download_button("Panoptic PNG", png, "panoptic.png", "image/png", on_click="ignore")
        st.download_button(
            "Panoptic JSON", document, "panoptic.json", "application/json", on_click="ignore"
        )


def thing_key(number: int, name: str) -> str:
    """The key of a widget of one thing; another one for each search."""
    return f"{state.key(name)}-{st.session_state.search}-{number}"


def thing(editor: Editor, number: int, segment: Any) -> list[Step]:
    """One thing: shown or not, what to do with it, and its files; the step that this means."""
    phrase = literal(segment.phrase)
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            st.html("".join(map(swatch, segment.ids)), width="content")
            st.checkbox(phrase, value=True, key=thing_key(number, "on"))
        chosen = st.session_state.choices.setdefault(number, {"action": KEEP, "instead": ""})
        # Streamlit forgets the values of what it does not show
        st.session_state.setdefault(thing_key(number, "action"), chosen["action"])
        action = st.segmented_control(
            f"What to do with {phrase}",
            [KEEP, REPLACE, REMOVE],
            key=thing_key(number, "action"),
            label_visibility="collapsed",
        )
        paint = ""
        if action == REPLACE:
            st.session_state.setdefault(thing_key(number, "instead"), chosen["instead"])
            label = f"What to paint instead of {phrase}"
            paint = st.text_input(label, key=thing_key(number, "instead"))
        chosen |= {"action": action, "instead": paint}
        with st.container(horizontal=True, gap="xsmall"):
            st.button(
                "Correct its mask",
                key=thing_key(number, "correct"),
                on_click=take,
                args=(editor, segment),
            )
            mask, pixels = segment.mask, state.present().pixels
            st.download_button(
                "Cut-out",
                lambda: cut_out(pixels, mask),
                f"{segment.name}.png",
                "image/png",
                key=thing_key(number, "cut"),
                on_click="ignore",
                help=f"{phrase} alone, all else transparent",
            )
    if action not in (REPLACE, REMOVE) or (action == REPLACE and not paint.strip()):
        return []
    count = min(MAX_COUNT, max(1, len(segment.instances)))
    what = "edit" if action == REPLACE else "remove"
    return [Step(what, segment.phrase, paint if action == REPLACE else None, count)]


def swatch(number: int) -> str:
    """A spot in the colour of an id."""
    return (
        f"<span style='background:rgb{colour_of(number)};border-radius:3px;display:inline-block;"
        "width:1.1em;height:1.1em;margin-right:.2em'></span>"
    )


def cut_out(pixels: np.ndarray, mask: np.ndarray) -> bytes:
    """A PNG of what lies under a mask, all else transparent."""
    file = io.BytesIO()
    alpha = mask[..., None].astype(np.uint8) * 255
    Image.fromarray(np.concatenate((pixels, alpha), axis=2)).save(file, "PNG")
    return file.getvalue()


def take(editor: Editor, segment: Any) -> None:
    """Continue with one thing alone: its words and its mask."""
    s = st.session_state
    state.forget()
    scene = editor.finder.scene(state.present())
    s.session = s.session.with_mask(segment.phrase, segment.mask, scene)
    s[state.key("find")] = s.asked = segment.phrase


def rows(editor: Editor, options: dict[str, Any]) -> None:
    """What an instruction was read as: rows to change, and parts with several readings."""
    s = st.session_state
    if s.rows is None:
        s.rows = [row(step) for step in s.plan.steps]
    for number, part in enumerate(s.plan.unread):
        unread(number, part)
    for note in s.plan.notes:
        st.caption(literal(note))
    s.rows = [row_fields(number, values) for number, values in enumerate(s.rows)]
    if s.news:
        st.info(state.said(s.news))
    missing = ""
    if s.plan.unread:
        missing = "First choose what the part above means, or leave it out."
    elif not any(values["find"].strip() for values in s.rows):
        missing = "First add a row, and what to find in it."
    if missing:
        st.caption(missing)
    with st.container(horizontal=True, gap="xsmall"):
        running = st.button("Run all", type="primary", key="run-all", disabled=bool(missing))
        st.button("Add a row", key="add-row", on_click=change_rows, args=([*s.rows, row(None)],))
        st.button("Find these words instead", key="as-thing", on_click=ask.as_thing, args=(editor,))
    if running:
        with state.told("The plan"):
            run(editor, steps(s.rows), options)
            st.rerun()


def unread(number: int, part: Unread) -> None:
    """A part that became no row: the reason, and its readings as buttons."""
    st.warning(f"“{literal(part.words)}”: {literal(part.reason)}")
    key = f"reading-{st.session_state.search}-{len(st.session_state.plan.unread)}-{number}"
    with st.container(gap="xsmall"):
        for k, reading in enumerate(reading for reading in part.readings if reading):
            words = "; ".join(map(str, reading))
            st.button(literal(words), key=f"{key}-{k}", on_click=settle, args=(part, reading))
        st.button("Leave it out", key=f"{key}-out", on_click=settle, args=(part, ()))


def settle(part: Unread, reading: tuple[Step, ...]) -> None:
    """Put a reading where its words stand among the rows; an empty one drops the part."""
    s = st.session_state
    before = sum(step.span is not None and step.span[0] < part.span[0] for step in s.plan.steps)
    at, many = min(before, len(s.rows)), len(reading)
    later = [{**r, "at": moved(r["at"], at, many)} for r in s.rows[at:]]
    s.plan = dataclasses.replace(
        s.plan, unread=tuple(other for other in s.plan.unread if other is not part)
    )
    change_rows([*s.rows[:at], *map(row, reading), *later])


def moved(number: str, place: int, by: int) -> str:
    """A row's number after rows were put in before it."""
    return str(int(number) + by) if number and int(number) > place else number


def change_rows(changed: list[dict[str, str]]) -> None:
    """Show other rows: their widgets begin anew."""
    s = st.session_state
    s.rows, s.plan_turn = changed, s.plan_turn + 1


def row(step: Step | None) -> dict[str, str]:
    """One step as the values of its fields."""
    if step is None:
        return {"do": REPLACE, "find": "", "paint": "", "count": "1", "at": ""}
    return {
        "do": REPLACE if step.action == "edit" else REMOVE,
        "find": step.find,
        "paint": step.paint or "",
        "count": "all" if step.count is None else str(step.count),
        "at": "" if step.at is None else str(step.at + 1),
    }


def row_fields(number: int, values: dict[str, str]) -> dict[str, str]:
    """The fields of one row; returns what they hold."""
    s, n = st.session_state, number + 1
    key = f"row-{s.turn}-{s.search}-{s.plan_turn}-{number}"
    for name, value in values.items():  # Streamlit forgets what it does not show
        s.setdefault(f"{key}-{name}", value)
    with st.container(border=True, gap="xsmall"):
        top = st.columns([4, 3, 1], vertical_alignment="bottom")
        do = top[0].selectbox(f"{n}. Do", [REPLACE, REMOVE], key=f"{key}-do")
        count = top[1].selectbox("How many", COUNTS, key=f"{key}-count")
        top[2].button(
            "✕", key=f"{key}-drop", help=f"Drop row {n}", on_click=drop_row, args=(number,)
        )
        bottom = st.columns(2)
        find = bottom[0].text_input(f"{n}. Find", key=f"{key}-find")
        paint = bottom[1].text_input(f"{n}. Paint", key=f"{key}-paint", disabled=do == REMOVE)
        at = ""
        if number:
            at = st.selectbox(
                f"{n}. Where",
                ["", *map(str, range(1, n))],
                key=f"{key}-at",
                format_func=lambda k: f"where row {k} has painted" if k else "where it is found",
            )
    return {"do": do, "find": find, "paint": paint, "count": count, "at": at}


def drop_row(number: int) -> None:
    """Take a row out."""
    s = st.session_state
    kept = [{**r, "at": ""} if r["at"] == str(number + 1) else r for r in s.rows]
    later = [{**r, "at": moved(r["at"], number, -1)} for r in kept[number + 1 :]]
    change_rows([*kept[:number], *later])


def steps(values: list[dict[str, str]]) -> Plan:
    """The rows as a plan; its errors name what is wrong."""
    made = []
    for r in values:
        if r["find"].strip():
            paint = None if r["do"] == REMOVE else r["paint"] or None
            count = None if r["count"] == "all" else int(r["count"])
            at = int(r["at"]) - 1 if r["at"] else None
            made.append(
                Step("remove" if r["do"] == REMOVE else "edit", r["find"], paint, count, at)
            )
    return Plan(steps=tuple(made))


def run(editor: Editor, wanted: Plan, options: dict[str, Any]) -> None:
    """Put the plan in line."""
    picture = state.present()
    usual = {"seed": options["seed"], "settings": options["settings"]}
    state.begin_job(
        lambda cb: editor.apply(picture, wanted, **vars(cb), **usual),
        "; ".join(map(str, wanted.steps)),
        functools.partial(run, editor, wanted),
    )
