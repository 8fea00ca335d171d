"""Drives the page in Debian's Chromium, by Playwright: for the tests, and for `record.py`.

Set GROUNDBRUSH_SCREENSHOTS to a folder to have the steps pictured there, as docs/app.md shows them.
"""

from __future__ import annotations

import json
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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
ROOT = Path(__file__).parents[3]
SHOTS = os.environ.get("GROUNDBRUSH_SCREENSHOTS")
SLOW = 120_000  # milliseconds; a loaded machine takes its time
AXE = Path(os.environ.get("GROUNDBRUSH_AXE", ROOT / "node_modules/axe-core/axe.min.js"))
FIND, PAINT = "What to find, or what to do", "What to paint instead"
LAPTOP, DESKTOP = {"width": 1280, "height": 800}, {"width": 1920, "height": 1080}
PHONE: dict[str, Any] = {
    "viewport": {"width": 390, "height": 844},
    "has_touch": True,
    "is_mobile": True,
}
LAYOUT = (Path(__file__).with_name("layout.js")).read_text("utf-8")
"""Finds what is cut off, covered, outside the window, or disabled without a reason."""


@contextmanager
def chromium() -> Iterator[Any]:
    """The browser; it ends with the block."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        made = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"], timeout=SLOW
        )
        yield made
        made.close()


@contextmanager
def serve(log: Path) -> Iterator[tuple[str, int]]:
    """`groundbrush app` on a free port: its address and its process."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "-m", "groundbrush", "app", "--port", str(port)],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            env={**os.environ, "STREAMLIT_SERVER_HEADLESS": "true"},
        )
    url = f"http://localhost:{port}"
    try:
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"{url}/_stcore/health", timeout=2).close()
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.1)
        else:
            raise AssertionError(log.read_text())
        assert "Network URL" not in log.read_text()  # no other user can open it
        yield url, server.pid
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    with socket.socket() as gone:  # the command ended, and the server with it
        assert gone.connect_ex(("127.0.0.1", port)) != 0


