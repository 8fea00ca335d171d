"""The page, driven by Streamlit's own test harness with the real miniature models.

The harness has no browser, so the drawing surface is not driven here: test_browser.py does that,
and what its marks mean is tested in test_canvas.py.
"""

from __future__ import annotations

import asyncio
import dataclasses
import io
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("streamlit.testing.v1")
from groundbrush.app.page import access, state
from groundbrush.app.session.session_file import picture_bytes, session_bytes
from groundbrush.editor.pictures.picture import Picture, open_picture
from groundbrush.editor.plan.steps import Plan, Step, Unread
from PIL import Image
from streamlit.testing.v1 import AppTest

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "app" / "page" / "script.py"


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=120).run()


def widget(kind, name: str):
    """The page's widget of a kind with a key that begins so."""
    (found,) = [w for w in kind if (w.key or "").startswith(name)]
    return found


def opened(page: AppTest, example: str = "fruit", words: str = "") -> AppTest:
    """With an example open, its words replaced by others."""
    widget(page.button, f"example-{example}").click().run()
    widget(page.text_input, "paint-").set_value("")
    if widget(page.text_input, "find-").value == words:
        return page
    return find(page, words)


def find(page: AppTest, words: str) -> AppTest:
    widget(page.text_input, "find-").set_value(words).run()
    assert not page.exception
    return page


def painted(page: AppTest, button: str) -> AppTest:
    page.number_input(key="steps").set_value(2)
    page.button(key=button).click().run()
    deadline = time.monotonic() + 100
    while page.session_state["job"] is not None and time.monotonic() < deadline:
        page.session_state["job"].wait(5)
        page.run()
    assert not page.exception
    assert page.session_state["job"] is None
    return page


def keys(page: AppTest) -> set[str]:
    return {b.key for b in page.button if b.key}


def test_the_first_screen_offers_examples_and_says_what_to_do(page: AppTest) -> None:
    assert not page.exception
    assert any("Choose a picture" in s.value for s in page.subheader)
    assert {"example-fruit", "example-penguin"} <= keys(page)


def test_an_example_brings_its_words_and_finds_its_thing(page: AppTest) -> None:
    widget(page.button, "example-fruit").click().run()
    assert widget(page.text_input, "find-").value == "the red apple"
    assert widget(page.text_input, "paint-").value
    assert page.session_state["session"].found.status == "found"
    assert not page.button(key="go-paint").disabled


def test_an_opened_picture_says_what_to_do_next(page: AppTest) -> None:
    opened(page)
    assert any("Name a thing" in info.value for info in page.info)
    assert page.button(key="go-paint").disabled
    assert any("First something must be found" in c.value for c in page.caption)


def test_a_preset_without_words_asks_for_a_mark(page: AppTest) -> None:
    widget(page.selectbox, "models-").set_value("classic").run()
    widget(page.button, "example-fruit").click().run()
    assert any("draw a box" in info.value for info in page.info)
    assert not [w for w in page.text_input if (w.key or "").startswith("find-")]
    assert not [w for w in page.text_input if (w.key or "").startswith("paint-")]
    assert "go-paint" not in keys(page)
    assert page.button(key="go-remove").disabled


def test_another_picture_keeps_the_open_one_until_it_is_chosen(page: AppTest) -> None:
    opened(page, words="the red apple")
    mask = page.session_state["session"].mask.mask
    page.button(key="another").click().run()
    assert "example-fruit" in keys(page)
    page.button(key="back").click().run()
    assert not page.exception
    assert page.session_state["session"].mask.mask is mask
    assert widget(page.text_input, "find-").value == "the red apple"
    page.button(key="another").click().run()
    opened(page, "penguin")
    assert page.session_state["session"].original.source.name == "penguin.png"
    assert page.session_state["session"].mask is None


