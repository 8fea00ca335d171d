"""A picture keeps its resolution, colour description, grey and alpha, or the loss is noted."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

QUICK = {"steps": 2}

pytestmark = pytest.mark.slow


def chunks(path) -> dict[bytes, bytes]:
    """A PNG's chunks by type."""
    held, data, at = {}, path.read_bytes(), 8
    while at < len(data):
        (size,) = struct.unpack(">I", data[at : at + 4])
        held[data[at + 4 : at + 8]] = data[at + 8 : at + 8 + size]
        at += 12 + size
    return held


def edited(miniature, source, target):
    """Repaint a corner of a file; what was noted."""
    edit = miniature.edit(source, paint="a frog", box=(20, 20, 90, 90), settings=QUICK)
    return " ".join((*edit.notes, *edit.save(target))).lower()


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_absent_resolution_stays_absent(miniature, example, tmp_path, ending):
    source, target = tmp_path / "a.tif", tmp_path / f"b.{ending}"
    Image.open(example("fruit").path).convert("RGB").save(source)
    edited(miniature, source, target)
    dpi = Image.open(target).info.get("dpi")
    assert dpi is None or dpi[0] >= 70


@pytest.mark.parametrize("ending", ["png", "jpg"])
def test_resolution_that_is_there_travels(miniature, example, tmp_path, ending):
    source, target = tmp_path / "a.tif", tmp_path / f"b.{ending}"
    Image.open(example("fruit").path).convert("RGB").save(source, dpi=(300, 300))
    edited(miniature, source, target)
    assert Image.open(target).info["dpi"][0] == pytest.approx(300, abs=1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(b"gAMA", struct.pack(">I", 100_000), id="linear"),
        pytest.param(b"cICP", bytes([12, 13, 0, 1]), id="Display P3"),
        pytest.param(b"cICP", bytes([9, 16, 0, 1]), id="PQ"),
    ],
)
def test_colour_chunks_travel_or_are_noted(miniature, example, tmp_path, name, value):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    held = PngInfo()
    held.add(name, value)
    Image.open(example("fruit").path).convert("RGB").save(source, pnginfo=held)
    assert chunks(source)[name] == value
    noted = edited(miniature, source, target)
    written = chunks(target)
    assert written.get(name) == value or b"iCCP" in written or "gamma" in noted or "cicp" in noted


def test_grey_stays_grey_or_is_noted(miniature, example, tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.open(example("fruit").path).convert("L").save(source)
    noted = edited(miniature, source, target)
    pixels = np.asarray(Image.open(target).convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1 or "grey" in noted or "gray" in noted


def test_grey_with_alpha_stays_grey_or_is_noted(miniature, example, tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.open(example("fruit").path).convert("LA").save(source)
    noted = edited(miniature, source, target)
    pixels = np.asarray(Image.open(target).convert("RGB")).astype(int)
    assert np.ptp(pixels, axis=2).max() <= 1 or "grey" in noted or "gray" in noted


def test_sixteen_bits_are_kept_or_noted(miniature, example, tmp_path):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    grey = np.asarray(Image.open(example("fruit").path).convert("L")).astype(np.uint16) * 257
    Image.fromarray(grey).save(source)
    noted = edited(miniature, source, target)
    assert Image.open(target).mode.startswith("I;16") or "16" in noted


def test_what_nobody_can_see_is_not_found(miniature, example, tmp_path):
    fruit = example("fruit")
    clear = np.zeros((256, 256), bool)
    clear[115:175, 135:215] = True
    source = tmp_path / "a.png"
    alpha = np.where(clear, 0, 255).astype(np.uint8)
    Image.fromarray(np.dstack([fruit.scene.image, alpha])).save(source)
    found = miniature.ground(source, "the car")
    assert found.status == "absent" or (found.mask & clear).sum() < 0.5 * found.mask.sum()


def clear_corner(fruit) -> np.ndarray:
    """The picture as RGBA, its upper left corner clear."""
    alpha = np.full((256, 256, 1), 255, np.uint8)
    alpha[:8, :8] = 0
    return np.concatenate((fruit.scene.image, alpha), axis=2)


def test_the_same_pixels_under_another_alpha_are_looked_at_again(miniature, example):
    fruit = example("fruit")
    shown = clear_corner(fruit)
    hidden = shown.copy()
    hidden[fruit.mask("car"), 3] = 0
    assert miniature.ground(Image.fromarray(shown), "the car").found
    found = miniature.ground(Image.fromarray(hidden), "the car")
    assert not found.found or found.mask[fruit.mask("car")].mean() < 0.5


@pytest.mark.parametrize("mode", ["L", "LA", "1", "I;16"])
def test_a_grey_file_stays_a_grey_file(miniature, example, tmp_path, mode):
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    grey = Image.open(example("fruit").path).convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    (wide if mode == "I;16" else grey.convert(mode)).save(source)
    edited(miniature, source, target)
    assert Image.open(target).mode == ("LA" if mode == "LA" else "L")


def test_a_white_page_in_rgb_gets_colours(miniature, tmp_path):
    """Grey is what a file says, not what its pixels happen to be."""
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    Image.new("RGB", (128, 128), "white").save(source)
    assert "grey" not in edited(miniature, source, target)
    assert np.ptp(np.asarray(Image.open(target)).astype(int), axis=2).max() > 1


def with_chunks(path, picture, *held):
    info = PngInfo()
    for name, value in held:
        info.add(name, value)
    picture.save(path, pnginfo=info)
    return path


def test_what_says_srgb_is_no_news(miniature, example, tmp_path):
    picture = Image.open(example("fruit").path).convert("RGB")
    held = (b"sRGB", b"\0"), (b"gAMA", struct.pack(">I", 45_455))
    source = with_chunks(tmp_path / "a.png", picture, *held)
    assert "colour description" not in edited(miniature, source, tmp_path / "b.jpg")


@pytest.mark.parametrize("ending", ["jpg", "webp"])
def test_a_colour_description_that_does_not_fit_is_noted(miniature, example, tmp_path, ending):
    picture = Image.open(example("fruit").path).convert("RGB")
    source = with_chunks(tmp_path / "a.png", picture, (b"cICP", bytes([9, 16, 0, 1])))
    assert "colour description (cicp)" in edited(miniature, source, tmp_path / f"b.{ending}")


def test_all_colour_chunks_of_a_file_travel_and_come_before_the_pixels(
    miniature, example, tmp_path
):
    picture = Image.open(example("fruit").path).convert("RGB")
    held = {
        b"gAMA": struct.pack(">I", 50_000),
        b"cHRM": struct.pack(">8I", *range(30_000, 30_008)),
        b"cICP": bytes([12, 13, 0, 1]),
    }
    source = with_chunks(tmp_path / "a.png", picture, *held.items())
    edited(miniature, source, tmp_path / "b.png")
    written = chunks(tmp_path / "b.png")
    assert {name: written.get(name) for name in held} == held
    order = list(written)
    assert max(map(order.index, held)) < order.index(b"IDAT")
    edited(miniature, tmp_path / "b.png", tmp_path / "c.png")
    assert {name: chunks(tmp_path / "c.png").get(name) for name in held} == held