class Page:
    """One browser session, and its steps in the words of the page."""

    def __init__(
        self, context: Any, address: str, size: dict[str, int] = LAPTOP, scheme: str = "light"
    ) -> None:
        self.context = context
        self.page = context.new_page()
        self.page.set_default_timeout(SLOW)
        self.page.set_viewport_size(size)
        self.page.emulate_media(color_scheme=scheme)
        self.hosts: set[str] = set()
        self.problems: list[str] = []
        self.page.on("request", self.asked)
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.goto(address)
        self.see("Choose a picture")

    def asked(self, request) -> None:
        kind, _, rest = request.url.partition("://")
        self.hosts.add(rest.split("/")[0] if kind in ("http", "https", "ws") else "inline")

    def see(self, words: str | re.Pattern) -> None:
        self.page.get_by_text(words).locator("visible=true").first.wait_for()

    def button(self, name: str):
        return self.page.get_by_role("button", name=name, exact=True).locator("visible=true").first

    def press(self, name: str) -> None:
        self.button(name).click()

    def tool(self, name: str) -> None:
        self.press(name)
        assert self.button(name).get_attribute("aria-pressed") == "true"

    def field(self, label: str):
        return self.page.get_by_label(label, exact=True)

    def write(self, label: str, words: str) -> None:
        self.field(label).fill(words)
        self.field(label).press("Enter")

    def settle(self) -> None:
        """Wait until the page has run and is drawn."""
        self.page.wait_for_timeout(50)  # what was pressed is on its way
        self.page.wait_for_function(
            """() =>
            document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
            && !document.querySelector('[data-stale=true], [data-testid=stSkeleton]')"""
        )

    @property
    def canvas(self):
        return self.page.locator("canvas[role=application]")

    def ready(self) -> None:
        self.page.locator(".gb[data-ready]").wait_for()
        self.settle()

    def open(self, example: str) -> None:
        """Open an example; it brings its words, and what they name is found."""
        self.press(example)
        self.see("The mask covers")
        self.ready()

    def clear(self) -> None:
        """Take the words out, and with them the mask."""
        self.write(FIND, "")
        self.see("Name a thing in the picture")
        self.settle()
        self.field(FIND).blur()

    def find(self, words: str) -> None:
        self.write(FIND, words)
        self.see("The mask covers")
        self.settle()

    def covered(self, holds: Callable[[float], bool] = lambda share: True) -> float:
        """The mask's share of the picture in percent, as soon as it is as expected."""
        share, end = float("nan"), time.monotonic() + SLOW / 1000
        while time.monotonic() < end:
            words = self.page.get_by_text("The mask covers").first.inner_text()
            share = float(re.search(r"([\d.]+)%", words).group(1))
            if holds(share):
                return share
            self.page.wait_for_timeout(30)
        raise AssertionError(f"the mask covers {share}%")

    def set(self, steps: int, variants: int | None = None) -> None:
        """Set what is behind Settings, then fold it away; 8 variants are the most."""
        self.press("Settings")
        field = self.page.get_by_label("Steps", exact=True)
        field.fill(str(steps))
        field.press("Enter")
        slider = self.page.get_by_role("slider", name="Results to choose from")
        if variants is not None:
            slider.press("End" if variants == 8 else "Home")
        for _ in range((variants or 1) - 1 if variants != 8 else 0):
            slider.press("ArrowRight")
        self.settle()
        self.page.keyboard.press("Escape")
        field.wait_for(state="hidden")

    def point(self, x: float, y: float) -> tuple[float, float]:
        """Shares of the picture as a place on the screen."""
        self.canvas.scroll_into_view_if_needed()
        box, (left, top, width, height) = self.canvas.bounding_box(), self.view
        return box["x"] + left + x * width, box["y"] + top + y * height

    @property
    def view(self) -> list[float]:
        """Where the picture lies in its frame: left, top, width, height."""
        self.page.wait_for_timeout(50)  # the next frame is drawn
        return json.loads(self.page.locator(".gb").get_attribute("data-view"))

    def click(self, x: float, y: float, button: str = "left") -> None:
        self.page.mouse.click(*self.point(x, y), button=button)

    def drag(self, *path: tuple[float, float]) -> None:
        self.page.mouse.move(*self.point(*path[0]))
        self.page.mouse.down()
        for place in path[1:]:
            self.page.mouse.move(*self.point(*place), steps=4)
        self.page.mouse.up()

    def save(self, name: str) -> bytes:
        """What a button downloads."""
        self.settle()  # the button may still be that of the run before
        with self.page.expect_download() as waiting:
            self.press(name)
        return Path(waiting.value.path()).read_bytes()

    def shot(self, name: str, top: str = "") -> None:
        if not SHOTS:
            return
        self.settle()
        first = self.page.get_by_text(top or "Groundbrush").locator("visible=true").first
        first.evaluate("e => e.scrollIntoView({block: 'start'})")
        self.page.mouse.move(2, 2)
        self.page.wait_for_timeout(700)  # what fades or slides has done so
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=Path(SHOTS) / f"{name}.png")

    def faults(self) -> list[list[str]]:
        """Serious faults of this screen against WCAG 2.1 AA, as axe-core finds them."""
        self.settle()
        self.page.evaluate(AXE.read_text("utf-8"))
        return self.page.evaluate(
            """async () => (await axe.run(document,
               {runOnly: ['wcag2a', 'wcag2aa', 'wcag21aa']})).violations
               .filter(fault => ['serious', 'critical'].includes(fault.impact))
               .map(fault => [fault.id, fault.nodes[0].html])"""
        )

    def upload(self, file: Path, saved: bool = False) -> None:
        """Give a file to the first screen: a picture, or a saved session."""
        self.see("Choose a picture")
        self.settle()
        fields = self.page.locator("input[type=file]")
        (fields.last if saved else fields.first).set_input_files(file)

    def tidy(self) -> None:
        """Nothing is cut off, covered or outside the window, in either scheme."""
        self.settle()
        assert self.page.evaluate(LAYOUT) == []

    def close(self) -> None:
        self.page.close()
        assert self.problems == []
