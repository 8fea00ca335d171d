"""Write what the page costs into docs/measured/page.md, and film it for docs/demo.webp.

    python -m groundbrush.tests.app.page.record [costs] [film]

Both drive the page of this checkout in Chromium, as the tests do, on the miniature.
"""

from __future__ import annotations

import io
import os
import platform
import statistics
import sys
import tempfile
import textwrap
import time
from collections import defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from groundbrush.editor.machine import processor
from groundbrush.tests.app.page.driver import FIND, PAINT, ROOT, Page, chromium, serve
from PIL import Image, ImageDraw

if TYPE_CHECKING:
    from playwright.sync_api import Locator

PAGE, FILM = ROOT / "docs" / "measured" / "page.md", ROOT / "docs" / "demo.webp"
HEAD = """# The page: cost of each action

Written by `python -m groundbrush.tests.app.page.record costs`: seconds until the result is on the
screen, and CPU seconds until the page is at rest.

"""
ROUNDS, STEPS = 5, 4
ACTIONS = ("find", "click", "stroke", "undo", "paint", "switch variant", "download")
WIDTH = 960
ARROW = ((0, 0), (0, 17), (4, 13), (7, 20), (10, 19), (7, 12), (12, 12))


def main() -> None:
    """Do what is named, or both."""
    wanted = sys.argv[1:] or ["costs", "film"]
    if set(wanted) - {"costs", "film"}:
        raise SystemExit((__doc__ or "").strip())
    with (
        tempfile.TemporaryDirectory() as folder,
        serve(Path(folder) / "log.txt") as (address, server),
        chromium() as browser,
    ):
        page = Page(browser.new_context(), address)
        page.open("fruit")  # the models are loaded
        if "costs" in wanted:  # with one tab: the browser slows those that are behind another
            write_costs(Costs(page, psutil.Process(server)).measure())
        if "film" in wanted:
            Film(Page(page.context, address)).play()


# ---------------------------------------------------------------- costs


class Costs:
    """Wall-clock seconds, and CPU seconds of the server and of the browser, of each action."""

    def __init__(self, page: Page, server: psutil.Process) -> None:
        self.page, self.server = page, server
        self.rows: dict[str, list[tuple[float, float, float]]] = defaultdict(list)

    def processors(self) -> tuple[float, float]:
        """CPU seconds so far of the server, and of the browser with what drives it."""
        used = []
        for process in (self.server, *psutil.Process().children(recursive=True)):
            if process.pid != self.server.pid or not used:
                times = process.cpu_times()
                used.append(times.user + times.system)
        return used[0], sum(used[1:])

    def time(self, action: str, do: Callable[[], object]) -> None:
        """Do it until its result is on the screen; then wait until the page is at rest."""
        self.page.settle()
        before, start = self.processors(), time.perf_counter()
        do()
        wall = time.perf_counter() - start
        self.page.settle()
        server, browser = (b - a for a, b in zip(before, self.processors(), strict=True))
        self.rows[action].append((wall, server, browser))

    def measure(self) -> dict[str, list[tuple[float, float, float]]]:
        """Every action so many times on the example ``fruit``."""
        page = self.page
        page.set(STEPS, variants=2)
        for k in range(ROUNDS):
            page.write(FIND, "")
            page.see("Name a thing in the picture")
            self.time("find", lambda: page.find("the red apple"))
            found = page.covered()

            def click(found: float = found) -> None:
                page.click(0.72, 0.56)  # the car
                page.covered(lambda share: share > found)

            def stroke(before: float) -> None:
                page.drag((0.1, 0.9), (0.3, 0.9))
                page.covered(lambda share: share > before)

            def undo(before: float) -> None:
                page.press("Undo")
                page.covered(lambda share: share == before)

            def paint() -> None:
                page.press("Paint")
                page.see("Compare and keep")

            def switch(number: int) -> None:
                page.press(f"Show {number}")
                page.button(f"✓ {number}").wait_for()

            page.tool("Click")
            self.time("click", click)
            both = page.covered()
            page.tool("Brush")
            self.time("stroke", lambda before=both: stroke(before))
            self.time("undo", lambda before=both: undo(before))
            page.field(PAINT).fill("a green pear")
            page.field(PAINT).press("Tab")
            self.time("paint", paint)
            self.time("switch variant", lambda: switch(2))
            self.time("download", lambda: page.save("Download PNG with its recipe"))
            page.press("Back to the mask")
            page.see("The mask covers")
            print(f"round {k + 1} of {ROUNDS}", file=sys.stderr)
        return self.rows


