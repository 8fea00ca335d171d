"""Nothing that a request names is passed over in silence, and nothing absurd is taken for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from groundbrush import Editor, GroundbrushError
from groundbrush.__main__ import main
from groundbrush.editor.masks.source import fit_box, read_mask
from groundbrush.editor.values import check_words
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FRUIT = EXAMPLES / "fruit.png"


@pytest.mark.parametrize(
    "words", ["the red apple and the car", "apple . car .", "the apple, the car"]
)
@pytest.mark.parametrize("method", ["ground", "remove", "mask"])
def test_a_phrase_of_two_things_is_refused_with_its_parts(miniature: Editor, method, words):
    with pytest.raises(GroundbrushError, match="names 2 things: .*apple.*, .*car"):
        getattr(miniature, method)(FRUIT, words)


def test_a_relation_of_several_is_not_left_out(miniature: Editor):
    with pytest.raises(GroundbrushError, match="cannot find 'shelf'"):
        miniature.check_find("all the apples on the shelf")


def test_the_command_line_says_so_before_a_model_is_loaded(capsys, tmp_path):
    command = ["remove", str(FRUIT), "--find", "the red apple and the car", "--out", str(tmp_path)]
    assert main(command) == 1
    error = capsys.readouterr().err
    assert "groundbrush apply" in error
    assert "loading" not in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "words", ["no apple", "neither dog", "without the dog", "none of the cups", "No  dog"]
)
def test_words_that_exclude_are_refused(words):
    with pytest.raises(GroundbrushError, match="expected the thing itself"):
        check_words("find", words)


@pytest.mark.parametrize(
    "words", ["the", "all of it", "that one", "all the things", "the two on the left", "the rest"]
)
def test_words_that_name_nothing_are_refused(words):
    with pytest.raises(GroundbrushError, match="names no thing"):
        check_words("find", words)


@pytest.mark.parametrize(
    "words", ["the no smoking sign", "no entry sign", "the one-way sign", "TV"]
)
def test_words_that_name_a_thing_are_kept(words):
    assert check_words("find", words) == words


def test_a_box_in_fractions_is_refused_with_its_pixels():
    with pytest.raises(GroundbrushError, match="of 200x100 they are 20,50,80,80"):
        fit_box((0.1, 0.5, 0.4, 0.8), (200, 100))
    assert fit_box((0, 0, 2, 1), (200, 100)) == (0, 0, 2, 1)


def photograph() -> np.ndarray:
    with Image.open(FRUIT) as image:
        return np.array(image.convert("RGB"))


def test_a_photograph_is_no_mask():
    pixels = photograph()
    with pytest.raises(GroundbrushError, match="looks like a picture"):
        read_mask(Image.fromarray(pixels), pixels.shape[1::-1])
    with pytest.raises(GroundbrushError, match="looks like a picture"):
        read_mask(Image.fromarray(pixels).convert("L"), pixels.shape[1::-1])


def test_a_colourful_picture_is_no_mask_though_nothing_in_it_is_grey():
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (48, 64, 3), dtype=np.uint8)
    pixels[..., 2] = rng.choice([0, 255], (48, 64))
    with pytest.raises(GroundbrushError, match="looks like a picture"):
        read_mask(Image.fromarray(pixels), (64, 48))


def test_a_picture_with_a_hole_in_its_alpha_is_no_mask_and_the_hole_is_named():
    pixels = photograph()
    alpha = np.full(pixels.shape[:2], 255, np.uint8)
    alpha[10:30, 10:40] = 0
    with pytest.raises(GroundbrushError, match="Its 600 transparent pixels may be meant"):
        read_mask(Image.fromarray(np.dstack([pixels, alpha])), pixels.shape[1::-1])


def test_masks_as_people_draw_them_are_masks():
    size = (64, 48)
    for colour in ((255, 255, 255), (255, 0, 0), (0, 200, 255)):
        drawn = Image.new("RGB", size)
        drawn.paste(colour, (10, 10, 40, 30))
        smooth = drawn.resize((256, 192), Image.Resampling.BICUBIC).resize(size)
        assert 300 <= read_mask(smooth, size)[0].sum() <= 900
    soft = np.zeros((48, 64), np.uint8)
    soft[8:40, 8:56] = np.linspace(0, 255, 48).astype(np.uint8)
    assert read_mask(Image.fromarray(soft), size)[0].any()


@pytest.mark.parametrize("command", [["ground", "the car"], ["remove", "--find", "the car"]])
def test_an_out_named_like_a_picture_makes_no_folder(command, tmp_path, capsys):
    name, *words = command
    out = tmp_path / "result.png"
    assert main([name, str(FRUIT), *words, "--out", str(out)]) == 1
    assert "named like a picture; expected a folder" in capsys.readouterr().err
    assert not out.exists()
    assert main([name, str(FRUIT), *words, "--out", "-"]) == 1
    assert "--out '-' given; expected a folder" in capsys.readouterr().err


def test_a_tiff_without_a_resolution_gets_none(miniature: Editor, tmp_path):
    Image.fromarray(photograph()).save(tmp_path / "plain.tif")
    box = (30, 140, 110, 220)
    edit = miniature.edit(tmp_path / "plain.tif", paint="a frog", box=box, settings={"steps": 2})
    for suffix in ("png", "jpg"):
        edit.save(tmp_path / f"out.{suffix}")
        with Image.open(tmp_path / f"out.{suffix}") as saved:
            assert "dpi" not in saved.info