def test_find_paint_keep_and_go_back(page: AppTest, tmp_path: Path) -> None:
    opened(page, words="the red apple")
    assert page.session_state["session"].mask.mask.any()
    widget(page.text_input, "paint-").set_value("a green pear")
    painted(page, "go-paint")
    assert any("'the red apple'" in c.value and "seed=0" in c.value for c in page.code)
    assert any("every other one is untouched" in c.value for c in page.caption)
    page.button(key="keep").click().run()
    session = page.session_state["session"]
    assert [c.words for c in session.changes] == ["the red apple: a green pear"]
    source = open_picture(ROOT / "examples" / "fruit.png")
    assert (session.picture.pixels != source.pixels).any()
    assert widget(page.text_input, "find-").value == ""
    page.button(key="at-0").click().run()
    assert not page.exception
    assert (page.session_state["session"].picture.pixels == source.pixels).all()
    page.button(key="at-1").click().run()
    assert len(page.session_state["session"].changes) == 1


def test_edits_in_a_row_are_said_as_a_row(page: AppTest) -> None:
    for thing in ("the red apple", "the banana"):
        find(opened(page) if thing == "the red apple" else page, thing)
        widget(page.text_input, "paint-").set_value("a frog")
        painted(page, "go-paint")
        page.button(key="keep").click().run()
        assert not page.exception
    python, command = page.code[0].value, page.code[1].value
    assert python.index("'the red apple'") < python.index("'fruit.edited.png'")
    assert python.index("'fruit.edited.png'") < python.index("'the banana'")
    assert command.count("groundbrush edit") == 2


def test_a_file_is_written_once_and_only_when_asked_for(page: AppTest, monkeypatch) -> None:
    made = []
    monkeypatch.setattr(
        "groundbrush.app.page.results.picture_bytes",
        lambda *a: made.append(a[1]) or (b"x", ("note",)),
    )
    opened(page, words="the red apple")
    widget(page.text_input, "paint-").set_value("a frog")
    painted(page, "go-paint")
    page.run()
    assert made == []
    for _ in range(
        2
    ):  # what a JPEG loses is reported, so it is written; at the next run it is there
        widget(page.segmented_control, "format").set_value("jpg").run()
        assert any("note" in c.value for c in page.caption)
    assert made == ["jpg"]


def test_a_cancelled_painting_leaves_the_words_and_the_mask(page: AppTest) -> None:
    opened(page, words="the red apple")
    widget(page.text_input, "paint-").set_value("a green pear")
    page.number_input(key="steps").set_value(200)
    page.button(key="go-paint").click().run()
    job = page.session_state["job"]
    job.cancel()
    assert job.wait(100)
    page.run()
    assert not page.exception
    assert any("stopped on request" in info.value.lower() for info in page.info)
    assert widget(page.text_input, "paint-").value == "a green pear"
    assert widget(page.text_input, "find-").value == "the red apple"
    assert page.session_state["session"].mask.mask.any()


def marked(page: AppTest, **mark: Any) -> AppTest:
    """The page after a mark from the canvas."""
    page.session_state["todo"] = [mark]
    return page.run()


def test_finding_does_not_wait_for_a_painting(page: AppTest) -> None:
    opened(page, words="the red apple")
    widget(page.text_input, "paint-").set_value("a green pear")
    page.number_input(key="steps").set_value(200)
    page.slider(key="variants").set_value(8)
    page.button(key="go-paint").click().run()
    job = page.session_state["job"]
    try:
        other = AppTest.from_file(str(PAGE), default_timeout=120).run()
        opened(other, "penguin", "the penguin")
        assert other.session_state["session"].found.found
        assert not job.over
    finally:
        job.cancel()
        assert job.wait(100)


def test_corrections_undo_and_redo(page: AppTest) -> None:
    opened(page, words="the red apple")
    before = page.session_state["session"].mask.mask.sum()
    page.button(key="op-Grow").click().run()
    grown = page.session_state["session"].mask.mask.sum()
    assert grown > before
    marked(page, kind="undo")
    assert page.session_state["session"].mask.mask.sum() == before
    marked(page, kind="redo")
    assert page.session_state["session"].mask.mask.sum() == grown
    assert not page.exception


