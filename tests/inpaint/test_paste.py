"""A large window is finished on a copy: cheaper, and nothing may show of it."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
from groundbrush.inpaint import InpaintSettings, paste
from groundbrush.inpaint import support as masks
from groundbrush.inpaint.crop import Crop
from groundbrush.inpaint.paste import Target, finished_size, halved_window
from groundbrush.inpaint.prefill import resize_image
from groundbrush.inpaint.quality import ring_colour_error, seam_error
from groundbrush.inpaint.support import support

SETTINGS = InpaintSettings(size=64, buckets="square", feather=8, dilate=0.06, blend="laplacian")
CANVAS = (64, 64)


def disc(side=600, radius=140):
    rows, columns = np.mgrid[:side, :side] - side // 2
    return rows**2 + columns**2 <= radius**2


def ground(side=600):
    rows, columns = np.mgrid[:side, :side]
    noise = np.random.default_rng(0).integers(-20, 20, (side, side))
    grey = 90 + rows // 10 + columns // 20 + noise
    return np.repeat(grey[..., None], 3, 2).clip(0, 255).astype(np.uint8)


def painted_canvas():
    canvas = np.full((*CANVAS, 3), 60, np.uint8)
    canvas[20:44, 20:44] = (200, 40, 40)
    return canvas


def target(**changes):
    chosen = replace(SETTINGS, **changes)
    mask = disc()
    whole = Target(ground(), mask, support(mask, chosen))
    return whole, Crop((60, 60, 540, 540), CANVAS), chosen


@pytest.mark.parametrize("canvas", [(64, 64), (128, 32)])
@pytest.mark.parametrize("window", [(1, 1), (63, 128), (129, 40), (5000, 3000), (7, 9000)])
def test_a_window_is_finished_at_its_own_size_or_smaller(window, canvas):
    size = finished_size(window, canvas)
    assert min(size) >= 1
    assert size == window or max(size) == paste.FINEST * max(canvas) < max(window)


@pytest.mark.parametrize("window", [(0, 0, 600, 600), (30, 7, 570, 71), (0, 0, 90, 90)])
def test_a_halved_window_gives_both_sizes_the_same_pixels(window):
    image, crop = (
        np.random.default_rng(0).integers(0, 256, (600, 600, 3), np.uint8),
        Crop(window, CANVAS),
    )
    halved, whole = halved_window(image, crop), image[crop.slices]
    for size in (CANVAS, finished_size(whole.shape[1::-1], CANVAS)):
        np.testing.assert_array_equal(resize_image(halved, size), resize_image(whole, size))


@pytest.mark.parametrize("blend", ["feather", "laplacian", "poisson"])
@pytest.mark.parametrize("feather", [0, 8, 60])
def test_a_small_copy_gives_the_same_picture(monkeypatch, blend, feather):
    whole, crop, chosen = target(blend=blend, feather=feather)
    small = whole.paste(painted_canvas(), crop, chosen)
    monkeypatch.setattr(paste, "FINEST", 1000)
    full = whole.paste(painted_canvas(), crop, chosen)
    np.testing.assert_array_equal(small[~whole.support], whole.image[~whole.support])
    apart = np.abs(small.astype(int) - full)[whole.support]
    # The ground's grain, 20 levels, is weighted a little differently on the ramp; shapes are not,
    # and no seam shows.
    assert apart.mean() < 4
    smooth = [cv2.GaussianBlur(one, (0, 0), 3).astype(int) for one in (small, full)]
    assert np.abs(smooth[0] - smooth[1]).max() < 20
    assert seam_error(small, whole.support) < seam_error(full, whole.support) + 1
    assert (small != full).any()  # two ways indeed


def test_the_mask_is_replaced_wholly():
    whole, crop, chosen = target(feather=40, blend="feather", colour_match=False)
    whole.image[:] = 0
    result = whole.paste(np.full((*CANVAS, 3), 255, np.uint8), crop, chosen)
    assert (result[whole.mask] == 255).all()
    ring = whole.support & ~whole.mask
    assert 0 < result[ring].mean() < 255
    assert not result[~whole.support].any()


def test_a_hard_edge_stays_hard():
    whole, crop, chosen = target(feather=0, dilate=0, blend="feather", colour_match=False)
    whole.image[:] = 0
    result = whole.paste(np.full((*CANVAS, 3), 255, np.uint8), crop, chosen)
    np.testing.assert_array_equal(result == 255, np.repeat(whole.support[..., None], 3, 2))


def test_a_drawn_mask_ramps_inside_itself():
    whole, crop, chosen = target(feather=40, dilate=0, blend="feather", colour_match=False)
    whole.image[:] = 0
    result = whole.paste(np.full((*CANVAS, 3), 255, np.uint8), crop, chosen)[..., 0]
    along = result[300, 300:440].astype(int)  # from the middle to the edge
    assert along[0] == 255
    assert along[-1] < 40
    assert (np.diff(along) <= 0).all()


def test_a_window_as_tight_as_the_support_still_ramps():
    mask = np.zeros((600, 600), bool)
    mask[100:500, 100:500] = True
    chosen = replace(SETTINGS, feather=40, dilate=0, blend="feather", colour_match=False)
    whole, crop = Target(np.zeros((600, 600, 3), np.uint8), mask, mask), (100, 100, 500, 500)
    result = whole.paste(np.full((*CANVAS, 3), 255, np.uint8), Crop(crop, CANVAS), chosen)
    assert 0 < result[300, 102, 0] < 60
    assert result[300, 300, 0] == 255


@pytest.mark.parametrize("shape", ["outline", "hull"])
@pytest.mark.parametrize("side", [1500, 2600])
def test_a_large_support_is_that_of_the_full_size_nearly(monkeypatch, side, shape):
    mask = disc(side, side // 2 - 200)
    mask[side // 2 :, : side // 2] = False
    mask[side // 2 - 60 : side // 2 - 30, side // 2 + 100 : side // 2 + 130] = False
    chosen = replace(SETTINGS, shape=shape)
    coarse = support(mask, chosen)
    assert (coarse >= mask).all()
    monkeypatch.setattr(masks, "_WORK_SIDE", 10**6)
    exact = support(mask, chosen)
    differ = (coarse != exact).view(np.uint8)
    step = -(-side // 1024)
    # They part by about a pixel of the copy along the border, nowhere more.
    assert not cv2.erode(differ, np.ones((2 * step + 2, 2 * step + 2), np.uint8)).any()


def test_how_visible_a_place_is_does_not_depend_on_the_size_it_is_looked_at():
    picture, place = ground(300), disc(300, 70)
    changed = picture.copy()
    changed[place] = changed[place] // 2
    large = [cv2.resize(a, (1800, 1800), interpolation=cv2.INTER_CUBIC) for a in (changed, picture)]
    wide = cv2.resize(place.view(np.uint8), (1800, 1800), interpolation=cv2.INTER_NEAREST) > 0
    once = ring_colour_error(changed, picture, place)
    assert ring_colour_error(large[0], large[1], wide) == pytest.approx(once, rel=0.1)
    assert seam_error(large[0], wide) > 0
