"""The page in a real browser: Debian's Chromium, driven by Playwright, the server our own command.

Set GROUNDBRUSH_SCREENSHOTS to a folder to have the steps pictured there, as docs/app.md shows them.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from editor import Editor
from editor.images import open_picture, read_recipe

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
                None)  # fmt: skip
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="no browser found; on Debian: apt install chromium"
    ),
    pytest.mark.skipif(
        not os.environ.get("GROUNDBRUSH_BROWSER"),
        reason="minutes long; set GROUNDBRUSH_BROWSER=1 to drive the page in Chromium",
    ),
]
ROOT = Path(__file__).parents[1]
SHOTS = os.environ.get("GROUNDBRUSH_SCREENSHOTS")
SLOW = 180_000  # milliseconds; a loaded machine takes its time


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`groundbrush app` on a free port, with its own log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "editor", "app", "--port", str(port)], cwd=ROOT, stdout=out,
            stderr=out, env={**os.environ, "STREAMLIT_SERVER_HEADLESS": "true"},
            start_new_session=True,
        )  # fmt: skip
    url = f"http://localhost:{port}"
    try:
        for _ in range(300):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
        yield url
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)


@pytest.fixture(scope="module")
def browser() -> Iterator:
    with sync_api.sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield made
        made.close()


class Page:
    """One browser session, and its steps in the words of the page."""

    def __init__(self, browser, address: str, **options) -> None:
        size = {"width": 1280, "height": 960}
        self.context = browser.new_context(**{"viewport": size, **options})
        self.context.set_default_timeout(SLOW)
        self.page = self.context.new_page()
        self.hosts: set[str] = set()
        self.problems: list[str] = []
        self.page.on("request", lambda r: self.hosts.add(r.url.split("/")[2] if "//" in r.url
                                                         else "inline"))  # fmt: skip
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(address)
        self.see("Choose a picture")

    def see(self, words: str) -> None:
        self.page.get_by_text(words).locator("visible=true").first.wait_for()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).locator("visible=true").first.click()

    def write(self, label: str, words: str) -> None:
        field = self.page.get_by_role("textbox", name=label, exact=True)
        field.fill(words)
        field.press("Enter")

    def settle(self) -> None:
        """Wait until the page has run and is drawn."""
        self.page.wait_for_timeout(300)
        self.page.wait_for_function(
            "!document.querySelector('[data-testid=stStatusWidget], [data-stale=true]')"
        )
        self.page.wait_for_timeout(300)

    def open(self, example: str) -> None:
        self.press(example)
        self.see("Say what to find")

    def find(self, words: str) -> None:
        self.write("What to find", words)
        self.see("The mask covers")
        self.settle()

    def covered(self, holds: Callable[[float], bool] = lambda share: True) -> float:
        """The mask's share of the picture in percent, as soon as it is as expected."""
        share = float("nan")
        for _ in range(120):
            self.settle()
            words = self.page.get_by_text(re.compile("The mask covers")).first.inner_text()
            share = float(re.search(r"([\d.]+)%", words).group(1))
            if holds(share):
                return share
        raise AssertionError(f"the mask covers {share}%")

    def steps(self, count: int, variants: int = 1) -> None:
        """Set what the sidebar has, then fold it away."""
        self.page.get_by_test_id("stExpandSidebarButton").click()
        field = self.page.get_by_label("Steps", exact=True)
        if not field.is_visible():
            self.page.get_by_text("Painting", exact=True).click()
        field.fill(str(count))
        field.press("Enter")
        slider = self.page.get_by_role("slider", name="Variants")
        slider.press("Home")
        for _ in range(variants - 1):
            slider.press("ArrowRight")
        self.settle()
        self.page.get_by_test_id("stSidebarCollapseButton").get_by_role("button").click()
        self.settle()

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Shares of the picture as a place on the screen."""
        box = self.page.locator("canvas[role=application]").bounding_box()
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def shot(self, name: str) -> None:
        if SHOTS:
            self.settle()
            self.page.mouse.move(2, 2)
            Path(SHOTS).mkdir(parents=True, exist_ok=True)
            self.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    def fits(self) -> bool:
        """Nothing is wider than the window."""
        return self.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def page(browser, address: str) -> Iterator[Page]:
    made = Page(browser, address)
    yield made
    made.close()
    assert made.problems == []


def test_the_whole_flow(page: Page, miniature: Editor, tmp_path: Path) -> None:
    page.shot("1-choose")
    page.open("fruit")
    page.find("the red apple")
    page.shot("2-found")
    found = page.covered()

    page.page.mouse.click(*page.point(0.72, 0.56))  # the car
    page.covered(lambda share: share > found)
    page.press("↶ Undo")
    page.covered(lambda share: share == found)
    page.press("Brush")
    page.page.mouse.move(*page.point(0.1, 0.9))
    page.page.mouse.down()
    page.page.mouse.move(*page.point(0.3, 0.9), steps=5)
    page.page.mouse.up()
    brushed = page.covered(lambda share: share > found)
    page.press("Eraser")
    page.page.mouse.move(*page.point(0.08, 0.9))
    page.page.mouse.down()
    page.page.mouse.move(*page.point(0.32, 0.9), steps=5)
    page.page.mouse.up()
    page.covered(lambda share: share < brushed)
    page.shot("3-corrected")

    page.steps(200, variants=8)
    page.write("What to paint instead", "a green pear")
    page.settle()
    page.press("Paint")
    page.page.get_by_text(re.compile("painting: step")).first.wait_for()
    page.shot("4-painting")
    page.press("Cancel")
    page.see("stopped on request")

    page.steps(6, variants=2)
    assert page.page.get_by_role("textbox", name="What to paint instead").input_value() == (
        "a green pear"
    )
    page.press("Paint")
    page.see("Compare and keep")
    page.settle()
    page.shot("5-compare")
    with page.page.expect_download() as waiting:
        page.press("Download PNG with its recipe")
    file = tmp_path / "edited.png"
    waiting.value.save_as(file)
    source = ROOT / "examples" / "fruit.png"
    again = miniature.run(read_recipe(file), source)
    assert (open_picture(file).pixels == again.image).all()

    page.press("Keep and continue")
    page.see("the red apple: a green pear")
    page.settle()
    page.shot("6-history")
    assert page.hosts - {"inline"} == {page.page.url.split("/")[2]}


def test_why_and_several_things(page: Page) -> None:
    page.open("balloons")
    page.find("the bus")
    page.page.get_by_text("Why here?").click()
    page.press("Show what the model looked at")
    page.see("all heads together")
    page.page.get_by_text("all heads together").scroll_into_view_if_needed()
    page.shot("7-why")
    page.page.get_by_role("tab", name="Several things").click()
    page.write("Sentence", "a green balloon, a bus and two orange balloons")
    page.see("Panoptic PNG")
    page.write("What to do", "remove the bus and make the green balloon red")
    page.press("Make a plan")
    page.see("Run all")
    page.shot("8-several")


def test_uploads_large_and_wrong(page: Page, tmp_path: Path) -> None:
    diary = tmp_path / "diary.jpg"
    diary.write_text("dear diary")
    page.page.locator("input[type=file]").first.set_input_files(diary)
    page.see("'diary.jpg'")
    large = tmp_path / "large.jpg"
    ramp = np.linspace(0, 255, 6000, dtype=np.uint8)
    Image.fromarray(np.broadcast_to(ramp[None, :, None], (4000, 6000, 3)).copy()).save(large)
    page.page.locator("input[type=file]").first.set_input_files(large)
    page.see("Say what to find")
    page.settle()
    canvas = page.page.locator("canvas[role=application]")
    assert canvas.evaluate("c => [c.width, c.height]") == [1024, 683]


def test_two_sessions_and_a_closed_page(browser, address: str) -> None:
    first, second = Page(browser, address), Page(browser, address)
    try:
        for one, example, thing in (
            (first, "fruit", "the red apple"),
            (second, "penguin", "the penguin"),
        ):
            one.open(example)
            one.find(thing)
        assert second.page.get_by_role("textbox", name="What to find").input_value() == (
            "the penguin"
        )
        first.steps(200, variants=8)
        first.write("What to paint instead", "a frog")
        first.settle()
        first.press("Paint")
        first.page.get_by_text(re.compile("painting: step")).first.wait_for()
        second.steps(3)
        second.write("What to paint instead", "a frog")
        second.settle()
        second.press("Paint")
        second.page.get_by_text(re.compile("In line: 1 before you")).wait_for()
        first.close()  # its painting is stopped, so the other's turn comes
        second.see("Compare and keep")
    finally:
        second.close()


def test_at_phone_width_and_in_the_dark(browser, address: str) -> None:
    phone = Page(browser, address, viewport={"width": 390, "height": 844}, color_scheme="dark",
                 has_touch=True)  # fmt: skip
    try:
        phone.open("fruit")
        phone.find("the red apple")
        assert phone.fits()
        phone.shot("9-phone")
    finally:
        phone.close()
