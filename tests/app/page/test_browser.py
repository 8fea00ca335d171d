"""The page in a real browser: Debian's Chromium, driven by Playwright, the server our own command.

Set GROUNDBRUSH_SCREENSHOTS to a folder to have the steps pictured there, as docs/app.md shows them.
"""

from __future__ import annotations

import io
import json
import os
import re
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from groundbrush import Editor
from groundbrush.editor.pictures.picture import Picture, open_picture, read_recipe
from groundbrush.tests.app.page.driver import (
    AXE,
    CHROMIUM,
    DESKTOP,
    FIND,
    LAPTOP,
    PAINT,
    PHONE,
    ROOT,
    SHOTS,
    SLOW,
    Page,
    serve,
)
from PIL import Image

pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: pip install playwright"
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
ORANGE = (0.24, 0.6)
"""A balloon in its example, as shares of width and height."""


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serve(tmp_path_factory.mktemp("app") / "log.txt") as (url, _):
        yield url


@pytest.fixture(scope="module")
def tabs(browser):
    """One context for every page of a screen: the page's own files are fetched once."""
    return browser.new_context()


@pytest.fixture
def page(tabs, address: str, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of 1280x800 in the light scheme, or of the size and scheme of the parameter."""
    made = Page(tabs, address, *getattr(request, "param", ()))
    yield made
    made.close()


def on(size: dict[str, int], scheme: str) -> pytest.MarkDecorator:
    """A test on a page of this size and scheme; pictures are always taken of the same."""
    look = (LAPTOP, "light") if SHOTS else (size, scheme)
    name = f"{look[0]['width']}x{look[0]['height']}-{look[1]}"
    return pytest.mark.parametrize("page", [look], indirect=True, ids=[name])


def picture_in(data: bytes, folder: Path, name: str = "result.png") -> tuple[Picture, Path]:
    path = folder / name
    path.write_bytes(data)
    return open_picture(path), path


def test_the_whole_flow(page: Page, miniature: Editor, tmp_path: Path) -> None:
    """Find, correct, cancel, paint, download, keep, continue, save, reopen."""
    page.shot("1-choose")
    page.open("fruit")
    page.tidy()
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
    page.write(PAINT, "a green pear")  # Enter paints
    page.see(re.compile("step [1-9]"))
    assert page.canvas.bounding_box() == frame  # nothing jumps
    page.shot("4-painting")
    page.press("Cancel")
    page.see("stopped on request")
    assert page.field(PAINT).input_value() == "a green pear"
    page.covered(lambda share: share <= found)  # the mask is still there

    page.set(14 if SHOTS else 2, variants=3 if SHOTS else 2)
    page.press("Paint")
    page.see("Compare and keep")
    assert page.canvas.bounding_box() == frame
    page.page.get_by_role("img", name="result 2").click(force=True)  # the button lies over it
    page.button("✓ 2").wait_for()
    page.tidy()
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
    page.set(2, variants=1)
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
    assert (recipes[0]["paint"], recipes[0]["seed"]) == ("a green pear", 1)  # as run above
    again = miniature.run(recipes[1], Picture(edited.pixels))
    assert (twice.pixels == again.image).all()

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


def mark(page: Page) -> None:
    """The box tool, the keys, the keyboard alone; what is typed is no shortcut."""
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
    field.fill("remove the gre")
    offered = "e => [...e.list.options].map((option) => option.value)"
    assert field.evaluate(offered) == ["remove the green", "remove the grey"]
    assert page.button("Brush").get_attribute("aria-pressed") == "true"


@on(LAPTOP, "dark")
def test_why_and_several_things(page: Page) -> None:
    page.open("balloons")
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
    page.tidy()
    page.set(2)
    page.write(FIND, "remove the bus and make the green balloon red")
    page.see("Run all")
    page.shot("9-plan")
    page.tidy()
    page.press("Run all")
    page.see("Compare and keep")
    page.page.locator(".st-key-keep button:focus").wait_for()  # what had it is gone
    page.press("Keep and continue")
    page.see("the bus: removed")


def test_uploads_large_and_wrong(page: Page, tmp_path: Path) -> None:
    page.open("fruit")
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
    page.canvas.focus()
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


@on(DESKTOP, "light")
def test_a_reload_brings_everything_back(page: Page) -> None:
    asked: list[str] = []
    page.page.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    page.open("fruit")
    share = page.covered()
    page.set(2)
    page.page.reload()
    page.ready()
    page.covered(lambda again: again == share)
    page.press("Settings")
    assert page.page.get_by_label("Steps", exact=True).input_value() == "2"
    page.page.keyboard.press("Escape")
    assert page.field(FIND).input_value() == "the red apple"
    assert page.field(PAINT).input_value() == "a green pear"
    assert asked == []  # nothing is painted yet
    page.press("Paint")
    page.see("Compare and keep")
    page.tidy()
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


def test_tabs_have_their_own_sessions_and_a_closed_page_stops(tabs, address: str) -> None:
    """One tab paints, the next waits in line; a third marks meanwhile: finding need not wait."""
    look = (LAPTOP, "light") if SHOTS else (DESKTOP, "dark")
    first = Page(tabs, address, *look)
    first.open("fruit")
    first.set(200, variants=8)
    first.write(PAINT, "a frog")
    first.see(re.compile("step [1-9]"))
    second = Page(tabs, address, *look)
    second.open("penguin")
    assert second.field(FIND).input_value() == "the penguin"
    second.set(2, variants=1)
    second.write(PAINT, "a frog")
    second.see("In line: 1 before you")
    second.shot("12-in-line")
    third = Page(tabs, address, *look)
    third.open("balloons")
    assert "the red apple → a frog" in first.page.inner_text("body")
    first.close()  # its painting is stopped, so the other's turn comes
    third.clear()
    mark(third)
    third.close()
    second.page.bring_to_front()
    second.see("Compare and keep")
    second.tidy()
    second.close()


def test_at_phone_width_by_finger_and_pen(browser, address: str) -> None:
    """Marks in the dark; then new sides in the light."""
    phone = Page(browser.new_context(**PHONE), address, PHONE["viewport"], "dark")
    try:
        phone.tidy()
        phone.open("balloons")
        phone.clear()
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
        phone.tidy()
        for label in (FIND, PAINT):  # both on the first screen
            place = phone.field(label).bounding_box()
            assert place["y"] + place["height"] <= 844
        phone.page.emulate_media(color_scheme="light")
        phone.press("Extend the picture")
        phone.see("Choose at least one side")
        assert phone.button("Paint the new sides").is_disabled()
        old = phone.view
        phone.press("right")
        phone.see("From 256×256 to 320×256 pixels.")
        phone.tidy()
        assert phone.view[2] / phone.view[3] == pytest.approx(1.25 * old[2] / old[3], rel=0.02)
        phone.set(2)
        phone.press("Paint the new sides")
        phone.see("Compare and keep")
        phone.tidy()
        phone.press("Keep and continue")
        phone.see("new sides: background")
        saved = Image.open(io.BytesIO(phone.save("Download PNG with its recipe")))
        assert saved.size == (320, 256)
        opened = (
            Image.open(ROOT / "examples" / "balloons.png").convert("RGB").crop((0, 0, 240, 256))
        )
        assert saved.crop((0, 0, 240, 256)).tobytes() == opened.tobytes()
        phone.find("the bus")  # the mask is of the larger picture
        phone.tidy()
    finally:
        phone.close()


@pytest.mark.skipif(
    not AXE.is_file(),
    reason="axe-core not found, so WCAG 2.1 AA is not checked: npm install --no-save axe-core",
)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_no_screen_has_a_serious_fault_of_access(tabs, address: str, scheme: str) -> None:
    page = Page(tabs, address, scheme=scheme)
    try:
        assert page.faults() == []
        page.open("balloons")
        page.set(2, variants=2)
        page.find("the bus")
        assert page.faults() == []
        page.write(PAINT, "a frog")
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
