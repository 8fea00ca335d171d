"""Mask operations: what they do, that they never change a mask in place, and that they travel."""

from __future__ import annotations

import json
from typing import get_args

import numpy as np
import pytest
from groundbrush.editor.errors import GroundbrushError
from groundbrush.editor.masks import shadow
from groundbrush.editor.masks.history import MaskHistory
from groundbrush.editor.masks.operations import (
    AnyOperation,
    Area,
    Boxes,
    Brush,
    Dilate,
    Erode,
    Feather,
    FillHoles,
    Invert,
    Level,
    MaskScene,
    Points,
    Shadow,
    Spare,
    innermost,
    read_operation,
)
from groundbrush.editor.masks.source import decode_mask, encode_mask
from hypothesis import given
from hypothesis import strategies as st


def rectangle(shape: tuple[int, int], box: tuple[int, int, int, int]) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask


def three_levels(*, box=None, points=None, labels=None):
    """A segmenter with nested answers, the middle one scored best."""
    if box is not None:
        x0, y0, x1, y1 = (int(v) for v in box)
        masks = [rectangle((20, 30), (x0 + d, y0 + d, x1 - d, y1 - d)) for d in (2, 1, 0)]
    else:
        x, y = (int(v) for v in points[0])
        masks = [rectangle((20, 30), (x - d, y - d, x + d + 1, y + d + 1)) for d in (3, 1, 2)]
        for (px, py), label in zip(points, labels, strict=True):
            if not label:
                for mask in masks:
                    mask[int(py), int(px)] = False
    return np.stack(masks), np.array([0.1, 0.9, 0.5], np.float32)


SCENE = MaskScene(np.full((20, 30, 3), 120, np.uint8), three_levels)
BASE = rectangle((20, 30), (10, 5, 16, 11))
EVERY = (
    Dilate(2),
    Erode(1),
    Feather(3),
    FillHoles(0.5),
    Invert(),
    Level("part"),
    Shadow(0.5),
    Boxes(((1, 2, 5, 6), (20, 3, 28, 12))),
    Points(((12.0, 8.0),), "add", ((13.0, 8.0),)),
    Brush((((1, 1), (6, 1)), ((9, 9),)), 2, "subtract"),
    Area(encode_mask(rectangle((20, 30), (12, 0, 20, 20))), "subtract"),
    Spare(encode_mask(rectangle((20, 30), (12, 0, 20, 20)))),
)


def test_every_operation_is_tried_here():
    assert {type(o) for o in EVERY} == set(get_args(get_args(AnyOperation)[0]))


@pytest.mark.parametrize("operation", EVERY, ids=lambda o: o.op)
def test_the_mask_given_is_never_changed_and_never_shared(operation):
    before = BASE.copy()
    result = operation.apply(before, SCENE)
    assert (before == BASE).all()
    assert (result.shape, result.dtype) == (BASE.shape, bool)
    assert not np.shares_memory(result, before)


@pytest.mark.parametrize("operation", EVERY, ids=lambda o: o.op)
def test_operations_survive_json(operation):
    again = read_operation(json.loads(json.dumps(operation.as_dict())))
    assert again == operation


def test_dilate_and_erode_by_hand():
    grown = Dilate(1).apply(BASE, SCENE)
    assert grown.sum() == 36 + 4 * 6  # a square grows by its sides, not by its corners
    assert (Erode(1).apply(BASE, SCENE) == rectangle((20, 30), (11, 6, 15, 10))).all()
    assert Erode(3).apply(BASE, SCENE).sum() == 0


def test_the_pictures_border_does_not_erode():
    full = np.ones((6, 8), bool)
    assert Erode(2).apply(full, SCENE).all()
    corner = rectangle((6, 8), (0, 0, 4, 3))
    assert Erode(1).apply(corner, SCENE)[0, 0]


def test_fill_holes_leaves_the_large_one():
    mask = rectangle((20, 30), (2, 2, 18, 18))
    mask[4, 4] = False
    mask[8:14, 8:14] = False
    filled = FillHoles(0.1).apply(mask, SCENE)
    assert filled[4, 4] and not filled[10, 10]
    assert FillHoles().apply(mask, SCENE)[10, 10]


def test_invert_twice_is_nothing():
    assert (Invert().apply(Invert().apply(BASE, SCENE), SCENE) == BASE).all()


@pytest.mark.parametrize(("level", "side"), [("subpart", 3), ("part", 5), ("whole", 7)])
def test_levels_are_told_by_area_not_by_order(level, side):
    assert Level(level).apply(BASE, SCENE).sum() == side**2


def test_innermost_pixel_of_a_ring_lies_on_the_ring():
    ring = rectangle((20, 30), (2, 2, 18, 18)) & ~rectangle((20, 30), (5, 5, 15, 15))
    x, y = innermost(ring)
    assert ring[int(y), int(x)]
    assert innermost(rectangle((9, 9), (3, 3, 6, 6))) == (4, 4)