def test_an_absent_thing_is_explained_and_a_candidate_can_be_taken(page: AppTest) -> None:
    opened(page, words="the umbrella")
    found = page.session_state["session"].found
    if found.status != "absent":
        pytest.skip("these weights see an umbrella")
    (said,) = [w.value for w in page.warning if "Not in the picture" in w.value]
    assert "Name it more simply" in said  # what to try stands beside it
    assert not any(c.isdigit() for c in said)
    assert not page.session_state["session"].mask.mask.any()
    page.button(key="show-why").click().run()
    assert not page.exception
    assert any("What to try" in m.value for m in page.markdown)


def test_unknown_words_are_an_error_in_words(page: AppTest) -> None:
    opened(page, words="the zeppelin")
    assert "'zeppelin'" in page.error[0].value
    assert "groundbrush" not in page.error[0].value  # no command for a terminal
    page.run()
    assert "'zeppelin'" in page.error[0].value  # it stays until other words are tried
    find(page, "the red apple")
    assert not page.error


def test_variants_are_shown_and_the_chosen_one_is_kept(page: AppTest) -> None:
    opened(page, words="the red apple")
    page.slider(key="variants").set_value(2)
    widget(page.text_input, "paint-").set_value("a frog")
    painted(page, "go-paint")
    page.button(key="variant-1").click().run()
    page.button(key="keep").click().run()
    assert page.session_state["session"].changes[0].request.seed == 1


def test_trying_again_keeps_every_result_and_another_way_stays(page: AppTest) -> None:
    opened(page, words="the red apple")
    widget(page.text_input, "paint-").set_value("a frog")
    painted(page, "go-paint")
    first = page.session_state["edits"][0]
    painted(page, "try-again")
    second = page.session_state["edits"][0]
    assert (first.variants[0].seed, second.variants[0].seed) == (0, 1)
    widget(page.segmented_control, "versus").set_value("1").run()
    assert not page.exception
    page.button(key="variant-0").click().run()
    assert page.session_state["edits"][0] is first
    page.button(key="keep").click().run()
    assert page.session_state["session"].changes[0].request.seed == 0
    page.button(key="at-0").click().run()
    find(page, "the banana")
    painted(page, "go-remove")
    page.button(key="keep").click().run()
    assert page.session_state["session"].changes[0].words == "the banana: removed"
    page.button(key="branch-1-1").click().run()
    assert not page.exception
    assert page.session_state["session"].changes[0].words == "the red apple: a frog"


@pytest.mark.skipif(not hasattr(AppTest, "file_uploader"), reason="this Streamlit cannot upload")
def test_a_mask_comes_from_a_file_and_a_picture_from_anywhere(page: AppTest) -> None:
    opened(page)
    session = page.session_state["session"]
    mask = np.zeros(session.original.pixels.shape[:2], bool)
    mask[20:60, 30:90] = True
    file = picture_bytes(np.repeat(255 * mask[..., None].astype(np.uint8), 3, 2), "png", None, None)
    uploaded(page, f"mask-{page.session_state['turn']}", "mask.png", file[0])
    assert not page.exception
    assert (page.session_state["session"].mask.mask == mask).all()
    page.button(key="op-Grow").click().run()
    small = picture_bytes(np.full((8, 8, 3), 255, np.uint8), "png", None, None)[0]
    turn = page.session_state["turn"]
    uploaded(page, f"mask-{turn}", "small.png", small)
    assert any("8x8" in error.value for error in page.error)
    uploaded(page, f"dropped-{turn}", "dropped.png", small)
    assert not page.exception
    assert page.session_state["session"].original.source.name == "dropped.png"


