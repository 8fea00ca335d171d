"""The canvas alone in Chromium: its files in an empty page, no server and no models."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from groundbrush.app.page.canvas import outlines
from groundbrush.app.page.tiles import jpeg, level_count, tile
from groundbrush.tests.app.page.driver import SLOW
from groundbrush.tests.app.page.test_browser import pytestmark  # noqa: F401

W, H = 6000, 4000
WHERE = (0.25, 0.5)
HTML = """<!doctype html><meta name=viewport content="width=device-width">
<style>:root { --st-primary-color: #c33; --st-font: sans-serif;
--st-border-color: #888; --st-text-color: #222; --st-background-color: #fff;
--st-secondary-background-color: #eee } body { margin: 0 } %s</style>%s<script type=module>%s
window.sent = [];
window.give = (data) => surface({ parentElement: document.body, data,
  setTriggerValue: (name, value) => window.sent.push(value.marks.at(-1)) });
</script>"""


def colours() -> np.ndarray:
    """A large picture: its left half dark, its right half light, a fine pattern in a corner."""
    pixels = np.full((H, W, 3), 60, np.uint8)
    pixels[:, W // 2 :] = 180
    pixels[:1000:2, :1000] = 255
    return pixels


class Canvas:
    """The component in a page of 900x800, and what it sends."""

    def __init__(self, browser: Any, pictures: dict[str, np.ndarray], **options: Any) -> None:
        from groundbrush.app.page.components import SOURCES

        size = {"width": 900, "height": 800}
        self.context = browser.new_context(**{"viewport": size, **options})
        self.context.set_default_timeout(SLOW)
        self.page = self.context.new_page()
        self.pictures, self.served, self.problems = pictures, [], []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        script = SOURCES["js"].replace("export default function", "function surface")
        html = HTML % (SOURCES["css"], SOURCES["html"], script)
        self.page.route("**/picture/**", self.serve)
        self.page.route(
            "http://localhost:9/", lambda r: r.fulfill(body=html, content_type="text/html")
        )
        self.page.goto("http://localhost:9/")
        self.data: dict[str, Any] = {
            "mode": "mark",
            "source": "photo",
            "before": None,
            "name": "before",
            "opened": "photo",
            "preview": None,
            "size": [W, H],
            "outlines": [],
            "boxes": [],
            "numbered": False,
            "undo": False,
            "redo": False,
            "label": "The picture.",
            "turn": 1,
            "done": 0,
            "clicks": False,
        }
        self.taken = np.zeros((H, W), bool)
        self.taken[500:2500, 500:2500] = True
        self.give()

    def serve(self, route: Any) -> None:
        name, _, rest = re.search(r"picture/([^/]+)/(.*)", route.request.url).group(1, 0, 2)
        self.served.append(rest)
        pixels = self.pictures[name]
        place = [level_count(pixels.shape[1::-1]) - 1, 0, 0]
        if rest.startswith("click"):
            route.fulfill(json=outlines(self.taken))
            return
        if rest == "png":
            png = cv2.imencode(".png", pixels)[1].tobytes()
            route.fulfill(body=png, content_type="image/png")
            return
        if not rest.startswith("whole"):
            place = [int(v) for v in rest.split("/")]
        route.fulfill(body=jpeg(tile(pixels, *place)), content_type="image/jpeg")

    def give(self, **changes: Any) -> None:
        """Show what the page sends."""
        self.data |= changes
        self.page.evaluate("data => window.give(data)", self.data)
        self.page.locator(f".gb[data-ready={self.data['source']}]").wait_for()

    @property
    def view(self) -> list[float]:
        """Where the picture lies in its frame: left, top, width, height."""
        self.page.wait_for_timeout(40)  # the next frame is drawn
        return json.loads(self.page.locator(".gb").get_attribute("data-view"))

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Shares of the picture as a place on the screen."""
        box, (left, top, width, height) = self.page.locator("canvas").bounding_box(), self.view
        return box["x"] + left + x * width, box["y"] + top + y * height

    def pixel(self, x: float, y: float) -> list[int]:
        left, top, width, height = self.view
        return self.page.evaluate(
            """([x, y]) => { const c = document.querySelector('canvas'), k = devicePixelRatio;
               const pen = c.getContext('2d');
               return [...pen.getImageData(x * k, y * k, 1, 1).data].slice(0, 3); }""",
            [left + x * width, top + y * height],
        )

    def drag(self, *path: tuple[float, float]) -> None:
        self.page.mouse.move(*self.place(*path[0]))
        self.page.mouse.down()
        for place in path[1:]:
            self.page.mouse.move(*self.place(*place), steps=2)
        self.page.mouse.up()

    def keys(self, *names: str) -> None:
        for name in names:
            self.page.keyboard.press(name)

    def sent(self) -> list[dict[str, Any]]:
        """The marks that were sent since the last call; the page has then done them."""
        marks = self.page.evaluate("() => window.sent.splice(0)")
        if marks:
            self.give(done=marks[-1]["id"])
        return [{k: v for k, v in mark.items() if k != "id"} for mark in marks]


@pytest.fixture(scope="module")
def pictures() -> dict[str, np.ndarray]:
    light = np.full((H, W, 3), 230, np.uint8)
    return {"photo": colours(), "light": light}


@pytest.fixture
def canvas(browser: Any, pictures: dict[str, np.ndarray]) -> Iterator[Canvas]:
    made = Canvas(browser, pictures)
    yield made
    made.context.close()
    assert made.problems == []


def test_a_large_picture_comes_in_the_tiles_that_are_seen(canvas: Canvas) -> None:
    frame = canvas.page.locator("canvas").bounding_box()
    left, top, width, height = canvas.view
    assert width / height == pytest.approx(1.5)
    assert (top, height) == pytest.approx((0, frame["height"]))
    assert left == pytest.approx((frame["width"] - width) / 2)
    assert canvas.served == ["whole", "2/0/0", "2/1/0"]  # a quarter of its width is enough here
    canvas.page.mouse.move(*canvas.place(0.02, 0.02))
    canvas.keys("1")
    assert canvas.view[2] == W
    canvas.page.wait_for_timeout(200)
    tiles = [name for name in canvas.served[3:] if name[0] == "0"]
    assert 0 < len(tiles) <= 4  # of 24
    rows = {tuple(canvas.pixel(100.5 / W, (y + 0.5) / H)) for y in range(100, 104)}
    assert {max(row) > 200 for row in rows} == {True, False}  # every line of the pattern
    assert canvas.page.locator("canvas").bounding_box() == frame
    canvas.keys("0")
    assert canvas.view == [left, top, width, height]


def test_zoom_keeps_what_is_under_the_pointer_and_dragging_moves(canvas: Canvas) -> None:
    whole = canvas.view
    before = canvas.place(*WHERE)
    canvas.page.mouse.move(*before)
    canvas.page.mouse.wheel(0, -600)
    assert canvas.view[2] > 2 * whole[2]
    assert canvas.place(*WHERE) == pytest.approx(before, abs=1)
    canvas.page.keyboard.down(" ")
    canvas.drag((0.3, 0.5), (0.25, 0.45))
    canvas.page.keyboard.up(" ")
    moved = canvas.place(*WHERE)
    assert moved[0] < before[0] - 5
    canvas.drag((0.3, 0.5), (0.35, 0.5))  # with the Click tool a drag is no click
    assert canvas.place(*WHERE)[0] > moved[0] + 5
    assert canvas.sent() == []
    canvas.page.mouse.wheel(0, 5000)
    assert canvas.view == whole


def test_marks_of_every_tool_carry_shares_of_the_picture(canvas: Canvas) -> None:
    canvas.page.mouse.click(*canvas.place(*WHERE))
    canvas.page.mouse.click(*canvas.place(*WHERE), button="right")
    add, subtract = canvas.sent()
    assert (add["kind"], add["how"], subtract["how"]) == ("point", "add", "subtract")
    assert add["points"][0] == pytest.approx(WHERE, abs=0.002)
    canvas.keys("b", "x")
    canvas.drag((0.1, 0.2), (0.4, 0.6))
    (box,) = canvas.sent()
    assert (box["kind"], box["how"], box["snap"]) == ("box", "subtract", True)
    assert np.ravel(box["points"]) == pytest.approx([0.1, 0.2, 0.4, 0.6], abs=0.002)
    canvas.keys("x", "l")
    canvas.drag((0.1, 0.2), (0.4, 0.2), (0.4, 0.6))
    assert canvas.sent()[0]["kind"] == "lasso"
    canvas.keys("p", "]", "]", "[")
    canvas.drag((0.1, 0.2), (0.4, 0.2))
    (stroke,) = canvas.sent()
    assert (stroke["kind"], stroke["how"], stroke["radius"]) == ("stroke", "add", 0.035)
    canvas.drag((0.1, 0.2), (0.2, 0.2))
    canvas.keys("e")
    canvas.drag((0.1, 0.2), (0.4, 0.2))  # both are sent before the page has done the first
    assert [mark["how"] for mark in canvas.sent()] == ["add", "subtract"]
    canvas.keys("u", "Control+z", "r", "Control+Shift+Z")
    assert [mark["kind"] for mark in canvas.sent()] == ["undo", "undo", "redo", "redo"]


def test_mask_its_colour_hiding_and_the_original(canvas: Canvas) -> None:
    mask = np.zeros((H, W), bool)
    mask[1000:3000, 500:2500] = True
    plain = canvas.pixel(*WHERE)
    canvas.give(outlines=outlines(mask), before="light")
    tinted, outside = canvas.pixel(*WHERE), canvas.pixel(0.9, 0.5)
    assert tinted[0] > plain[0] + 40
    assert outside[0] < 180 - 30
    canvas.page.get_by_label("Colour of the mask").fill("#0000ff")
    assert canvas.pixel(*WHERE)[2] > tinted[2] + 20
    canvas.page.get_by_label("Opacity of the mask").fill("0")
    assert canvas.pixel(*WHERE) == plain
    canvas.keys("h")
    assert canvas.pixel(0.9, 0.5) == [180] * 3
    canvas.page.mouse.move(*canvas.place(*WHERE))
    canvas.page.keyboard.down("Tab")
    canvas.page.wait_for_timeout(150)
    assert canvas.pixel(*WHERE) == [230] * 3
    canvas.page.keyboard.up("Tab")
    assert canvas.pixel(*WHERE) == plain
    canvas.keys("Shift+C", "i")
    assert [mark["kind"] for mark in canvas.sent()] == ["clear", "invert"]


def test_candidates_are_taken_by_their_numbers(canvas: Canvas) -> None:
    boxes = [
        {"box": [600, 400, 1800, 2000], "first": True, "number": 1},
        {"box": [2800, 1000, 5000, 3000], "first": False, "number": 2},
        {"box": [2800, 1000, 4000, 3000], "first": False, "number": 3},  # in the same corner
    ]
    canvas.give(boxes=boxes, numbered=True)
    x, y = canvas.place(2800 / W, 1000 / H)
    canvas.page.mouse.click(x + 8, y + 8)
    canvas.page.mouse.click(x + 36, y + 8)
    canvas.page.mouse.click(x + 80, y + 80)
    *chosen, point = canvas.sent()
    assert chosen == [{"kind": "candidate", "number": number} for number in (2, 3)]
    assert point["kind"] == "point"


def test_where_the_pointer_rests_is_shown_what_a_click_would_take(canvas: Canvas) -> None:
    canvas.give(clicks=True)
    plain = canvas.pixel(0.3, 0.3)
    with canvas.page.expect_response("**/click?*"):
        canvas.page.mouse.move(*canvas.place(*WHERE))
    end = time.monotonic() + SLOW / 1000
    while canvas.pixel(0.3, 0.3)[0] < plain[0] + 20:
        assert time.monotonic() < end, "nothing is outlined"
    canvas.page.mouse.move(*canvas.place(0.26, 0.45))  # still on the same thing
    canvas.page.wait_for_timeout(300)
    assert sum(name.startswith("click") for name in canvas.served) == 1
    canvas.keys("p")
    assert canvas.pixel(0.3, 0.3) == plain


def test_every_tool_without_a_mouse(canvas: Canvas) -> None:
    for tool, kind in (("c", "point"), ("b", "box"), ("l", "lasso"), ("p", "stroke")):
        canvas.keys(tool)
        canvas.page.locator("canvas").focus()
        canvas.keys("ArrowRight", "Enter")
        if tool != "c":
            canvas.keys("Shift+ArrowRight", "Shift+ArrowDown", "Enter")
        (mark,) = canvas.sent()
        assert mark["kind"] == kind
    canvas.keys("Enter", "Shift+ArrowUp", "Escape")  # dropped
    assert canvas.sent() == []
    canvas.keys("?")
    canvas.page.get_by_text("Empty the mask").wait_for()
    names = canvas.page.evaluate(
        """() => [...document.querySelectorAll('button, input, canvas')].filter((e) => !(e.ariaLabel
           || e.textContent.trim() || e.closest('label')?.textContent.trim())).length"""
    )
    assert names == 0  # everything has a name


def test_two_fingers_zoom_and_one_draws(browser: Any, pictures: dict[str, np.ndarray]) -> None:
    canvas = Canvas(
        browser, pictures, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True
    )
    whole = canvas.view
    devtools = canvas.context.new_cdp_session(canvas.page)

    def touch(kind: str, *places: tuple[float, float]) -> None:
        points = [{"x": x, "y": y, "id": k} for k, (x, y) in enumerate(places)]
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    canvas.keys("p")
    left, right = canvas.place(0.4, 0.5), canvas.place(0.6, 0.5)
    touch("touchStart", left)
    touch("touchStart", left, right)  # a second finger: the stroke was none
    touch("touchMove", (left[0] - 60, left[1]), (right[0] + 60, right[1]))
    touch("touchEnd")
    assert canvas.sent() == []
    assert canvas.view[2] > 1.8 * whole[2]
    start, end = canvas.place(0.5, 0.5), canvas.place(0.55, 0.5)
    touch("touchStart", start)
    touch("touchMove", end)
    touch("touchEnd")
    (stroke,) = canvas.sent()
    assert stroke["points"][-1] == pytest.approx((0.55, 0.5), abs=0.01)
    assert canvas.problems == []
    canvas.context.close()


def test_the_picture_is_copied_at_full_size(canvas: Canvas) -> None:
    canvas.context.grant_permissions(["clipboard-read", "clipboard-write"])
    canvas.keys("Control+c")
    canvas.page.get_by_text("Copied").wait_for()
    size = canvas.page.evaluate(
        """async () => { const [item] = await navigator.clipboard.read();
           const picture = await createImageBitmap(await item.getType('image/png'));
           return [picture.width, picture.height]; }"""
    )
    assert size == [W, H]


def test_before_and_after_and_the_painting_under_way(canvas: Canvas) -> None:
    canvas.give(mode="compare", before="light", split=0.4)  # where what is new begins
    canvas.page.wait_for_timeout(150)
    assert (canvas.pixel(0.35, 0.5), canvas.pixel(0.45, 0.5)) == ([230] * 3, [60] * 3)
    assert canvas.page.get_by_label("Before and after").input_value() == "40"
    canvas.drag((0.4, 0.3), (0.2, 0.3))
    assert (canvas.pixel(0.1, 0.5), canvas.pixel(0.45, 0.5)) == ([230] * 3, [60] * 3)
    canvas.page.get_by_label("Before and after").fill("100")
    assert canvas.pixel(0.9, 0.5) == [230] * 3
    assert canvas.sent() == []
    things = [{"outlines": outlines(canvas.taken), "colour": "rgb(255, 0, 0)"}]
    canvas.give(mode="watch", layers=things)
    assert canvas.pixel(*WHERE)[0] > canvas.pixel(*WHERE)[1] + 50
    canvas.give(layers=[], preview="light")
    canvas.page.wait_for_timeout(150)
    assert canvas.pixel(*WHERE) == [230] * 3
    assert canvas.sent() == []