def write_costs(rows: dict[str, list[tuple[float, float, float]]]) -> None:
    """Write the table's page."""
    lines = [
        "| action | seconds | CPU seconds, server | CPU seconds, browser |",
        "|---|---|---|---|",
    ]
    for action in ACTIONS:
        medians = [statistics.median(column) for column in zip(*rows[action], strict=True)]
        lines.append(f"| {action} | {' | '.join(f'{value:.2f}' for value in medians)} |")
    about = (
        f"Medians of {ROUNDS}; painting: two results of {STEPS} steps at 256×256. "
        f"{datetime.now(UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, load "
        f"{os.getloadavg()[0]:.0f}, {platform.system()}: at a load above 1, trust the CPU seconds."
    )
    table = "\n".join([*textwrap.wrap(about, 118), "", *lines, ""])
    PAGE.write_text(HEAD + table, "utf-8")
    print(table)


# ---------------------------------------------------------------- the film


class Film:
    """Screenshots with a pointer drawn on them, each shown for some milliseconds."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[tuple[Image.Image, int]] = []
        self.shot = Image.new("RGB", (1, 1))
        self.pointer = (900.0, 560.0)

    def play(self) -> None:
        """Choose an example, find, click, undo, paint, compare; then write the file."""
        page = self.page
        self.see("Choose a picture", 1200)
        self.go(page.button("demo"))
        page.press("demo")
        page.ready()
        self.see("The mask covers", 1500)
        self.type(FIND, "the green apple on the right")
        self.see("Found", 1500)
        found = page.covered()
        self.go_to(*page.point(0.29, 0.2))  # another apple
        page.click(0.29, 0.2)
        page.covered(lambda share: share > found)
        self.see("The mask covers", 1300)
        self.go(page.button("Undo"))
        page.press("Undo")
        page.covered(lambda share: share == found)
        self.see("The mask covers", 900)
        self.type(PAINT, "a frog")
        while not page.button("Keep and continue").is_visible():
            self.take(250)
            page.page.wait_for_timeout(100)
        self.see("Compare and keep", 1300)
        self.go_to(*page.point(0.5, 0.5))
        page.page.mouse.down()
        for k in (*range(50, 85, 5), *range(85, 8, -5)):
            self.pointer = page.point(k / 100, 0.5)
            page.page.mouse.move(*self.pointer)
            page.page.wait_for_timeout(60)
            self.take(90)
        page.page.mouse.up()
        self.take(2500)
        self.save()

    def see(self, words: str, milliseconds: int) -> None:
        """Wait for words and for the page to be at rest; then show it."""
        self.page.see(words)
        self.page.settle()
        self.page.page.wait_for_timeout(500)  # what fades has done so
        self.take(milliseconds)

    def type(self, label: str, words: str) -> None:
        """Type words into a field, and press Enter."""
        field = self.page.field(label)
        self.go(field)
        field.fill("")
        for k in range(0, len(words), 2):
            field.press_sequentially(words[k : k + 2])
            self.take(110)
        field.press("Enter")

    def go(self, target: Locator) -> None:
        """Move the pointer onto a control."""
        box = target.bounding_box() or {"x": 0, "y": 0, "width": 0, "height": 0}
        self.go_to(box["x"] + min(box["width"] / 2, 60), box["y"] + box["height"] / 2)

    def go_to(self, x: float, y: float) -> None:
        """Move the pointer, over the last screenshot."""
        start = self.pointer
        for k in range(1, 7):
            share = k / 6
            self.pointer = (start[0] + (x - start[0]) * share, start[1] + (y - start[1]) * share)
            self.add(50)
        self.page.page.mouse.move(x, y)

    def take(self, milliseconds: int) -> None:
        """Add what is on the screen."""
        self.shot = Image.open(io.BytesIO(self.page.page.screenshot())).convert("RGB")
        self.add(milliseconds)

    def add(self, milliseconds: int) -> None:
        """Add the last screenshot with the pointer where it now is."""
        frame = self.shot.copy()
        x, y = self.pointer
        places = [(x + 1.6 * dx, y + 1.6 * dy) for dx, dy in ARROW]
        ImageDraw.Draw(frame).polygon(places, "black", "white", 2)
        size = WIDTH, round(WIDTH * frame.height / frame.width)
        self.frames.append((frame.resize(size, Image.Resampling.LANCZOS), milliseconds))

    def save(self) -> None:
        """Write every frame into one file."""
        pictures, shown = zip(*self.frames, strict=True)
        pictures[0].save(
            FILM,
            save_all=True,
            append_images=pictures[1:],
            duration=list(shown),
            loop=0,
            quality=80,
            method=4,
            kmax=200,
        )
        print(f"{FILM}: {len(pictures)} frames, {sum(shown) / 1000:.0f} s, {FILM.stat().st_size:,}")


if __name__ == "__main__":
    main()
