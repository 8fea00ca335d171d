"""The page forgets the old mask after words that were refused, absent or emptied."""

from __future__ import annotations

from pathlib import Path

import groundbrush
import pytest

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


STAYS = pytest.mark.xfail(strict=True, reason="the old mask stays, and Paint would paint it")


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("the zeppelin", id="refused", marks=STAYS),
        pytest.param("the penguin", id="absent"),
        pytest.param("", id="emptied", marks=STAYS),
    ],
)
def test_other_words_never_paint_the_old_mask(page, words):
    field(page, "find-").set_value(words).run()
    assert not page.exception
    mask = page.session_state["session"].mask
    assert page.button(key="go-paint").disabled or mask is None or not mask.mask.any()


@pytest.mark.xfail(strict=True, reason="there is no way to clear a mask")
def test_a_mask_can_be_cleared(page):
    (clear,) = [b for b in page.button if "clear" in f"{b.key} {b.label}".lower()]
    clear.click().run()
    mask = page.session_state["session"].mask
    assert mask is None or not mask.mask.any()
