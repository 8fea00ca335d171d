"""`fill` with a painter that drifts as badly as one can."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from groundbrush import inpaint
from groundbrush.inpaint import Fill, InpaintError, InpaintSettings, fill
from groundbrush.inpaint.support import support
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def draw_mask(kind, shape, draw):
    mask = np.zeros(shape, bool)
    height, width = shape
    if kind == "full":
        mask[:] = True
    elif kind == "pixel":
        mask[draw.integers(height), draw.integers(width)] = True
    elif kind == "border":
        mask[0] = mask[:, -1] = True
    elif kind == "parts":
        mask[:: max(1, height // 3), :: max(1, width // 3)] = True
    else:
        mask = draw.random(shape) < 0.2
        mask[height // 2, width // 2] = True
    return mask


@given(
    kind=st.sampled_from(["full", "pixel", "border", "parts", "noise"]),
    shape=st.sampled_from([(1, 1), (7, 3), (3, 7), (30, 90), (90, 30), (64, 64)]),
    seed=st.integers(0, 2**63 - 1),
    prefill=st.sampled_from(["blur", "telea", "grey", "none"]),
    buckets=st.sampled_from(["square", "sdxl"]),
    dilate=st.sampled_from([0, 0.06, 3]),
)
@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_nothing_outside_the_support_changes(painter, kind, shape, seed, prefill, buckets, dilate):
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = draw_mask(kind, shape, draw)
    chosen = InpaintSettings(
        size=128, buckets=buckets, prefill=prefill, dilate=dilate, min_context=2, feather=3
    )
    before = image.copy(), mask.copy()
    result = fill(painter, image, mask, "a pear", seed=seed, settings=chosen)
    np.testing.assert_array_equal(result.image[~result.support], image[~result.support])
    np.testing.assert_array_equal(result.support, support(mask, chosen))
    assert (result.support >= mask).all()
    np.testing.assert_array_equal(image, before[0])
    np.testing.assert_array_equal(mask, before[1])


def test_the_painter_sees_no_old_object(painter, hole, quick):
    image = np.full((48, 80, 3), 30, np.uint8)
    image[hole] = 255
    fill(painter, image, hole, "a pear", settings=quick)
    assert painter.calls[0]["image"].max() < 60
    assert painter.calls[0]["mask"].any()
    assert not painter.calls[0]["mask"].all()


def test_the_masked_object_is_wholly_replaced(hole, quick):
    class White:
        def paint(self, image, *arguments, **options):
            return np.full_like(image, 255)

        def cut_off(self, prompt):
            return ""

    image = np.zeros((48, 80, 3), np.uint8)
    chosen = replace(quick, colour_match=False, feather=50, dilate=4, blend="feather")
    result = fill(White(), image, hole, "snow", settings=chosen)
    assert (result.image[hole] == 255).all()
    ring = result.support & ~hole
    assert 0 < result.image[ring].mean() < 255


def test_colour_match_brings_the_crop_back(picture, hole, quick):
    class Cast:
        def paint(self, image, *arguments, **options):
            return np.clip(image.astype(int) + 20, 0, 255).astype(np.uint8)

        def cut_off(self, prompt):
            return ""

    image = (picture // 2 + 40).astype(np.uint8)
    image[hole] = 90
    chosen = replace(quick, prefill="none", min_context=12, blend="feather")
    plain = fill(Cast(), image, hole, "x", settings=replace(chosen, colour_match=False))
    matched = fill(Cast(), image, hole, "x", settings=chosen)
    assert plain.image[25, 37].mean() == 110
    assert abs(matched.image[25, 37].mean() - 90) < 3


def test_the_record_of_what_was_done(painter, picture, hole, quick):
    result = fill(painter, picture, hole, "a pear", seed=np.int64(5), settings=quick)
    assert isinstance(result, Fill)
    assert (result.prompt, result.seed, result.settings) == ("a pear", 5, quick)
    (crop,) = result.crops
    assert crop.canvas == (64, 64)
    left, top, right, bottom = crop.window
    assert (left, top) <= (28, 18)
    assert (right, bottom) >= (47, 32)
    assert set(result.timings) == {"prepare", "paint", "finish"}
    assert result.notes == ()


def test_the_default_is_sdxls_canvas(painter):
    image = np.zeros((300, 300, 3), np.uint8)
    mask = np.zeros((300, 300), bool)
    mask[100:200, 100:200] = True
    assert fill(painter, image, mask, "a pear").crops[0].canvas == (1024, 1024)


def test_words_not_read_are_noted(painter, picture, hole, quick, monkeypatch):
    monkeypatch.setattr(painter, "cut_off", lambda prompt: "on a plate")
    result = fill(painter, picture, hole, "a pear on a plate", settings=quick)
    assert "did not see: 'on a plate'" in result.notes[0]


GOOD = {
    "image": np.zeros((8, 9, 3), np.uint8),
    "mask": np.ones((8, 9), bool),
    "prompt": "a pear",
    "seed": 0,
}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"image": np.zeros((8, 9, 3), np.float32)},
            r"image: got an array .*float32.*convert\('RGB",
        ),
        ({"image": np.zeros((8, 9), np.uint8)}, r"expected \(H, W, 3\) uint8"),
        ({"image": np.zeros((8, 9, 4), np.uint8)}, r"shape \(8, 9, 4\)"),
        ({"image": np.zeros((0, 9, 3), np.uint8)}, r"shape \(0, 9, 3\)"),
        ({"image": "cat.png"}, "image: got str 'cat.png'"),
        ({"mask": np.ones((8, 9), np.uint8)}, "mask: got an array .*uint8.*mask > 127"),
        ({"mask": np.ones((8, 9, 1), bool)}, r"expected \(H, W\) bool"),
        ({"mask": np.ones((9, 8), bool)}, r"\(9, 8\) for an image of \(8, 9\)"),
        ({"mask": np.zeros((8, 9), bool)}, "no pixel is marked"),
        ({"prompt": None}, "prompt: got NoneType"),
        ({"prompt": "  "}, 'exactly "" to paint without words'),
        ({"seed": -1}, "seed: got int -1; expected a whole number"),
        ({"seed": 1.0}, "seed: got float 1.0"),
        ({"seed": True}, "seed: got bool"),
        ({"seed": 2**63}, "from 0 to"),
    ],
)
def test_bad_input_is_explained(painter, quick, changes, expected):
    call = {**GOOD, **changes}
    with pytest.raises(InpaintError, match=expected):
        fill(
            painter, call["image"], call["mask"], call["prompt"], seed=call["seed"], settings=quick
        )
    assert painter.calls == []


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda canvas: canvas[:-1],
            r"got an array of shape \(63, 64, 3\) .*expected \(64, 64, 3\)",
        ),
        (lambda canvas: canvas[..., :1], r"shape \(64, 64, 1\)"),
        (lambda canvas: canvas / 255, "dtype float64"),
        (lambda canvas: None, "got NoneType"),
    ],
)
def test_a_painter_that_returns_something_else_is_refused(quick, change, says):
    class Other:
        def paint(self, image, *arguments, **options):
            return change(image)

        def cut_off(self, prompt):
            return ""

    with pytest.raises(InpaintError, match=says):
        fill(Other(), GOOD["image"], GOOD["mask"], "a pear", settings=quick)


def test_public_names():
    assert inpaint.__all__ == [
        "Cancelled",
        "Fill",
        "InpaintError",
        "InpaintSettings",
        "Inpainter",
        "fill",
        "fill_many",
        "load_inpainter",
    ]
    assert callable(inpaint.fill)


def test_import_loads_nothing_heavy():
    code = (
        "import sys, groundbrush.inpaint, groundbrush.inpaint.painter.loading;"
        "heavy = {'torch', 'diffusers', 'transformers', 'scipy.sparse.linalg', 'pydantic',"
        " 'groundbrush.grounding', 'groundbrush.editor.api'};"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
