"""The page in a real browser: Debian's Chromium, driven by Playwright, the server our own command.

Set GROUNDBRUSH_SCREENSHOTS to a folder to have the steps pictured there, as docs/app.md shows them.
"""

from __future__ import annotations

import io
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
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from groundbrush import Editor
from groundbrush.editor.pictures.picture import Picture, open_picture, read_recipe
from PIL import Image

sync_api = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
)
CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="no browser found; on Debian: apt install chromium"
    ),
    pytest.mark.skipif(
        os.environ.get("GROUNDBRUSH_BROWSER") == "0", reason="GROUNDBRUSH_BROWSER=0 leaves it out"
    ),
    pytest.mark.xdist_group("browser"),  # with --dist loadgroup: one server for all of them
]
ROOT = Path(__file__).parents[3]
SHOTS = os.environ.get("GROUNDBRUSH_SCREENSHOTS")
SLOW = 120_000  # milliseconds; a loaded machine takes its time
AXE = Path(os.environ.get("GROUNDBRUSH_AXE", ROOT / "node_modules/axe-core/axe.min.js"))
FIND = "What to find, or what to do"
ORANGE = (0.24, 0.6)
"""A balloon in its example, as shares of width and height."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`groundbrush app` on a free port, with its own log."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("app") / "log.txt"
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
        yield url
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(60)
    with socket.socket() as gone:  # the command ended, and the server with it
        assert gone.connect_ex(("127.0.0.1", port)) != 0


class Page:
    """One browser session, and its steps in the words of the page."""

    def __init__(self, browser, address: str, **options) -> None:
        size = {"width": 1280, "height": 960}
        self.context = browser.new_context(**{"viewport": size, **options})
        self.context.set_default_timeout(SLOW)
        self.page = self.context.new_page()
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
        return self.page.get_by_role("textbox", name=label, exact=True)

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

    def open(self, example: str, words: bool = False) -> None:
        """Open an example; without `words` those that it brings are taken out."""
        self.press(example)
        self.ready()
        if not words:
            self.write(FIND, "")
            self.see("Name a thing in the picture")
            self.field("What to paint instead").fill("")
            self.field("What to paint instead").press("Tab")
            self.settle()

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

    def set(self, steps: int, variants: int = 1) -> None:
        """Set what is behind Settings, then fold it away."""
        self.press("Settings")
        field = self.page.get_by_label("Steps", exact=True)
        field.fill(str(steps))
        field.press("Enter")
        slider = self.page.get_by_role("slider", name="Results to choose from")
        slider.press("Home")
        for _ in range(variants - 1):
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

    def fits(self) -> bool:
        """Nothing is wider than the window."""
        return self.page.evaluate(
            """() => document.querySelector('[data-testid=stMain]').scrollWidth <= innerWidth &&
               document.documentElement.scrollWidth <= innerWidth"""
        )

    def close(self) -> None:
        self.context.close()


@pytest.fixture
def page(browser, address: str) -> Iterator[Page]:
    made = Page(browser, address)
    yield made
    made.close()
    assert made.problems == []


def picture_in(data: bytes, folder: Path, name: str = "result.png") -> tuple[Picture, Path]:
    path = folder / name
    path.write_bytes(data)
    return open_picture(path), path


def test_the_whole_flow(page: Page, miniature: Editor, tmp_path: Path) -> None:
    """Find, correct, cancel, paint, download, keep, continue, save, reopen."""
    page.shot("1-choose")
    page.open("fruit")
    page.see("Name a thing in the picture")
    assert page.button("Paint").is_disabled()
    page.find("the red apple")
    page.shot("2-found")
    found = page.covered()

    page.click(0.72, 0.56)  # the car
    both = page.covered(lambda share: share > found)
    page.shot("3-corrected")
    page.click(0.72, 0.56, button="right")
    page.covered(lambda share: abs(share - found) < 0.2)
    page.press("Undo")  # one after the other: two that wait together are one to Streamlit
    page.covered(lambda share: share == both)
    page.press("Undo")
    page.covered(lambda share: share == found)
    page.tool("Brush")
    page.drag((0.1, 0.9), (0.3, 0.9))
    page.drag((0.6, 0.9), (0.8, 0.9))  # begun before the first is taken: neither is lost
    brushed = page.covered(lambda share: share > found + 1.5 * 0.2 * 6)
    page.tool("Eraser")
    page.drag((0.06, 0.9), (0.84, 0.9))
    page.covered(lambda share: share < brushed and share <= found)

    page.set(200, variants=8)
    frame = page.canvas.bounding_box()
    page.write("What to paint instead", "a green pear")  # Enter paints
    page.see(re.compile("step [1-9]"))
    assert page.canvas.bounding_box() == frame  # nothing jumps
    page.shot("4-painting")
    page.press("Cancel")
    page.see("stopped on request")
    assert page.field("What to paint instead").input_value() == "a green pear"
    page.covered(lambda share: share <= found)  # the mask is still there

    page.set(14 if SHOTS else 2, variants=3 if SHOTS else 2)
    page.press("Paint")
    page.see("Compare and keep")
    assert page.canvas.bounding_box() == frame
    page.press("Show 2")
    page.button("✓ 2").wait_for()
    page.shot("5-compare")
    source = open_picture(ROOT / "examples" / "fruit.png")
    edited, file = picture_in(page.save("Download PNG with its recipe"), tmp_path)
    recipe = read_recipe(file)
    assert (recipe["paint"], recipe["seed"], recipe["variants"]) == ("a green pear", 1, 1)
    assert (edited.pixels == miniature.run(recipe, source).image).all()
    page.page.get_by_role("radio", name="jpg").click()
    assert page.save("Download JPG with its recipe")[:2] == b"\xff\xd8"
    page.see("lossy")

    page.press("Keep and continue")
    page.see("the red apple: a green pear")
    page.set(2)
    page.find("the banana")
    page.press("Remove it")
    page.see("Compare and keep")
    page.press("Keep and continue")
    page.see("the banana: removed")
    page.shot("6-history", top="History")
    page.page.get_by_role("radio", name="png").click()
    twice, _ = picture_in(page.save("Download PNG with its recipe"), tmp_path)
    page.page.get_by_text("The same edit as Python, as a command, as a recipe").click()
    page.page.get_by_role("tab", name="Recipe").click()
    with zipfile.ZipFile(io.BytesIO(page.save("Download the recipes"))) as archive:
        recipes = [json.loads(archive.read(name)) for name in archive.namelist()]
    assert [r["find"] for r in recipes] == ["the red apple", "the banana"]
    again = source
    for each in recipes:
        again = Picture(miniature.run(each, again).image)
    assert (twice.pixels == again.pixels).all()

    page.find("the car")
    share = page.covered()
    session = tmp_path / "fruit.groundbrush"
    session.write_bytes(page.save("Save the session"))
    page.press("Another picture")
    page.see("Back to the open picture")
    page.page.get_by_text("Open a saved session").click()
    page.upload(session, saved=True)
    page.ready()
    page.covered(lambda again: again == share)
    assert page.field(FIND).input_value() == "the car"
    again, _ = picture_in(page.save("Download PNG with its recipe"), tmp_path)
    assert (again.pixels == twice.pixels).all()
    assert page.hosts - {"inline"} == {page.page.url.split("/")[2]}


def test_marks_without_words_and_by_keys(page: Page) -> None:
    """The box tool, the keys, the keyboard alone; what is typed is no shortcut."""
    page.open("balloons")
    page.page.keyboard.press("b")
    assert page.button("Box").get_attribute("aria-pressed") == "true"
    page.page.get_by_label("the object in it").uncheck()
    page.drag((0.1, 0.1), (0.3, 0.2))
    page.covered(lambda share: abs(share - 2) < 0.2)  # the rectangle itself
    page.page.keyboard.press("x")
    page.see("Drag a box around what to take away")
    page.drag((0.05, 0.05), (0.35, 0.25))
    page.covered(lambda share: share == 0)
    page.page.keyboard.press("x")
    page.page.get_by_label("the object in it").check()
    page.drag((0.62, 0.2), (0.88, 0.55))
    balloon = page.covered(lambda share: 2 < share < 8)  # 26% x 35% would be 9%
    page.page.keyboard.press("u")
    page.covered(lambda share: share == 0)
    page.page.keyboard.press("r")
    page.covered(lambda share: share == balloon)
    page.page.keyboard.press("Shift+C")
    page.covered(lambda share: share == 0)
    page.page.keyboard.press("Control+z")
    page.covered(lambda share: share == balloon)
    page.page.keyboard.press("i")
    page.covered(lambda share: abs(share - (100 - balloon)) < 0.2)
    page.page.keyboard.press("Control+z")
    page.covered(lambda share: share == balloon)
    page.page.keyboard.press("Control+Shift+Z")
    page.covered(lambda share: share > 90)
    page.page.keyboard.press("u")
    page.page.keyboard.press("l")
    page.drag((0.02, 0.7), (0.22, 0.7), (0.22, 0.9), (0.02, 0.9))
    page.covered(lambda share: abs(share - balloon - 4) < 0.3)  # what the loop encloses
    page.page.keyboard.press("c")
    page.canvas.focus()
    for _ in range(10):
        page.page.keyboard.press("ArrowUp")
    page.page.keyboard.press("Enter")
    clicked = page.covered(lambda share: abs(share - balloon - 4) > 0.3)
    page.page.keyboard.press("p")
    page.page.keyboard.press("]")
    assert page.page.get_by_label("Brush size").input_value() == "0.035"
    page.page.keyboard.press("Enter")  # begins a stroke at the cross
    for _ in range(6):
        page.page.keyboard.press("Shift+ArrowLeft")
    page.page.keyboard.press("Enter")
    page.covered(lambda share: share != clicked)
    field = page.field(FIND)
    field.press_sequentially("eprubx")
    assert field.input_value() == "eprubx"
    assert page.button("Brush").get_attribute("aria-pressed") == "true"


def test_why_and_several_things(page: Page) -> None:
    page.open("balloons")
    page.write(FIND, "the bus")
    page.see("Found. If a part")
    page.page.get_by_text("Why here?").click()
    page.press("Show what the model looked at")
    page.see("all heads together")
    page.shot("7-why", top="Why here?")
    page.write(FIND, "a green balloon, a bus and two orange balloons")
    page.see("Panoptic PNG")
    assert Image.open(io.BytesIO(page.save("Panoptic PNG"))).size == (256, 256)
    assert json.loads(page.save("Panoptic JSON"))
    cut_out = Image.open(io.BytesIO(page.save("Cut-out")))
    assert (cut_out.mode, cut_out.size) == ("RGBA", (256, 256))
    shown = page.canvas.evaluate("c => c.toDataURL()")
    page.page.get_by_role("checkbox").first.uncheck(force=True)
    page.settle()
    page.page.wait_for_timeout(200)
    assert page.canvas.evaluate("c => c.toDataURL()") != shown
    page.page.get_by_role("checkbox").first.check(force=True)
    page.shot("8-several")
    page.set(2)
    page.write(FIND, "remove the bus and make the green balloon red")
    page.see("Run all")
    page.shot("9-plan")
    page.press("Run all")
    page.see("Compare and keep")
    page.page.locator(".st-key-keep button:focus").wait_for()  # what had it is gone
    page.press("Keep and continue")
    page.see("the bus: removed")


def test_uploads_large_and_wrong(page: Page, tmp_path: Path) -> None:
    page.open("fruit")
    page.find("the banana")
    share = page.covered()
    page.press("Another picture")
    diary = tmp_path / "diary.jpg"
    diary.write_text("dear diary")
    page.upload(diary)
    page.see("'diary.jpg'")
    page.shot("11-refused")
    page.press("Back to the open picture")
    page.covered(lambda again: again == share)  # nothing is lost
    page.press("Another picture")
    large = tmp_path / "large.jpg"
    scene = Image.open(ROOT / "examples" / "fruit.png").convert("RGB").resize((4000, 4000))
    wide = Image.new("RGB", (6000, 4000), (60, 150, 140))
    wide.paste(scene, (1000, 0))
    wide.save(large, quality=85)
    page.upload(large)
    page.see("Name a thing in the picture")
    page.ready()
    assert abs(page.view[2] / page.view[3] - 1.5) < 0.01
    tiles = []
    page.page.on("response", lambda r: "/picture/" in r.url and tiles.append((r.status, r.url)))
    page.page.keyboard.press("1")  # actual size: what is seen comes in tiles of the picture itself
    page.page.wait_for_timeout(500)
    assert page.view[2] == 6000
    assert tiles
    assert all(status == 200 and re.search(r"/0/[0-5]/[0-3]$", url) for status, url in tiles)
    page.page.keyboard.press("0")
    page.click(0.5, 0.87)  # the banana
    page.covered(lambda share: 0.3 < share < 30)
    for kind, size in (("drop", [40, 30]), ("paste", [20, 40])):  # anywhere on the page
        page.page.evaluate(
            """async ([kind, [width, height]]) => {
               const picture = new OffscreenCanvas(width, height);
               picture.getContext('2d').fillRect(0, 0, 9, 9);
               const blob = await picture.convertToBlob();
               const data = new DataTransfer();
               data.items.add(new File([blob], 'given.png', { type: 'image/png' }));
               const event = kind === 'drop'
                 ? new DragEvent(kind, { dataTransfer: data, bubbles: true })
                 : new ClipboardEvent(kind, { clipboardData: data, bubbles: true });
               document.body.dispatchEvent(event); }""",
            [kind, size],
        )
        end = time.monotonic() + SLOW / 1000
        while abs(page.view[2] / page.view[3] - size[0] / size[1]) > 0.01:
            assert time.monotonic() < end, f"the picture of the {kind} is not open"


def test_a_reload_brings_everything_back(page: Page) -> None:
    asked: list[str] = []
    page.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.open("fruit")
    page.find("the red apple")
    share = page.covered()
    page.field("What to paint instead").fill("a green pear")
    page.field("What to paint instead").press("Tab")
    page.settle()
    page.set(2)
    page.page.reload()
    page.ready()
    page.covered(lambda again: again == share)
    page.press("Settings")
    assert page.page.get_by_label("Steps", exact=True).input_value() == "2"
    page.page.keyboard.press("Escape")
    assert page.field(FIND).input_value() == "the red apple"
    assert page.field("What to paint instead").input_value() == "a green pear"
    assert asked == []  # nothing is painted yet
    page.press("Paint")
    page.see("Compare and keep")
    page.settle()
    page.page.reload()
    page.see("Compare and keep")
    assert asked == ["beforeunload"]
    page.page.go_back()
    page.see("Back to the open picture")
    page.page.go_forward()
    page.see("Compare and keep")
    page.save("Download PNG with its recipe")
    page.page.reload()
    page.see("Compare and keep")
    assert asked == ["beforeunload"]


def test_two_sessions_and_a_closed_page(browser, address: str) -> None:
    first, second = Page(browser, address), Page(browser, address)
    try:
        for one, example, thing in (
            (first, "fruit", "the red apple"),
            (second, "penguin", "the penguin"),
        ):
            one.open(example)
            one.find(thing)
        assert first.field(FIND).input_value() == "the red apple"
        assert second.field(FIND).input_value() == "the penguin"
        second.set(2)
        first.set(200, variants=8)
        first.write("What to paint instead", "a frog")
        first.see(re.compile("step [1-9]"))
        second.write("What to paint instead", "a frog")
        second.see("In line: 1 before you")
        second.shot("12-in-line")
        first.close()  # its painting is stopped, so the other's turn comes
        second.see("Compare and keep")
        assert second.problems == []
    finally:
        second.close()


def test_at_phone_width_in_the_dark_by_finger_and_pen(browser, address: str) -> None:
    phone = Page(
        browser,
        address,
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        has_touch=True,
        is_mobile=True,
    )
    try:
        assert phone.fits()
        phone.open("balloons")
        ground = phone.page.evaluate(
            "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"
        )
        assert all(int(value) < 60 for value in re.findall(r"\d+", ground)[:3])  # dark
        box = phone.canvas.bounding_box()
        assert box["y"] >= 0  # its top is shown, however far down the example was
        assert box["y"] + box["height"] <= 844
        phone.see("Tap a part to add it.")
        phone.page.touchscreen.tap(*phone.point(*ORANGE))
        tapped = phone.covered(lambda share: share > 0.5)
        phone.tool("Brush")
        devtools = phone.context.new_cdp_session(phone.page)
        for kind, places in (
            ("touchStart", [(0.1, 0.15)]),
            ("touchMove", [(0.2, 0.15)]),
            ("touchMove", [(0.3, 0.15)]),
            ("touchEnd", []),
        ):
            points = [dict(zip("xy", phone.point(*p), strict=True)) for p in places]
            devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        stroked = phone.covered(lambda share: share > tapped)
        for kind, place in (
            ("mousePressed", (0.6, 0.15)),
            ("mouseMoved", (0.8, 0.15)),
            ("mouseReleased", (0.8, 0.15)),
        ):
            x, y = phone.point(*place)
            devtools.send(
                "Input.dispatchMouseEvent",
                {
                    "type": kind,
                    "x": x,
                    "y": y,
                    "button": "left",
                    "buttons": 1,
                    "clickCount": 1,
                    "pointerType": "pen",
                },
            )
        phone.covered(lambda share: share > stroked)
        for before in (stroked, tapped):
            phone.press("Undo")
            phone.covered(lambda share, before=before: share == before)
        phone.write(FIND, "the green balloon")
        phone.see("Found. If a part")
        phone.shot("10-phone")
        assert phone.fits()
        for label in (FIND, "What to paint instead"):  # both on the first screen
            place = phone.field(label).bounding_box()
            assert place["y"] + place["height"] <= 844
        assert phone.problems == []
    finally:
        phone.close()


@pytest.mark.skipif(
    not AXE.is_file(),
    reason="axe-core not found, so WCAG 2.1 AA is not checked: npm install --no-save axe-core",
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_screen_has_a_serious_fault_of_access(browser, address: str, scheme: str) -> None:
    page = Page(browser, address, color_scheme=scheme)
    try:
        assert page.faults() == []
        page.open("balloons")
        page.set(2, variants=2)
        page.find("the bus")
        assert page.faults() == []
        page.write("What to paint instead", "a frog")
        page.see("Compare and keep")
        assert page.faults() == []
        page.press("Keep and continue")
        page.see("the bus: a frog")
        for words, seen in (
            ("a green balloon and two orange balloons", "Panoptic PNG"),
            ("remove the green balloon", "Run all"),
        ):
            page.write(FIND, words)
            page.see(seen)
            assert page.faults() == []
        page.page.set_viewport_size({"width": 390, "height": 844})
        assert page.faults() == []
    finally:
        page.close()