def test_the_pictures_of_a_folder_follow_each_other(page: AppTest, monkeypatch, tmp_path) -> None:
    for name in ("b.png", "a.png"):
        shutil.copy(ROOT / "examples" / "fruit.png", tmp_path / name)
    for name in ("notes.txt", "aa.png"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "album.png").mkdir()
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere")
    monkeypatch.setenv("GROUNDBRUSH_PAGE_FOLDER", str(tmp_path))
    widget(page.button, "example-penguin").click().run()
    assert "3 in the folder" in [caption.value for caption in page.caption]
    page.button(key="another").click().run()
    page.button(key="open-a.png").click().run()
    assert page.button(key="folder-Previous").disabled
    page.button(key="folder-Next").click().run()
    assert not page.exception
    assert "aa.png" in page.error[0].value  # which does not stop the way
    assert page.session_state["session"].original.source.name == "b.png"
    assert page.button(key="folder-Next").disabled
    page.button(key="another").click().run()
    shutil.rmtree(tmp_path)
    page.run()
    assert "cannot be read" in page.error[0].value
    assert str(tmp_path) not in page.error[0].value
    assert "example-fruit" in keys(page)
    page.button(key="back").click().run()
    assert not page.exception
    assert "go-paint" in keys(page)


def test_near_words_and_known_ones_are_chips(page: AppTest) -> None:
    opened(page, words="the red aple")
    near = widget(page.button_group, "near-")
    assert "the red apple" in near.options
    near.set_value("the red apple").run()
    assert widget(page.text_input, "find-").value == "the red apple"
    assert page.session_state["session"].found.found
    known = widget(page.button_group, "known-")
    assert len(known.options) == 28
    known.set_value("the banana").run()
    assert page.session_state["session"].find == "the banana"
    widget(page.button_group, "paintable-").set_value("an apple").run()
    assert widget(page.text_input, "paint-").value == "an apple"


def test_a_photograph_is_offered_models_for_photographs(page: AppTest) -> None:
    assert not any(key.startswith("use-") for key in keys(opened(page)))
    page.button(key="another").click().run()
    pixels = open_picture(ROOT / "examples" / "fruit.png").pixels
    data, _ = picture_bytes(pixels, "png", None, None)
    uploaded(page, "upload", "holiday.png", data)
    assert any("no photographs" in c.value for c in page.caption)
    assert any("photo-light" in m.value and "4.4 GB" in m.value for m in page.markdown)
    page.button(key="another").click().run()
    clear = Picture(pixels, alpha=np.full(pixels.shape[:2], 99, np.uint8))
    uploaded(page, "upload", "clear.png", picture_bytes(pixels, "png", clear, None)[0])
    page.button(key="extend").click().run()
    widget(page.button_group, "sides-which").set_value(["right"]).run()
    painted(page, "go-extend")
    file, _ = page.session_state["memory"]["file-png"][1]()
    alpha = Image.open(io.BytesIO(file)).getchannel("A")
    assert (alpha.size, alpha.getextrema()) == ((320, 256), (99, 255))  # new sides are opaque
    page.button(key="drop").click().run()
    page.button(key="sides-back").click().run()
    page.button(key="use-photo-light").click().run()
    assert not page.exception
    assert page.session_state["preset"] == "photo-light"


def test_things_of_several_kinds_are_each_changed_or_corrected(page: AppTest) -> None:
    opened(page, words="the red apple and the banana")
    assert [s.phrase for s in page.session_state["everything"].segments] == [
        "the red apple",
        "the banana",
    ]
    assert page.button(key="change").disabled
    actions = [w for w in page.button_group if (w.key or "").startswith("action-")]
    actions[1].set_value("remove").run()
    actions = [w for w in page.button_group if (w.key or "").startswith("action-")]
    actions[0].set_value("replace").run()
    widget(page.text_input, "instead-").set_value("a frog").run()
    painted(page, "change")
    edits = page.session_state["edits"]
    assert [(e.request.action, e.request.find) for e in edits] == [
        ("edit", "the red apple"),
        ("remove", "the banana"),
    ]
    page.button(key="drop").click().run()
    assert widget(page.text_input, "instead-").value == "a frog"  # the choices are still there
    mask = page.session_state["everything"].segments[1].mask
    next(
        b for b in page.button if (b.key or "").startswith("correct-") and b.key[-1] == "1"
    ).click()
    page.run()
    assert not page.exception
    session = page.session_state["session"]
    assert (session.mask.mask == mask).all()
    assert session.request("a frog").find == "the banana"
    assert page.session_state["everything"] is None


