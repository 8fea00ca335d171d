"""The page forgets the old mask after words that were refused, absent or emptied."""

from __future__ import annotations

from pathlib import Path

import groundbrush
import pytest
from groundbrush.editor.masks.operations import Boxes

pytest.importorskip("streamlit.testing.v1")
from streamlit.testing.v1 import AppTest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("page")]
PAGE = Path(groundbrush.__file__).parent / "app" / "page" / "script.py"


def field(page: AppTest, name: str):
    (found,) = [w for w in page.text_input if (w.key or "").startswith(name)]
    return found


@pytest.fixture
def page() -> AppTest:
    made = AppTest.from_file(str(PAGE), default_timeout=120).run()
    made.button(key="example-fruit").click().run()
    field(made, "find-").set_value("the red apple").run()
    field(made, "paint-").set_value("a frog").run()
    assert not made.exception
    assert not made.button(key="go-paint").disabled
    return made


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("the zeppelin", id="refused"),
        pytest.param("the penguin", id="absent"),
        pytest.param("", id="emptied"),
    ],
)
def test_other_words_never_paint_the_old_mask(page, words):
    field(page, "find-").set_value(words).run()
    assert not page.exception
    mask = page.session_state["session"].mask
    assert page.button(key="go-paint").disabled or mask is None or not mask.mask.any()


def test_a_mask_can_be_cleared(page):
    page.session_state["todo"] = [{"kind": "clear"}]  # as the picture's Clear sends it
    page.run()
    mask = page.session_state["session"].mask
    assert mask is None or not mask.mask.any()
    assert not field(page, "find-").value, "words on the page name what is painted"
    page.session_state["todo"] = [{"kind": "undo"}]
    page.run()
    session = page.session_state["session"]
    assert field(page, "find-").value == session.find == session.found.phrase
    assert session.mask.mask.any()


def test_words_typed_while_a_mark_is_on_its_way_are_kept(page):
    page.session_state["todo"] = [{"kind": "clear"}]
    field(page, "find-").set_value("the banana").run()
    assert field(page, "find-").value == page.session_state["session"].find == "the banana"


@pytest.mark.parametrize("words", ["the zeppelin", "the penguin", ""])
def test_a_mask_drawn_by_hand_outlives_words(page, words):
    """Words drop the mask that came from words; strokes cannot be brought back."""
    page.session_state["todo"] = [{"kind": "clear"}, Boxes(((20, 20, 60, 60),))]
    page.run()
    field(page, "find-").set_value("the zeppelin on the left").run()
    field(page, "find-").set_value(words).run()
    session = page.session_state["session"]
    assert session.mask.mask[20:60, 20:60].all()
    assert session.mask.mask.sum() == 40 * 40
    assert not session.find