def test_several_boxes_are_joined_and_cut_at_the_picture():
    boxes = Boxes(((-5, -5, 2, 2), (28, 18, 99, 99)), "replace").apply(BASE, SCENE)
    assert boxes.sum() == 4 + 4
    without = Boxes(((12, 0, 30, 20),), "subtract").apply(BASE, SCENE)
    assert (without == rectangle((20, 30), (10, 5, 12, 11))).all()


def test_a_box_can_take_the_object_in_it():
    snapped = Boxes(((4, 4, 14, 14),), "replace", snap=True).apply(BASE, SCENE)
    assert snapped.sum() == 8 * 8  # the best scored of the three


def test_points_add_and_subtract_what_lies_under_them():
    added = Points(((25.0, 15.0),)).apply(BASE, SCENE)
    assert added.sum() == 36 + 9
    less = Points(((12.0, 7.0),), "subtract").apply(BASE, SCENE)
    assert less.sum() == 36 - 9
    kept = Points(((25.0, 15.0),), "replace", ((26.0, 15.0),)).apply(BASE, SCENE)
    assert kept.sum() == 9 - 1


def test_brush_strokes_by_hand():
    empty = np.zeros((20, 30), bool)
    line = Brush((((3, 4), (8, 4)),), 0).apply(empty, SCENE)
    assert (line == rectangle((20, 30), (3, 4, 9, 5))).all()
    dot = Brush((((10, 10),),), 1).apply(empty, SCENE)
    assert dot.sum() == 5
    assert not Brush((((-50, -50), (-9, -9)),), 2).apply(empty, SCENE).any()
    wiped = Brush((((0, 8), (29, 8)),), 10, "subtract").apply(BASE, SCENE)
    assert not wiped.any()


def test_the_shadow_on_the_ground_is_included_and_the_ground_is_not():
    side = 160
    y, x = np.mgrid[:side, :side]
    ground = 150 + 30 * x / side
    pixels = np.stack([ground, 0.9 * ground, 0.7 * ground], 2)
    thing = (x - 70) ** 2 + (y - 70) ** 2 < 22**2
    shadow = (((x - 82) / 30) ** 2 + ((y - 92) / 12) ** 2 < 1) & ~thing
    pixels[shadow] *= 0.6
    pixels[thing] = (200, 30, 40)
    pixels += np.random.default_rng(0).normal(0, 2, pixels.shape)
    pixels = pixels.clip(0, 255).astype(np.uint8)
    grown = Shadow().apply(thing, MaskScene(pixels))
    found = grown & ~thing
    assert (found & shadow).sum() > 0.85 * shadow.sum()
    assert (found & ~shadow).sum() < 0.15 * shadow.sum()


def test_without_a_shadow_nothing_is_included():
    pixels = np.random.default_rng(1).normal(140, 3, (80, 80, 3)).clip(0, 255).astype(np.uint8)
    thing = rectangle((80, 80), (30, 30, 50, 50))
    pixels[thing] = (10, 200, 10)
    assert Shadow().apply(thing, MaskScene(pixels)).sum() < 1.1 * thing.sum()


def test_a_dark_thing_of_another_colour_is_no_shadow():
    pixels = np.full((80, 80, 3), 150, np.uint8)
    thing = rectangle((80, 80), (30, 30, 50, 50))
    neighbour = rectangle((80, 80), (50, 30, 64, 50))
    pixels[thing], pixels[neighbour] = (200, 30, 40), (20, 30, 120)
    assert not (Shadow().apply(thing, MaskScene(pixels)) & neighbour)[:, 54:].any()


def test_history_undo_and_redo():
    start = MaskHistory.start(BASE, SCENE)
    done = start.do(Dilate(2)).do(Invert()).do(Feather(5))
    assert done.feather == 5
    assert done.undo().feather is None
    assert (done.undo().undo().mask == start.do(Dilate(2)).mask).all()
    back = done.undo().undo().undo()
    assert (back.mask == BASE).all()
    assert back.undo() is back
    again = back.redo().redo().redo()
    assert (again.mask == done.mask).all() and again.operations == done.operations
    assert again.redo() is again
    branched = done.undo().undo().do(Erode(1))
    assert branched.undone == ()
    assert start.operations == ()  # nothing above changed it


@given(st.lists(st.sampled_from([*EVERY, "undo", "redo"]), max_size=8))
def test_a_history_is_its_operations_done_in_order(moves):
    history = MaskHistory.start(BASE, SCENE)
    for move in moves:
        history = getattr(history, move)() if isinstance(move, str) else history.do(move)
    mask = BASE
    for operation in history.operations:
        mask = operation.apply(mask, SCENE)
    assert (mask == history.mask).all()
    again = MaskHistory.from_dict(json.loads(json.dumps(history.as_dict())), SCENE)
    assert (again.mask == history.mask).all()
    assert (again.operations, again.undone) == (history.operations, history.undone)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32), st.floats(0, 1))
