"""The page, driven by Streamlit's own test harness with the real miniature models."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("streamlit.testing.v1")
from streamlit.testing.v1 import AppTest

PAGE = Path(__file__).parents[1] / "app" / "main.py"


@pytest.fixture
def page() -> AppTest:
    return AppTest.from_file(str(PAGE), default_timeout=120)


def test_it_opens_with_an_example_and_says_what_to_do(page: AppTest) -> None:
    page.run()
    assert not page.exception
    assert "demo.png" in page.selectbox(key="example").options
    assert any("Name one thing" in info.value for info in page.info)


def test_find_and_paint(page: AppTest) -> None:
    page.run()
    page.selectbox(key="example").set_value("demo.png").run()
    page.text_input(key="find").set_value("the red apple").run()
    assert not page.exception
    assert not page.error
    assert page.button[0].label == "Remove"
    page.text_input(key="paint").set_value("a green pear").run()
    assert page.button[0].label == "Paint"
    page.button[0].click().run()
    assert not page.exception
    assert any("every other one is untouched" in c.value for c in page.caption)


def test_unknown_words_are_an_error_in_words(page: AppTest) -> None:
    page.run()
    page.text_input(key="find").set_value("the zeppelin").run()
    assert not page.exception
    assert "'zeppelin'" in page.error[0].value
