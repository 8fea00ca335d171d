"""The drawing surface: the copy of the picture that it shows, and what its marks mean."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from groundbrush import GroundbrushError
from groundbrush.app.page.canvas import new_marks, outlines, read_mark
from groundbrush.app.page.tiles import ROUTES, Shown, level_count, tile
from groundbrush.editor.masks.operations import Boxes, Brush, Invert, MaskScene, Points
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient


def test_marks_become_operations():
    size = (200, 100)
    click = read_mark({"kind": "point", "how": "subtract", "points": [[0.5, 0.5]]}, size)
    assert click == Points(((100.0, 50.0),), how="subtract")
    box = {"kind": "box", "how": "add", "points": [[0.5, 0.6], [0.1, 0.2]], "snap": True}
    assert read_mark(box, size) == Boxes(((20.0, 20.0, 100.0, 60.0),), how="add", snap=True)
    stroke = {"kind": "stroke", "how": "add", "points": [[0, 0], [1, 1]], "radius": 0.02}
    assert read_mark(stroke, size) == Brush((((0.0, 0.0), (199.99, 99.99)),), radius=4)
    assert read_mark({"kind": "invert"}, size) == Invert()
    full = np.ones(size[::-1], bool)
    assert not read_mark({"kind": "clear"}, size).apply(full, MaskScene()).any()
    loop = [[0.25, 0.2], [0.75, 0.2], [0.75, 0.6], [0.25, 0.6]]
    lasso = read_mark({"kind": "lasso", "how": "add", "points": loop}, size)
    area = lasso.apply(np.zeros(size[::-1], bool), MaskScene())
    assert area[20:61, 50:151].all()
    assert area.sum() == 41 * 101


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "text"}, "kind is 'text'; expected one of point, "),
        ({"how": "replace"}, "how is 'replace'; expected one of add, subtract"),
        ({"points": []}, "a point of 0 points given; expected"),
        ({"points": "x"}, "points is 'x'; expected pairs of shares"),
        ({"points": [[0.1]]}, r"points.* is \[0.1\]; expected a number"),
        ({"points": [[0.1, float("nan")]]}, "is nan; expected a number"),
        ({"points": [[0.1, "2"]]}, "is '2'; expected a number"),
        ({"points": [[0, 0]] * 20_001}, "at most 20,000"),
        ({"kind": "stroke", "radius": None}, "radius is None; expected a number"),
        ({"kind": "box"}, "a box of 1 points given; expected two"),
    ],
)
def test_bad_marks_are_refused(changes, words):
    mark = {"kind": "point", "how": "add", "points": [[0.5, 0.5]], **changes}
    with pytest.raises(GroundbrushError, match=words):
        read_mark(mark, (20, 10))


def test_marks_come_once_each_and_in_order():
    first, second = {"id": 5, "kind": "undo"}, {"id": 7, "kind": "redo"}
    sent = {"marks": [second, first, "x", {"kind": "undo"}, {"id": "9"}, {"id": True}]}
    assert new_marks(sent, 0) == [(5, first), (7, second)]
    assert new_marks(sent, 5) == [(7, second)]
    assert new_marks(sent, 7) == []
    assert len(new_marks({"marks": [{"id": k} for k in range(1, 999)]}, 0)) == 100


@pytest.mark.parametrize("sent", [None, "x", {}, {"marks": None}, {"marks": "ab"}, [], 3])
def test_what_is_no_list_of_marks_marks_nothing(sent):
    assert new_marks(sent, 0) == []


@given(st.integers(1, 5000), st.integers(1, 5000), st.floats(-1, 2), st.floats(-1, 2))
def test_a_click_always_lies_in_the_picture(width, height, x, y):
    ((px, py),) = read_mark(
        {"kind": "point", "how": "add", "points": [[x, y]]}, (width, height)
    ).points
    assert 0 <= px < width
    assert 0 <= py < height


def painted(lines: list[list[float]], size: tuple[int, int]) -> np.ndarray:
    """What a screen fills inside outlines, by the even-odd rule; ``(H, W)`` bool."""
    out = np.zeros(size[::-1], np.uint8)
    paths = [np.floor(np.reshape(line, (-1, 2))).astype(np.int32) for line in lines]
    cv2.fillPoly(out, paths, 1)
    return out.astype(bool)


def test_outlines_are_those_of_the_mask_and_its_holes():
    mask = np.zeros((900, 1200), bool)
    mask[100:800, 50:1100] = True
    mask[300:400, 400:500] = False
    lines = outlines(mask)
    assert len(lines) == 2
    assert (painted(lines, (1200, 900)) != mask).sum() < 2 * 4 * 100  # the hole's own border
    assert outlines(np.zeros((5, 5), bool)) == []


def test_a_small_mask_has_smooth_outlines_and_a_ragged_one_few_points():
    small = np.tri(64, dtype=bool)
    (line,) = outlines(small)
    assert (np.mod(line, 1) != 0.5).any()  # between the pixels
    assert np.min(line) >= -0.5
    assert np.max(line) <= 64.5
    ragged = np.random.default_rng(0).random((1000, 1000)) > 0.5
    assert 0 < sum(map(len, outlines(ragged, most=20_000))) // 2 <= 20_000


def test_tiles_of_all_levels_are_the_picture():
    pixels = np.random.default_rng(1).integers(0, 255, (1500, 2600, 3), np.uint8)
    assert level_count((2600, 1500)) == 3
    rows = [np.hstack([tile(pixels, 0, c, r) for c in range(3)]) for r in range(2)]
    assert (np.vstack(rows) == pixels).all()
    assert tile(pixels, 1, 1, 0).shape == (750, 276, 3)
    assert tile(pixels, 2, 0, 0).shape == (375, 650, 3)
    assert tile(pixels, 0, 3, 0) is None


def test_a_picture_is_served_as_long_as_it_is_kept():
    client = TestClient(Starlette(routes=ROUTES))
    shown, later = Shown(np.full((20, 30, 3), 200, np.uint8)), Shown(lambda: None)
    answer = client.get(f"/picture/{shown.token}/whole")
    assert Image.open(io.BytesIO(answer.content)).size == (30, 20)
    assert "immutable" in answer.headers["cache-control"]
    for path in (f"{later.token}/whole", f"{shown.token}/1/0/0", f"{shown.token}/0/9/9", "x/whole"):
        assert client.get(f"/picture/{path}").status_code == 404
    assert client.get(f"/picture/{shown.token}/click?x=0.5&y=0.5").json() == []
    assert client.get(f"/picture/{shown.token}/click?x=nan").status_code == 400
    clicked = Shown(np.zeros((900, 900, 3), np.uint8), lambda x, y: np.ones((900, 900), bool))
    (outline,) = client.get(f"/picture/{clicked.token}/click?x=0&y=1").json()
    assert len(outline) == 8
    clear = np.full((20, 30, 4), (9, 9, 9, 0), np.uint8)
    clear[:, 15:, 3] = 255
    clear = Shown(clear)
    seen = Image.open(io.BytesIO(client.get(f"/picture/{clear.token}/whole").content))
    assert [round(seen.getpixel((x, 5))[0], -1) for x in (5, 25)] == [200, 10]
    copied = Image.open(io.BytesIO(client.get(f"/picture/{clear.token}/png").content))
    assert (copied.getpixel((5, 5)), copied.getpixel((25, 5))) == ((9, 9, 9, 0), (9, 9, 9, 255))
    path = f"/picture/{shown.token}/whole"
    del shown
    assert client.get(path).status_code == 404