def test_a_new_search_begins_with_everything_shown(page: AppTest) -> None:
    opened(page, words="the red apple and the banana")
    page.checkbox[0].uncheck().run()
    find(page, "the banana and the red apple")
    assert [box.value for box in page.checkbox] == [True, True]


def test_an_instruction_becomes_rows_to_change(page: AppTest) -> None:
    opened(page, words="replace the red apple with a frog and remove the banana")
    assert not page.exception
    fields = {w.label: w.value for w in (*page.text_input, *page.selectbox)}
    assert (fields["1. Do"], fields["1. Find"], fields["1. Paint"]) == (
        "replace",
        "the red apple",
        "a frog",
    )
    assert (fields["2. Do"], fields["2. Find"]) == ("remove", "the banana")
    widget(page.button, "add-row").click().run()
    next(b for b in page.button if b.label == "✕" and b.key.endswith("-1-drop")).click().run()
    assert [r["find"] for r in page.session_state["rows"]] == ["the red apple", ""]
    next(w for w in page.text_input if w.label == "1. Paint").set_value("a fish").run()
    again = again_at(page)
    assert next(w for w in again.text_input if w.label == "1. Paint").value == "a fish"
    painted(page, "run-all")
    assert [e.request.paint for e in page.session_state["edits"]] == ["a fish"]
    page.button(key="drop").click().run()
    assert next(w for w in page.text_input if w.label == "1. Paint").value == "a fish"


def test_what_was_not_understood_has_its_readings_as_buttons(page: AppTest) -> None:
    opened(page, words="make the red apple bigger")
    assert any("make the red apple bigger" in w.value for w in page.warning)
    assert page.button(key="run-all").disabled
    assert "another" in keys(page)
    assert not page.error
    next(b for b in page.button if b.label == "Leave it out").click().run()
    assert page.button(key="run-all").disabled  # there is no row
    page.button(key="as-thing").click().run()
    assert not page.exception
    assert page.session_state["plan"] is None


def test_a_reading_is_put_where_its_words_stand(page: AppTest) -> None:
    steps = [Step("remove", "the car", span=(0, 9)), Step("edit", "the car", "a frog", at=0)]
    part = Unread((10, 20), "some words", "means two things", ((Step("remove", "the cup"),),))
    opened(page, words="remove the car")
    page.session_state["plan"] = Plan("remove the car and some words", tuple(steps), (part,))
    page.session_state["rows"] = None
    page.run()
    next(b for b in page.button if "the cup" in b.label).click().run()
    rows = page.session_state["rows"]
    assert [(r["find"], r["at"]) for r in rows] == [
        ("the car", ""),
        ("the cup", ""),
        ("the car", "1"),
    ]
    assert not page.button(key="run-all").disabled


def test_a_draft_is_painted_in_full_on_request(page: AppTest) -> None:
    opened(page, words="the red apple")
    widget(page.text_input, "paint-").set_value("a frog")
    page.segmented_control(key="quality").set_value("draft").run()
    painted(page, "go-paint")
    assert page.session_state["edits"][0].request.draft
    painted(page, "final")
    request = page.session_state["edits"][0].request
    assert (request.draft, request.paint, request.seed) == (False, "a frog", 0)
    assert "final" not in keys(page)


def again_at(page: AppTest, address: str | None = None) -> AppTest:
    """Another browser session at a page's address, as after a reload."""
    other = AppTest.from_file(str(PAGE), default_timeout=120)
    other.query_params["s"] = address or page.query_params["s"]
    return other.run()


