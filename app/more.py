"""Beside the flow: settings, history, downloads, the edit as code, the session as a file."""

from __future__ import annotations

import json
from typing import Any

import streamlit as st

from app import state
from editor import preset_names
from editor.recipe import MAX_VARIANTS
from editor.session_file import picture_bytes, session_bytes
from editor.wording import as_command, as_python, recipe_name

MIMES = {"png": "image/png", "webp": "image/webp", "jpg": "image/jpeg"}


def settings() -> tuple[str, dict[str, Any]]:
    """The sidebar: nothing in it needs touching. The preset, and options for painting."""
    side = st.sidebar
    side.header("Settings")
    preset = side.selectbox(
        "Models",
        preset_names(),
        key="preset",
        help="miniature is bundled and small; others load theirs first",
    )
    variants = side.slider(
        "Variants", 1, min(8, MAX_VARIANTS), 1, key="variants", help="paintings to choose from"
    )
    seed = int(side.number_input("Seed", 0, 2**31, 0, key="seed", help="same seed, same picture"))
    draft = side.toggle("Draft", key="draft", help="few steps: a quick look")
    given: dict[str, Any] = {}
    with side.expander("Painting"):
        steps = int(st.number_input("Steps", 0, 200, 0, key="steps", help="0: the preset's"))
        guidance = st.number_input(
            "Guidance",
            0.0,
            30.0,
            0.0,
            0.5,
            key="guidance",
            help="how strictly to follow the words; 0: the preset's",
        )
        size = st.selectbox(
            "Canvas",
            ["the preset's", 512, 768, 1024],
            key="size",
            help="smaller needs less memory and shows less detail",
        )
    given |= {"steps": steps} if steps else {}
    given |= {"guidance": guidance} if guidance else {}
    given |= {"size": size} if isinstance(size, int) else {}
    return preset, {"variants": variants, "seed": seed, "draft": draft, "settings": given}


def history() -> None:
    """Small pictures of every step; any of them can be gone back to."""
    s = st.session_state
    session = s.session
    if session.changes or session.undone:
        st.subheader("History")
        words = ["as opened", *(c.words for c in (*session.changes, *session.undone))]
        with st.container(horizontal=True):
            small = session.thumbnails(256)
            for k, (picture, name) in enumerate(zip(small, words, strict=True)):
                with st.container(width=150, border=True):
                    st.image(picture, caption=name)
                    here = k == len(session.changes)
                    if st.button(
                        "✓ here" if here else "Go here",
                        key=f"at-{k}",
                        width="stretch",
                        disabled=here or s.job is not None,
                    ):
                        state.fresh(session.at(k))
                        st.rerun()


def downloads(preset: str, options: dict[str, Any]) -> None:
    """The picture with its recipe, the same edit as code, the session."""
    s = st.session_state
    with st.expander(
        "Download, and the same edit as Python or as a command", expanded=bool(state.finished())
    ):
        edits, changes = state.finished(), s.session.changes
        source = s.session.original.source
        name = source.name if source else "picture.png"
        stem = name.rsplit(".", 1)[0]
        if edits or changes:
            download(stem)
        request = current(options)
        if request is None:
            st.info("The code appears when something is marked and there are words to paint.")
        else:
            code(request, name, preset)
        if st.button(
            "Make a session file",
            key="make-session",
            help="picture, mask and history in one file, to open again",
        ):
            with st.spinner("writing"), state.told():
                st.download_button(
                    "Save the session",
                    session_bytes(s.session),
                    f"{stem}.groundbrush",
                    "application/zip",
                    on_click="ignore",
                    key="save-session",
                )


def download(stem: str) -> None:
    """The result in a format of choice."""
    s = st.session_state
    kind = st.segmented_control(
        "Format",
        list(MIMES),
        default="png",
        key="format",
        help="PNG and WebP keep every pixel; JPEG is lossy",
    )
    kind = kind or "png"
    edits = state.finished()
    with state.told():
        if edits:
            variant = edits[-1].variants[s.variant]
            # of a plan the last step's recipe alone would not give this picture from the first
            recipe = {**edits[-1].recipe(), "seed": variant.seed, "variants": 1}
            recipe.pop("retries", None)
            data, notes = picture_bytes(variant.image, kind, state.present(), recipe)
        else:
            recipe = dict(s.session.changes[-1].request)
            data, notes = picture_bytes(state.present().pixels, kind, state.present(), recipe)
        for note in notes:
            st.caption(note)
        file = f"{stem}.edited.{kind}"
        st.download_button(
            f"Download {kind.upper()} with its recipe",
            data,
            file,
            MIMES[kind],
            on_click="ignore",
            key="download",
        )


def current(options: dict[str, Any]) -> dict[str, Any] | None:
    """The recipe of what was painted, or of what would be."""
    s = st.session_state
    if state.finished():
        return dict(state.finished()[-1].recipe())
    if s.session.mask is None or not s.session.mask.mask.any():
        return dict(s.session.changes[-1].request) if s.session.changes else None
    words = s.get(state.key("paint"), "")
    return s.session.request(words, **options)


def code(request: dict[str, Any], name: str, preset: str) -> None:
    """Python, a command and the recipe."""
    python, command, recipe = st.tabs(["Python", "Command", "Recipe"])
    python.code(as_python(request, name, preset), language="python")
    command.code(as_command(request, name, preset), language="bash", wrap_lines=True)
    recipe.download_button(
        "Download the recipe",
        json.dumps(request, indent=1),
        recipe_name(name),
        "application/json",
        on_click="ignore",
        key="recipe",
    )
    shown = {k: "…" if k == "mask" else v for k, v in request.items()}
    recipe.code(json.dumps(shown, indent=1), language="json")
