"""The drawing surface: the copy of the picture that it shows, and what its marks mean."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush import GroundbrushError
from groundbrush.app.page.canvas import (
    LEAST,
    PROXY,
    canvas_view,
    data_uri,
    fit_screen,
    new_marks,
    read_mark,
)
from groundbrush.app.session.session import shrink
from groundbrush.editor.masks.operations import Boxes, Brush, Points
from hypothesis import given
from hypothesis import strategies as st


def test_marks_become_operations():
    size = (200, 100)
    click = read_mark({"kind": "point", "how": "subtract", "points": [[0.5, 0.5]]}, size)
    assert click == Points(((100.0, 50.0),), how="subtract")
    box = {"kind": "box", "how": "add", "points": [[0.5, 0.6], [0.1, 0.2]], "snap": True}
    assert read_mark(box, size) == Boxes(((20.0, 20.0, 100.0, 60.0),), how="add", snap=True)
    stroke = {"kind": "stroke", "how": "add", "points": [[0, 0], [1, 1]], "radius": 0.02}
    assert read_mark(stroke, size) == Brush((((0.0, 0.0), (199.99, 99.99)),), radius=4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "text"}, "kind 'text'"),
        ({"how": "replace"}, "how is 'replace'"),
        ({"points": []}, "without points"),
        ({"points": "x"}, "without points"),
        ({"points": [[0.1]]}, "two shares"),
        ({"points": [[0.1, float("nan")]]}, "finite"),
        ({"points": [[0.1, "2"]]}, "finite"),
        ({"points": [[0, 0]] * 20_001}, "more than 20,000"),
        ({"kind": "stroke", "radius": None}, "finite"),
        ({"kind": "box"}, "1 corners"),
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


def test_the_view_is_small_and_shows_thin_masks():
    wide = np.zeros((300, 4000, 3), np.uint8)
    mask = np.zeros((300, 4000), bool)
    mask[150, 2000] = True
    view = canvas_view(wide, mask)
    assert view.shape == (77, PROXY, 3)
    assert view.any()
    assert (canvas_view(wide) == 0).all()
    assert data_uri(view).startswith("data:image/jpeg;base64,")
    assert shrink(mask[..., None].repeat(3, 2).astype(np.uint8), 9999).shape == (300, 4000, 3)


def test_a_small_picture_is_enlarged_so_that_its_outline_is_smooth():
    small = np.zeros((30, 40, 3), np.uint8)
    assert fit_screen(small).shape == (LEAST * 3 // 4, LEAST, 3)
    assert fit_screen(small, 20).shape == (15, 20, 3)
    assert fit_screen(np.zeros((900, 800, 3), np.uint8)).shape == (900, 800, 3)
    assert fit_screen(np.zeros((3000, 4096, 3), np.uint8)).shape == (750, PROXY, 3)
    mask = np.zeros((30, 40), bool)
    mask[10:20, 10:20] = True
    view = canvas_view(small, mask)
    tinted = (view != 0).any(2).mean()
    assert 100 / 1200 - 0.01 < tinted < 100 / 1200 + 0.03  # the outline lies outside it