def test_a_reloaded_page_is_as_it_was(page: AppTest) -> None:
    opened(page, "demo", "the penguin")
    chips = widget(page.button_group, "candidate-")
    widget(page.text_input, "paint-").set_value("a frog").run()
    page.number_input(key="steps").set_value(7).run()
    again = again_at(page)
    assert not again.exception
    assert widget(again.text_input, "find-").value == "the penguin"
    assert widget(again.text_input, "paint-").value == "a frog"
    assert again.number_input(key="steps").value == 7
    assert again.session_state["session"].found is page.session_state["session"].found
    assert widget(again.button_group, "candidate-").options == chips.options
    assert state.UNKNOWN_ADDRESS not in [w.value for w in again.warning]
    address = page.query_params["s"]
    chips.set_value(chips.options[0]).run()
    again.run()  # only looks: the first page's work stays
    mask = page.session_state["session"].mask
    assert again_at(page, address).session_state["session"].mask is mask
    chips = widget(again.button_group, "candidate-")
    chips.set_value(chips.options[-1]).run()
    assert again.query_params["s"] != address  # works on beside it
    assert again_at(page, address).session_state["session"].mask is mask
    beside = again_at(page, again.query_params["s"]).session_state["session"].mask
    assert beside is again.session_state["session"].mask
    assert (beside.mask != mask.mask).any()


def test_a_painting_is_there_after_a_reload(page: AppTest) -> None:
    opened(page, words="the red apple")
    widget(page.text_input, "paint-").set_value("a green pear")
    page.number_input(key="steps").set_value(2)
    page.button(key="go-paint").click().run()
    again = again_at(page)
    job = again.session_state["job"]
    assert job is page.session_state["job"]
    if job is not None:
        assert job.wait(100)
        again.run()
    assert "keep" in keys(again)


def test_back_leads_to_the_first_screen_and_forward_to_the_picture(page: AppTest) -> None:
    opened(page, words="the red apple")
    address = page.query_params["s"]
    mask = page.session_state["session"].mask
    page.query_params.clear()
    page.run()
    assert "example-fruit" in keys(page)
    page.query_params["s"] = address
    page.run()
    assert page.session_state["session"].mask is mask
    assert widget(page.text_input, "find-").value == "the red apple"
    page.button(key="another").click().run()
    assert "s" not in page.query_params
    opened(page, "penguin")
    assert page.query_params["s"] != address
    page.query_params["s"] = address
    page.run()
    assert page.session_state["session"].original.source.name == "fruit.png"


def test_an_address_that_is_not_known_is_explained() -> None:
    page = again_at(AppTest.from_file(str(PAGE)), "no-such-id")
    assert page.warning[0].value == state.UNKNOWN_ADDRESS
    opened(page)
    own = page.query_params["s"]
    assert own != "no-such-id"
    page.query_params["s"] = "../x\0"  # back to one that was dropped: the open one stays
    page.run()
    assert page.warning[0].value == state.UNKNOWN_ADDRESS
    page.button(key="back").click().run()
    assert page.query_params["s"] == own


def test_a_part_that_fails_leaves_the_others(page: AppTest, monkeypatch) -> None:
    opened(page, words="the red apple")

    def fails() -> None:
        raise TypeError("at /srv/secret/place.py")

    monkeypatch.setattr("groundbrush.app.page.results.history", fails)
    page.run()
    assert not page.exception
    (error,) = page.error
    assert "The history failed (TypeError)" in error.value
    assert "secret" not in error.value
    assert widget(page.text_input, "paint-")
    assert "save-session" in {b.key for b in page.get("download_button")} | keys(page)


