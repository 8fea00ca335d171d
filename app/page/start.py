"""How a picture is opened: the first screen, a drop, and the pictures of the app's folder."""

from __future__ import annotations

import json
import os
from inspect import signature
from pathlib import Path
from typing import Any

import streamlit as st

from ...editor.api import Editor
from ...editor.as_code import literal
from ...editor.errors import GroundbrushError
from ...editor.pictures.overlay import shrink
from ...editor.pictures.picture import open_picture
from ..session.session import Session
from ..session.session_file import read_session
from ..uploads import MAX_UPLOAD_BYTES, MAX_UPLOAD_PIXELS, UPLOADS, read_upload
from . import state, work

MOST_NAMED = 24
"""Buttons for pictures of the folder; Next leads through all of them."""
EXAMPLES = Path(__file__).parents[2] / "examples"
_TAKES_ALT = "alt" in signature(st.image).parameters
SAVED = "groundbrush"
_DROP = st.components.v2.component(
    "groundbrush_drop", js=Path(__file__).with_name("drop.js").read_text("utf-8")
)


@st.cache_data(show_spinner=False)
def examples() -> list[dict[str, Any]]:
    """The bundled pictures: name, file, a phrase that can be found, a small copy."""
    try:
        listed = json.loads((EXAMPLES / "examples.json").read_text("utf-8"))
    except (OSError, ValueError):
        return []
    return [
        {
            "name": item["name"],
            "file": EXAMPLES / item["image"],
            "find": item["edit"]["phrase"],
            "paint": item["edit"]["paint"],
            "small": shrink(open_picture(EXAMPLES / item["image"]).pixels, 256),
        }
        for item in listed
        if (EXAMPLES / item["image"]).is_file()
    ]


def is_own(source: Path | None) -> bool:
    """Whether a picture is none of the bundled ones."""
    return source is None or source.name not in {item["file"].name for item in examples()}


def screen(editor: Editor) -> None:
    """Choose what to begin with; the picture that is open stays until another one is."""
    st.write("Say what to find and what to paint instead. Nothing else in the picture changes.")
    if st.session_state.pop("wrong_address", False):
        st.warning(state.UNKNOWN_ADDRESS)
    if st.session_state.session is not None:
        st.button(
            "Back to the open picture", on_click=state.choose_picture, args=(False,), key="back"
        )
    st.subheader("Choose a picture")
    given = st.file_uploader(
        f"Your own (at most {MAX_UPLOAD_BYTES // 1_000_000} MB and "
        f"{MAX_UPLOAD_PIXELS // 1_000_000} megapixels; it stays on this machine)",
        type=UPLOADS,
        key="upload",
    )
    if editor.models.words is not None:
        st.caption(
            "The bundled models know drawn things. For a photograph choose Models in Settings: "
            "classic removes what you mark, with nothing to download; photo-light understands "
            "words (4.4 GB)."
        )
    if given is not None:
        open_file(editor, given)
    with state.told("The folder"):
        of_folder()
    st.write("or begin with an example:")
    with st.container(horizontal=True):
        for item in examples():
            with st.container(width=158, border=True):
                show_image(item["small"], f"the example {item['name']}")
                if st.button(
                    item["name"],
                    key=f"example-{item['name']}",
                    width="stretch",
                    help=f"such as {item['find']} → {item['paint']}",
                ):
                    words = {"find": item["find"], "paint": item["paint"]}
                    state.open_session(Session(open_picture(item["file"]), **words))
                    st.rerun()
    with st.expander("Open a saved session"):
        saved = st.file_uploader("A file saved here before", type=["groundbrush"], key="saved")
        if saved is not None:
            open_file(editor, saved)


def of_folder() -> None:
    """The pictures of the folder that the app was started with."""
    paths = folder_pictures()
    if paths:
        st.write(f"or one of the {len(paths)} pictures in {literal(paths[0].parent.name)}:")
        with st.container(horizontal=True):
            for path in paths[:MOST_NAMED]:
                st.button(path.name, key=f"open-{path.name}", on_click=open_in_folder, args=(path,))


def drop_anywhere(editor: Editor) -> None:
    """Take what is dropped or pasted: the script puts it into an uploader that is not shown."""
    with st.container(key="dropzone"):
        given = st.file_uploader("Dropped", [*UPLOADS, SAVED], key=state.key("dropped"))
        _DROP(key="drop-script")
    if given is not None:
        open_file(editor, given)


def open_file(editor: Editor, given: Any) -> None:
    """Begin with an uploaded picture, or continue a saved session."""
    data = given.getvalue()
    with state.told("The file"):
        if given.name.lower().endswith(f".{SAVED}"):
            session = work.call(lambda: read_session(data, editor.finder.scene), "opening")
        else:
            with st.spinner("reading the picture"):
                session = Session(read_upload(data, given.name))
        state.open_session(session)
        st.rerun()


def show_image(picture: Any, alt: str, **options: Any) -> None:
    """Show a picture as `st.image` does."""
    st.image(picture, **options, **({"alt": alt} if _TAKES_ALT else {}))


def folder_pictures() -> list[Path]:
    """The pictures in the folder, by name; none without a folder."""
    named = os.environ.get("GROUNDBRUSH_PAGE_FOLDER")
    if not named:
        return []
    try:
        files = (p for p in Path(named).iterdir() if p.suffix.lower()[1:] in UPLOADS)
        return sorted(p for p in files if p.is_file())
    except OSError as error:
        raise GroundbrushError(
            f"the folder {Path(named).name!r} cannot be read ({error.strerror}); start the app "
            "with --folder DIR again"
        ) from None


def open_in_folder(*paths: Path) -> None:
    """Begin with the first of these pictures that opens; says what is wrong with those before."""
    for path in paths:
        with state.told("The folder"):
            state.open_session(Session(open_picture(path, max_pixels=MAX_UPLOAD_PIXELS)))
            return


def folder_steps() -> None:
    """Buttons to the picture before and the one after."""
    paths = folder_pictures()
    if not paths:
        return
    session = st.session_state.session
    source = None if session is None else session.original.source
    number = paths.index(source) + 1 if source in paths else 0
    before, after = paths[: max(0, number - 1)][::-1], paths[number:]  # nearest first
    for name, others in (("Previous", before), ("Next", after)):
        st.button(
            name,
            key=f"folder-{name}",
            disabled=not others,
            help=others[0].name if others else None,
            on_click=open_in_folder,
            args=others,
        )
    of = f"{number} of {len(paths)}" if number else f"{len(paths)} in the folder"
    st.caption(of, width="content")
