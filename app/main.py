"""One page: a picture, what to find, what to paint instead. ``groundbrush app`` starts it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import streamlit as st
from PIL import Image

from editor import Edit, Editor, GroundbrushError, Grounding, open_picture, preset_names
from editor.images import Picture
from editor.overlay import draw_grounding, draw_map

EXAMPLES = Path(__file__).parents[1] / "examples"
UPLOADS = ["png", "jpg", "jpeg", "webp", "bmp", "tif", "tiff"]


@st.cache_resource(show_spinner="loading the models")
def load_editor(preset: str) -> Editor:
    """One editor for all sessions: models are loaded once."""
    return Editor.load(preset)


def choose_picture() -> Picture | None:
    """An uploaded picture or one of the examples."""
    names = sorted(p.name for p in EXAMPLES.glob("*.png"))
    given = st.file_uploader("A picture", type=UPLOADS)
    if given is not None:
        # Read from a file so that the name, the suffix and every check are the API's own.
        with tempfile.NamedTemporaryFile(suffix=Path(given.name).suffix) as file:
            file.write(given.getvalue())
            file.flush()
            return open_picture(file.name)
    example = st.selectbox("or an example", names, index=0 if names else None, key="example")
    return open_picture(EXAMPLES / example) if example else None


def show_place(picture: Picture, found: Grounding) -> int | None:
    """What was found and why there; returns the candidate the user chose, if any."""
    left, right = st.columns(2)
    left.image(draw_grounding(picture.pixels, found), caption=f"{found.status}: {found.phrase}")
    right.image(draw_map(picture.pixels, found), caption="where the localization heads look")
    (st.success if found.status == "found" else st.warning)(found.reason)
    if not found.candidates:
        return None
    names = ["the first choice"] + [
        f"candidate {k + 1} (score {c.score:.2f})" for k, c in enumerate(found.candidates)
    ]
    start = 0 if found.found else 1
    chosen = st.radio("Which one?", range(len(names)), start, format_func=names.__getitem__)
    return None if chosen == 0 else chosen - 1


def show_result(edit: Edit) -> None:
    """Before and after, what was kept, and the file with its recipe."""
    left, right = st.columns(2)
    left.image(edit.picture.pixels, caption="before")
    right.image(edit.image, caption="after")
    changed = 100 * edit.support.mean()
    st.caption(f"{changed:.1f}% of the pixels were open to change; every other one is untouched")
    for note in edit.notes:
        st.info(note)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "edited.png"
        edit.save(file)
        st.download_button("Download PNG with its recipe", file.read_bytes(), "edited.png")


def paint(editor: Editor, picture: Picture, find: str, candidate: int | None) -> None:
    """The painting half of the page."""
    prompt = st.text_input("What to paint instead (leave empty to remove it)", key="paint")
    seed = int(st.number_input("Seed", 0, 2**31, 0))
    if not st.button("Paint" if prompt.strip() else "Remove", type="primary"):
        return
    bar = st.progress(0.0, "painting")

    def on_step(step: int, total: int) -> None:
        bar.progress(step / total, f"painting: step {step} of {total}")

    options = {"seed": seed, "candidate": candidate, "on_step": on_step}
    if prompt.strip():
        edit = editor.edit(picture, find, prompt, **options)
    else:
        edit = editor.remove(picture, find, **options)
    bar.empty()
    if edit.done:
        show_result(edit)
    else:
        st.warning(edit.notes[-1])


def page() -> None:
    """The whole page, top to bottom."""
    st.set_page_config(page_title="Groundbrush", layout="wide")
    st.title("Groundbrush")
    st.write("Say what to find and what to paint instead. Nothing else in the picture changes.")
    preset = st.sidebar.selectbox("Models", preset_names())
    try:
        picture = choose_picture()
        if picture is None:
            st.info("Drop a picture above to begin.")
            return
        st.image(Image.fromarray(picture.pixels), width=min(640, max(256, picture.size[0])))
        find = st.text_input("What to find", key="find", placeholder="the red apple on the left")
        if not find.strip():
            st.info("Name one thing in the picture, with its colour or side if there are several.")
            return
        editor = load_editor(preset)
        found = editor.ground(picture, find)
        paint(editor, picture, find, show_place(picture, found))
    except GroundbrushError as error:
        st.error(str(error))


page()