def test_a_saved_session_brings_back_words_and_findings(page: AppTest) -> None:
    opened(page, "demo", "the penguin")
    widget(page.text_input, "paint-").set_value("a frog").run()
    session = dataclasses.replace(page.session_state["session"], paint="a frog")
    page.button(key="another").click().run()
    uploaded(page, "saved", "demo.groundbrush", session_bytes(session))
    assert not page.exception
    assert widget(page.text_input, "find-").value == "the penguin"
    assert widget(page.text_input, "paint-").value == "a frog"
    assert widget(page.button_group, "candidate-").options
    page.button(key="show-why").click().run()
    assert not page.exception
    assert any("What to try" in m.value for m in page.markdown)


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no file '/home/ann/models/x.json'; give one", "No file '…/x.json'; give one"),
        ("to download 3 GB to /root/.cache/hub (9 GB free)", "To download 3 GB to …/hub (9"),
        (r"C:\Users\ann\x.png is none", "…/x.png is none"),
        ("OpenGVLab/InternVL3 of https://huggingface.co/a/b", "https://huggingface.co/a/b"),
    ],
)
def test_no_path_of_the_server_is_shown(message: str, shown: str) -> None:
    assert shown.replace("_", "") in state.said(message).replace("\\", "")


def uploaded(page: AppTest, key: str, name: str, data: bytes) -> AppTest:
    page.file_uploader(key=key).upload(name, data).run()
    return page


@pytest.mark.skipif(not hasattr(AppTest, "file_uploader"), reason="this Streamlit cannot upload")
def test_text_named_jpg_is_refused_by_name(page: AppTest) -> None:
    uploaded(page, "upload", "diary.jpg", b"dear diary")
    assert "'diary.jpg'" in page.error[0].value
    assert not page.exception


def test_a_guess_for_what_is_absent_is_taken_by_its_chip(page):
    opened(page, "demo", "the penguin")
    found = page.session_state["session"].found
    assert found.status == "absent"
    assert found.candidates
    chips = widget(page.button_group, "candidate-")
    assert chips.options == [str(k) for k in range(1, len(found.candidates) + 1)]
    chips.set_value("1").run()
    assert not page.exception
    assert (page.session_state["session"].mask.mask == found.candidates[0].mask).all()
    marked(page, kind="candidate", number=len(found.candidates))  # its number in the picture
    assert not page.exception
    assert (page.session_state["session"].mask.mask == found.candidates[-1].mask).all()
    assert widget(page.button_group, "candidate-").value == str(len(found.candidates))
    marked(page, kind="candidate", number="nine")  # what comes from a browser may be anything
    assert not page.exception


def page_answer(kind: str, host: str, origin: str | None = None) -> list[dict]:
    """What the page's gate sends; what lies behind it answers 200."""

    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    async def receive() -> dict:
        return {"type": "websocket.connect"}

    sent: list[dict] = []

    async def send(message: dict) -> None:
        sent.append(message)

    headers = [(b"host", host.encode())] + ([(b"origin", origin.encode())] if origin else [])
    gate = access.PageAccess(inner, hosts=("pictures.example",))
    asyncio.run(gate({"type": kind, "headers": headers}, receive, send))
    return sent


@pytest.mark.parametrize("kind", ["http", "websocket"])
@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("evil.example:8501", None),
        ("evil.example:8501", "http://evil.example:8501"),
        ("localhost:8501", "http://evil.example"),
        ("localhost:8501", "http://localhost:3000"),
        ("localhost:8501", "http://["),
        ("localhost.evil.example", None),
        ("", None),
    ],
)
def test_the_page_answers_no_other_site(kind: str, host: str, origin: str | None) -> None:
    (first, *_) = page_answer(kind, host, origin)
    expected = {"http": ("http.response.start", 400), "websocket": ("websocket.close", 1008)}
    assert (first["type"], first.get("status") or first.get("code")) == expected[kind]


@pytest.mark.parametrize("host", ["LOCALHOST:8501", "127.0.0.1", "[::1]:8501", "pictures.example"])
def test_the_page_answers_its_own_and_cannot_be_framed(host: str) -> None:
    for origin in (None, f"http://{host}"):
        (answer,) = page_answer("http", host, origin)
        assert answer["status"] == 200
        headers = {name.decode(): value.decode() for name, value in answer["headers"]}
        assert headers["x-frame-options"] == "DENY"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert f"ws://{host.lower()}" in headers["content-security-policy"]
