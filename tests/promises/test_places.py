"""Boxes and masks as people have them, and places that are far apart."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint.quality import ring_colour_error, seam_error
from PIL import Image

QUICK = {"steps": 2}

pytestmark = pytest.mark.slow


def painted(miniature, picture, attempt, **place):
    return attempt(lambda: miniature.edit(picture, paint="a frog", settings=QUICK, **place))


def hinted(result, *words: str) -> bool:
    """Refused, or noted in words of which one is there."""
    said = result if isinstance(result, str) else " ".join(result.notes)
    return any(word in said.lower() for word in words)


def test_a_box_in_fractions_gets_a_hint(miniature, example, attempt):
    result = painted(miniature, example("fruit").path, attempt, box=(0.1, 0.5, 0.4, 0.8))
    assert hinted(result, "fraction", "share", "pixels, not")


def test_a_box_in_another_scale_gets_a_hint(miniature, example, attempt):
    result = painted(miniature, example("fruit").path, attempt, box=(100, 100, 1900, 1400))
    assert hinted(result, "scale", "outside", "beyond", "cut")


def test_a_box_outside_the_picture_is_refused(miniature, example, attempt):
    result = painted(miniature, example("fruit").path, attempt, box=(800, 400, 1900, 900))
    assert isinstance(result, str)
    assert "outside" in result


def saved(tmp_path, pixels, mode=None):
    path = tmp_path / "mask.png"
    Image.fromarray(pixels, mode).save(path)
    return path


def test_a_hole_in_alpha_is_the_place_or_refused(miniature, example, attempt, tmp_path):
    fruit = example("fruit")
    car = fruit.mask("car")
    holed = np.dstack([fruit.scene.image, np.where(car, 0, 255).astype(np.uint8)])
    result = painted(miniature, fruit.path, attempt, mask=saved(tmp_path, holed))
    if isinstance(result, str):
        assert "alpha" in result or "transparent" in result
    else:
        assert result.support[car].mean() > 0.95
        assert result.support[~car].mean() < 0.1


def test_a_photograph_as_mask_is_refused(miniature, example, attempt):
    fruit = example("fruit")
    result = painted(miniature, fruit.path, attempt, mask=fruit.path)
    assert isinstance(result, str)


@pytest.mark.parametrize("values", [(0, 1), (0, 100), (50, 100), (200, 255)])
def test_any_two_valued_file_is_a_mask(miniature, example, attempt, tmp_path, values):
    fruit = example("fruit")
    car = fruit.mask("car")
    low, high = values
    path = saved(tmp_path, np.where(car, high, low).astype(np.uint8))
    result = painted(miniature, fruit.path, attempt, mask=path)
    assert not isinstance(result, str), result
    assert result.support[car].all()
    assert result.support[~car].mean() < 0.05


def test_an_inverted_mask_gets_a_hint(miniature, example, attempt, tmp_path):
    fruit = example("fruit")
    path = saved(tmp_path, np.where(fruit.mask("car"), 0, 255).astype(np.uint8))
    result = painted(miniature, fruit.path, attempt, mask=path)
    assert hinted(result, "invert", "white", "nearly")


def test_a_speck_of_a_mask_gets_a_hint(miniature, example, attempt):
    mask = np.zeros((256, 256), bool)
    mask[100, 100] = True
    result = painted(miniature, example("fruit").path, attempt, mask=mask)
    assert hinted(result, "1 pixel", "small", "one pixel", "nearly")


@pytest.mark.parametrize(
    ("ground", "ink"),
    [
        pytest.param((0, 0, 255), (255, 0, 0), id="red on blue"),
        pytest.param((255, 0, 0), (255, 255, 255), id="white on red"),
        pytest.param((90, 90, 90), (0, 255, 0), id="green on grey"),
    ],
)
def test_two_colours_are_a_mask_of_the_brighter(miniature, example, attempt, tmp_path, ground, ink):
    fruit = example("fruit")
    car = fruit.mask("car")
    pixels = np.where(car[..., None], ink, ground).astype(np.uint8)
    result = painted(miniature, fruit.path, attempt, mask=saved(tmp_path, pixels))
    assert not isinstance(result, str), result
    assert (result.support == car).all()
    plain = max(ground) <= 127
    assert plain or hinted(result, "painted where it is")


def test_a_mask_as_people_draw_it_gets_no_hint(miniature, example, attempt, tmp_path):
    fruit = example("fruit")
    path = saved(tmp_path, np.where(fruit.mask("car"), 255, 0).astype(np.uint8))
    for place in ({"mask": path}, {"box": (20, 20, 90, 90)}, {"box": (0, 100, 256.4, 200)}):
        assert painted(miniature, fruit.path, attempt, **place).notes == ()


def test_a_float_mask_is_refused(miniature, example, attempt):
    result = painted(miniature, example("fruit").path, attempt, mask=np.zeros((256, 256)))
    assert isinstance(result, str)
    assert "threshold" in result


CORNERS = ((60, 60, 260, 260), (1780, 1270, 1980, 1470))


def test_places_far_apart_are_as_good_as_each_alone(miniature, picture_of_two_places):
    before = np.asarray(Image.open(picture_of_two_places))
    together = miniature.remove(picture_of_two_places, box=CORNERS, check=False)
    for box in CORNERS:
        alone = miniature.remove(picture_of_two_places, box=box, check=False)
        for error in (
            lambda edit, where: seam_error(edit.image, where),
            lambda edit, where: ring_colour_error(edit.image, before, where),
        ):
            assert error(together, alone.support) <= error(alone, alone.support) + 2


def test_islands_of_a_mask_are_as_good_as_each_alone(miniature, picture_of_two_places):
    mask = np.zeros((1536, 2048), bool)
    for x0, y0, x1, y1 in CORNERS:
        mask[y0:y1, x0:x1] = True
    edit = miniature.remove(picture_of_two_places, mask=mask, check=False)
    alone = miniature.remove(picture_of_two_places, box=CORNERS[0], check=False)
    here = alone.support
    assert seam_error(edit.image, here) <= seam_error(alone.image, here) + 2
    steps = [np.abs(np.diff(e.image[60:260, 60:260].astype(int), axis=1)) for e in (edit, alone)]
    assert steps[0].mean() >= 0.7 * steps[1].mean()
