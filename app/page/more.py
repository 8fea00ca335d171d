"""Beside the flow: settings, history, downloads, the edit as code, the session as a file."""

from __future__ import annotations

import dataclasses
import functools
import io
import json
import zipfile
from typing import Any

import streamlit as st

from ...editor.as_code import command_of, python_of, recipe_files
from ...editor.models.downloads import is_installed
from ...editor.models.presets import load_preset, preset_names
from ...editor.request import MAX_VARIANTS, EditRequest
from ..session.session_file import session_bytes
from . import state

Options = dict[str, Any]


def settings() -> tuple[str, Options]:
    """Behind one button, and nothing in it needs touching. The preset, and options for painting.

    Values are given as defaults, not by the session state: what is folded away does not get those.
    """
    s = st.session_state
    with st.popover("Settings", key="settings"):
        s.preset = models(s.preset)
        first = s.shown_first
        quality = st.segmented_control(
            "Quality",
            ["draft", "final"],
            default=first["quality"],
            key="quality",
            help="draft: few steps, to see whether it goes the right way; final: all steps",
        )
        variants = st.slider(
            "Results to choose from",
            1,
            min(8, MAX_VARIANTS),
            first["variants"],
            key="variants",
            help="each takes as long as the first",
        )
        given = numbers(first)
        seed = int(
            st.number_input(
                "Seed",
                0,
                2**31,
                first["seed"],
                key="seed",
                help="another number gives another result; the same number the same one",
            )
        )
    options = {"variants": variants, "seed": seed, "draft": quality == "draft", "settings": given}
    return s.preset, options


def models(preset: str) -> str:
    """The choice of models, with their size and whether they are here."""
    # a new key where another part of the page has chosen
    name = st.selectbox(
        "Models", preset_names(), preset_names().index(preset), key=f"models-{preset}"
    )
    chosen = load_preset(name)
    here = "On this machine." if is_installed(chosen) else "Not on this machine yet."
    st.caption(f"{chosen.about} {chosen.size_gb or 0:g} GB. {here}")
    return name


def numbers(first: dict[str, Any]) -> dict[str, Any]:
    """Settings of the painting that differ from the preset's."""
    guidance = st.slider(
        "How closely to follow the words",
        0.0,
        20.0,
        first["guidance"],
        0.5,
        key="guidance",
        help="0: as the models suggest; from 1, loosely, to 20, to the letter and less natural",
    )
    sizes = [0, 512, 768, 1024]  # None would be shown as nothing chosen
    size = st.selectbox(
        "Detail",
        sizes,
        sizes.index(first["size"]),
        key="size",
        format_func=lambda size: f"{size} pixels" if size else "as the models suggest",
        help="pixels that are painted at once: more show finer detail and need more memory",
    )
    steps = int(
        st.number_input(
            "Steps",
            0,
            200,
            first["steps"],
            key="steps",
            help="0: as the models suggest; more take longer and rarely look better above 30",
        )
    )
    values = {"steps": steps, "guidance": guidance, "size": size}
    return {name: value for name, value in values.items() if value}


def source_name() -> str:
    """The opened file's name."""
    source = st.session_state.session.original.source
    return source.name if source else "picture.png"


def on_this_machine(editor: state.Editor) -> bool:
    """Whether the preset's models are here; else describe their download and offer it."""
    plan = state.kept("models", (editor, editor.models.ready), editor.models.plan)
    if not plan.incomplete:
        return True
    st.info("  \n".join(map(state.said, plan.lines())))
    if st.button(f"Download {plan.bytes_left / 1e9:.1f} GB", key="fetch", type="primary"):
        with st.spinner(
            "Downloading; the terminal shows progress. It resumes after an interruption."
        ):
            editor.models.fetch()
        st.rerun()
    return False


def downloads(preset: str, options: Options) -> None:
    """The same edits as code, and the session."""
    s = st.session_state
    with st.expander("The same edit as Python, as a command, as a recipe"):
        requests = chain() or planned(options)
        if requests:
            code(requests, source_name(), preset)
        else:
            st.info("This appears when something is marked and there are words to paint.")
    session, words = s.session, s.get(state.key("paint"), "")

    def file() -> bytes:  # runs where there is no session state
        return session_bytes(dataclasses.replace(session, paint=words))

    st.download_button(
        "Save the session",
        state.kept("session-file", (session, words), lambda: functools.cache(file)),
        f"{source_name().rsplit('.', 1)[0]}.groundbrush",
        "application/zip",
        on_click="ignore",
        key="save-session",
        help="picture, words, mask and history in one file, to open again on the first screen",
    )


def chain() -> list[dict[str, Any]]:
    """Recipes of what leads from the opened picture to the one shown, in order."""
    s = st.session_state
    done = [change.request for change in s.session.changes]
    edits = state.finished()
    for edit in edits:
        done.append(edit.request_for(s.variant if edit is edits[-1] else 0))
    return done


def planned(options: Options) -> list[dict[str, Any]]:
    """The recipe of what would be painted, where that is known."""
    s = st.session_state
    words = s.get(state.key("paint"), "")
    if s.session.mask is None or not s.session.mask.mask.any() or not words.strip():
        return []
    return [s.session.request(words, **options)]


def code(requests: list[EditRequest], name: str, preset: str) -> None:
    """Python, commands and recipes."""
    python, command, recipe = st.tabs(["Python", "Command", "Recipe"])
    python.code(python_of(requests, name, preset), language="python")
    command.code(command_of(requests, name, preset), language="bash", wrap_lines=True)
    files = recipe_files(requests, name)
    with recipe:
        if len(files) == 1:
            ((file, text),) = files.items()
            save("Download the recipe", text, file, "application/json")
        else:
            packed = f"{name.rsplit('.', 1)[0]}.recipes.zip"
            save("Download the recipes", zipped(files), packed, "application/zip")
        for request in requests:
            shown = {k: "…" if k == "mask" else v for k, v in request.as_dict().items()}
            st.code(json.dumps(shown, indent=1), language="json")


def save(label: str, data: str | bytes, file: str, mime: str) -> None:
    """A button that saves a small file."""
    st.download_button(label, data, file, mime, on_click="ignore", key="recipe")


def zipped(files: dict[str, str]) -> bytes:
    """Some texts as one file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return packed.getvalue()
