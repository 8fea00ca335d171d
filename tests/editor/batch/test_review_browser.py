"""The review sheet in a real browser: its filters, and words that would be programs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_editor import FakeEditor, picture_file
from groundbrush.editor.batch import BatchJob, read_manifest, run_batch

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no browser found; on Debian: apt install chromium"
)
EVIL = "<script>document.title='taken'</script><img src=x onerror=\"document.title='taken'\">"
SLOW = 120_000  # milliseconds; a loaded machine takes its time
ROWS = [
    {"id": "one", "find": "the cup", "paint": "a vase"},
    {"id": "two", "find": "the ambiguous cup", "paint": "a vase"},
    {"id": "three", "find": "the refused cup", "paint": "a vase"},
    {"id": "four", "find": f"the dog {EVIL}", "paint": EVIL},
    {"id": "five", "find": "the hat"},
]


@pytest.fixture
def page(memory: Path) -> Iterator[Any]:
    """The sheet of a batch of five rows, and what the page requested."""
    picture = picture_file(memory / "a<script>alert(1)<script>&.png")
    lines = [json.dumps({"image": picture.name, **row}) for row in ROWS]
    (memory / "m.jsonl").write_text("\n".join(lines))
    run_batch(BatchJob(read_manifest(memory / "m.jsonl"), memory / "out"), FakeEditor)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=SLOW
        )
        page = browser.new_page()
        page.set_default_timeout(SLOW)
        page.asked, page.problems = [], []
        page.on("request", lambda request: page.asked.append(request.url))
        page.on("console", lambda message: page.problems.append(message.text))
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("dialog", lambda dialog: page.problems.append(dialog.message))
        page.goto((memory / "out/review.html").as_uri())
        yield page
        browser.close()


def shown(page: Any) -> list[str]:
    """The numbers of the rows one sees.

    Text content, not inner text: rows off the screen are not laid out (``content-visibility``),
    so that their inner text is empty until the browser has drawn them.
    """
    titles = page.locator("article:visible h2").all_text_contents()
    return [re.search(r"(\d+)\.", title).group(1) for title in titles]


def test_the_filters_show_what_they_say(page: Any) -> None:
    assert shown(page) == ["1", "2", "3", "4", "5"]
    for name, rows in [("done 3", ["1", "4", "5"]), ("held 1", ["2"]), ("failed 1", ["3"])]:
        button = page.get_by_role("button", name=name)
        button.click()
        assert shown(page) == rows
        assert button.get_attribute("aria-pressed") == "true"
        assert page.locator("#shown").inner_text() == f"{len(rows)} shown"
    assert page.locator("[aria-pressed=true]").count() == 1
    page.get_by_role("button", name="all 5").click()
    page.get_by_role("searchbox").fill("HAT")
    assert shown(page) == ["5"]
    assert page.get_by_role("button", name="check not passed").count() == 0  # all passed
    assert page.problems == []


def test_words_and_names_stay_words(page: Any) -> None:
    assert page.title() == "m.jsonl"
    assert EVIL in (page.locator("article h2").nth(3).text_content() or "")
    assert page.problems == []
    assert page.asked and all(url.startswith("file:///") for url in page.asked)
    broken = page.evaluate("[...document.images].filter(i => i.complete && !i.naturalWidth).length")
    assert broken == 0
