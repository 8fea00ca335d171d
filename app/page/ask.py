"""The field at the top: a thing, several things or an instruction, and what it led to."""

from __future__ import annotations

import re
from functools import partial

import streamlit as st

from ...editor.api import Editor
from ...editor.errors import GroundbrushError
from ...editor.finder import Grounding
from ...editor.models.downloads import is_installed
from ...editor.models.presets import PHOTO_PRESETS, load_preset
from ...editor.models.vocabulary import WordList
from ...editor.plan.reader import Kind, kind_of, read_plan
from . import start, state, work

ANSWERS = {
    "found": ("success", "Found. If a part of it is missing, click that part."),
    "absent": (
        "warning",
        "Not in the picture, as far as the model sees. Name it more simply, as in “the cup”, or "
        "mark the place by a click or a box.",
    ),
    "ambiguous": (
        "warning",
        "More than one fits. Click the number of the one you mean, or add a colour, a side or a "
        "neighbour: “the cup on the left”.",
    ),
    "uncertain": ("warning", "Found, but not for sure: look at the mask before you paint."),
}
GUESSES = " Or click a number: these come nearest."
FEW = 8


def field(editor: Editor) -> None:
    """The field, and what was found by it."""
    s = st.session_state
    if editor.preset.wordless:
        st.info(
            "Mark what to remove: draw a box, brush over it or click it. These models understand "
            "no words."
        )
        return
    words = st.text_input(
        "What to find, or what to do",
        key=state.key("find"),
        placeholder="the red apple, or: remove the cup and make the car blue",
        help="One thing, several things, or an instruction. Name a colour, a side or a neighbour "
        "where several are alike.",
    )
    spot = st.empty()  # what waiting says stands where the answer will
    if words.strip() and words != s.asked:
        with state.told("Reading the words"):
            read(editor, words, spot)
    elif not words.strip() and s.asked:
        state.forget()
    if s.trouble:
        spot.error(state.said(s.trouble))
    elif s.session.found is not None:
        answer(editor, s.session.found, spot)
    elif s.everything is not None:
        spot.success("Found. Choose what becomes of each.")
    elif s.plan is not None:
        spot.info("Check the rows and change what is not meant; then run them all.")
    elif s.session.mask is None:
        spot.info("Name a thing in the picture and press Enter, or mark it on the picture.")
    vocabulary(editor)


def read(editor: Editor, words: str, spot: object, kind: Kind | None = None) -> None:
    """Find a thing or several, or make a plan of an instruction."""
    s = st.session_state
    if kind is None:
        try:
            kind = kind_of(words)
        except GroundbrushError:  # of words that are no English: the finder says what is wrong
            kind = "thing"
    if kind == "thing":
        state.look(editor, words, spot)
        return
    state.forget()
    picture = state.present()
    try:
        if kind == "things":
            s.everything = work.call(lambda: editor.ground_all(picture, words), "looking", spot)
        else:
            s.plan = read_plan(words)
    except GroundbrushError as error:
        s.trouble = str(error)
    s.search += 1
    s.asked = words


def as_thing(editor: Editor) -> None:
    """Take the words for the name of a thing, though they read as an instruction."""
    words = st.session_state[state.key("find")]
    read(editor, words, st.session_state.spot, "thing")


def answer(editor: Editor, found: Grounding, spot: object) -> None:
    """What was found, in words, and numbers to choose by."""
    kind, words = ANSWERS[found.status]
    more = GUESSES if found.candidates and not found.found else ""
    getattr(spot, kind)(words + more)
    if not found.candidates:
        return
    first = 1 if found.found else 0
    name = state.candidate_key(found)
    st.pills(
        "Which one is meant?",
        [str(k + 1) for k in range(first + len(found.candidates))],
        key=name,
        default=None if name in st.session_state or not first else "1",
        on_change=lambda: state.choose(editor, st.session_state[name]),
        help="the numbers are in the picture and can be clicked there",
    )


def vocabulary(editor: Editor) -> None:
    """Near words for those that small models do not know, and models that know more."""
    s, known = st.session_state, editor.models.words
    if known is None:
        return
    near = nearer(s.get(state.key("find"), ""), known) if s.trouble else []
    if near:
        chips("Did you mean", near, "near", "find")
    if start.is_own(s.session.original.source) and not s.session.changes:
        st.caption(
            f"The models in use know {len(known.nouns)} drawn things and no photographs. Mark the "
            "place yourself, or choose models for photographs."
        )
        with st.popover("Models for photographs"):
            photo_presets()


def known_words(editor: Editor) -> None:
    """What small models know, to choose from."""
    known = editor.models.words
    if known is None:
        return
    with st.popover("Words they know"):
        chips("Find", [f"the {noun}" for noun in known.nouns], "known", "find")
        article = [f"{'an' if n[0] in 'aeiou' else 'a'} {n}" for n in known.nouns]
        chips("Paint", article, "paintable", "paint")
        st.caption(f"Colours: {', '.join(known.colours)}")


def chips(label: str, phrases: list[str], name: str, target: str) -> None:
    """Phrases that a click writes into a field."""
    key = f"{state.key(name)}-{st.session_state.chip}"

    def take() -> None:
        s = st.session_state
        s[state.key(target)], s.chip = s[key], s.chip + 1

    st.pills(label, phrases, key=key, on_change=take)


def nearer(words: str, known: WordList) -> list[str]:
    """The words with those that are unknown replaced by near ones."""
    found = []
    for word in re.findall(r"[\w'-]+", words.lower()):
        if word not in (*known.nouns, *known.colours):
            found += [re.sub(rf"\b{word}\b", near, words.lower()) for near in known.near(word)]
    return list(dict.fromkeys(found))[:FEW]


def photo_presets() -> None:
    """Models for photographs: what they need, and whether they are here."""
    for name in ("classic", *PHOTO_PRESETS):
        preset = load_preset(name)
        size = preset.size_gb or 0
        here = "installed" if is_installed(preset) else f"downloads {size:g} GB first"
        st.write(f"**{name}** ({here}): {preset.about}")
        take = partial(st.session_state.__setitem__, "preset", name)  # what is open stays
        st.button(f"Use {name}", key=f"use-{name}", on_click=take)