def test_masks_survive_json(height, width, seed, share):
    mask = np.random.default_rng(seed).random((height, width)) < share
    again = decode_mask(json.loads(json.dumps(encode_mask(mask))))
    assert (again == mask).all()


def test_a_drawn_mask_of_a_large_picture_is_small():
    y, x = np.mgrid[:3000, :4000]
    disc = (x - 2000) ** 2 + (y - 1500) ** 2 < 900**2
    assert len(encode_mask(disc)["bits"]) < 16_000


@pytest.mark.parametrize(
    ("given_", "words"),
    [
        ({"op": "dilat", "pixels": 2}, "did you mean 'dilate'"),
        ({"op": "dilate"}, "mask operation 'dilate': .*pixels"),
        ({"op": "dilate", "pixels": -1}, "dilate is -1; expected a whole number from 0"),
        ({"op": "dilate", "pixels": True}, "dilate is True"),
        ({"op": "dilate", "size": 2}, "holds the unknown name 'size'; expected some of pixels"),
        ({"op": "level", "level": "all"}, "level is 'all'; expected one of subpart, part, whole"),
        ({"op": "boxes", "boxes": [[5, 5, 1, 9]]}, "expected x0,y0,x1,y1 in pixels with x0 < x1"),
        ({"op": "boxes", "boxes": "wide"}, "box 'wide' given"),
        ({"op": "points", "points": []}, r"points \[\] given; expected pairs"),
        ({"op": "brush", "strokes": [[[1]]]}, "expected pairs"),
        ({"op": "brush", "strokes": [[[1, 1]]], "how": "xor"}, "how is 'xor'"),
        ({"op": "fill holes", "fraction": 2}, "fill holes is 2; expected a number from 0 to 1"),
        ("dilate", "mask operation 'dilate' given"),
        (None, "mask operation None given"),
    ],
)
def test_what_is_no_operation_is_explained(given_, words):
    with pytest.raises(GroundbrushError, match=words):
        read_operation(given_)


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        (Points(((3.0, 3.0),)), "a click needs the segmenter"),
        (Level(), "level needs the segmenter"),
        (Shadow(), "expected a scene with its pixels"),
        (Boxes(((50, 50, 60, 60),)), "lies outside the picture of 30x20"),
    ],
)
def test_what_cannot_be_done_is_explained(operation, words):
    with pytest.raises(GroundbrushError, match=words):
        operation.apply(BASE, MaskScene())


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"size": [4, 4]},
        {"size": [4, 4], "bits": "AAAA"},
        {"size": [0, 4], "bits": ""},
        {"size": [10**6, 10**6], "bits": "AAAA"},
        {"size": "big", "bits": "AAAA"},
    ],
)
def test_a_damaged_mask_is_explained(values):
    with pytest.raises(GroundbrushError, match="the recipe's mask cannot be read"):
        decode_mask(values)
    whole = encode_mask(BASE)
    with pytest.raises(GroundbrushError, match="cannot be read"):
        decode_mask({**whole, "size": [31, 20]})


def test_a_shadow_is_the_same_in_a_large_picture(monkeypatch):
    pixels = np.full((240, 240, 3), 180, np.uint8)
    thing = np.zeros((240, 240), bool)
    thing[60:140, 80:160] = True
    pixels[thing] = (200, 40, 40)
    pixels[140:160, 90:170] = 110
    once = shadow.find_shadow(pixels, thing)
    assert once[142:158, 95:165].mean() > 0.9
    large = [np.repeat(np.repeat(a, 4, 0), 4, 1) for a in (pixels, thing)]
    looked = []
    real = shadow._light
    monkeypatch.setattr(shadow, "_light", lambda *a: looked.append(a[0].shape) or real(*a))
    wide = shadow.find_shadow(*large)
    assert max(looked[0][:2]) <= 512  # at the picture's size this takes minutes on a photograph
    assert (wide[::4, ::4] == once).mean() > 0.99
    assert not (wide & large[1]).any()


def test_spared_pixels_leave_the_mask_and_what_it_grows_by():
    """`taken` is what painting must not grow over: spared pixels beside the mask, too."""
    kept = rectangle((20, 30), (12, 0, 20, 20))
    history = MaskHistory.start(BASE).do(Spare(encode_mask(kept)))
    assert (history.mask == (BASE & ~kept)).all()
    assert (history.taken == kept).all()
    with pytest.raises(GroundbrushError, match="30x20"):
        Spare(encode_mask(np.ones((9, 9), bool))).check_fits((30, 20))
