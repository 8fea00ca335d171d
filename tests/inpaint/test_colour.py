from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint.paste import GAIN_RANGE, OFFSET_RANGE, ColourFit, fit_colour
from scipy import ndimage


@pytest.fixture
def truth():
    rows = np.random.default_rng(1).integers(60, 190, (40, 40, 3))
    return rows.astype(np.uint8)


def test_a_known_cast_is_undone(truth):
    cast = np.clip(np.rint(truth * (0.9, 1.0, 1.1) + (4, -10, 0)), 0, 255).astype(np.uint8)
    fit = fit_colour(cast, truth, np.ones((40, 40), bool))
    np.testing.assert_allclose(fit.gain, (1 / 0.9, 1.0, 1 / 1.1), atol=0.01)
    assert np.abs(fit.apply(cast).astype(int) - truth).max() <= 1


def test_the_masked_pixels_have_no_say(truth):
    cast = (truth + 12).astype(np.uint8)
    known = np.ones((40, 40), bool)
    known[:20] = False
    cast[:20] = 0
    fit = fit_colour(cast, truth, known)
    np.testing.assert_allclose(fit.offset, (-12, -12, -12), atol=1e-6)


def test_drifted_shapes_do_not_pull(truth):
    cast = (truth - 8).astype(np.uint8)
    cast[:8] = 255  # a fifth of the pixels show something else
    fit = fit_colour(cast, truth, np.ones((40, 40), bool))
    np.testing.assert_allclose(fit.offset, (8, 8, 8), atol=0.5)
    np.testing.assert_allclose(fit.gain, (1, 1, 1), atol=0.01)


def test_too_few_pixels_give_the_identity(truth):
    known = np.zeros((40, 40), bool)
    known[:13, :19] = True  # 3 x 4 whole blocks
    assert fit_colour((truth + 20).astype(np.uint8), truth, known) == ColourFit()


def test_lost_sharpness_is_not_lost_contrast():
    rows = np.random.default_rng(2).normal(0, 1, (80, 80, 3))
    shapes = ndimage.gaussian_filter(rows, (4, 4, 0))
    truth = 128 + 30 * shapes / shapes.std() + 15 * rows
    blurred = ndimage.gaussian_filter(truth, (1, 1, 0))
    truth, blurred = (np.clip(part, 0, 255).astype(np.uint8) for part in (truth, blurred))
    fit = fit_colour(blurred, truth, np.ones((80, 80), bool))
    np.testing.assert_allclose(fit.gain, (1, 1, 1), atol=0.04)  # by pixels: 1.05


def test_flat_surroundings_give_an_offset_alone():
    painted = np.full((20, 20, 3), 100, np.uint8)
    fit = fit_colour(painted, painted + 9, np.ones((20, 20), bool))
    assert fit.gain == (1, 1, 1)
    np.testing.assert_array_equal(fit.apply(painted), 109)


def test_the_fit_is_bounded(truth):
    fit = fit_colour(255 - truth, truth, np.ones((40, 40), bool))
    assert all(GAIN_RANGE[0] <= gain <= GAIN_RANGE[1] for gain in fit.gain)
    assert all(OFFSET_RANGE[0] <= offset <= OFFSET_RANGE[1] for offset in fit.offset)
    dark, light = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 250, np.uint8)
    assert fit_colour(dark, light, np.ones((20, 20), bool)).offset == (32, 32, 32)


def test_the_identity_changes_nothing(truth):
    np.testing.assert_array_equal(ColourFit().apply(truth), truth)


def test_correction_saturates_rather_than_wraps():
    image = np.array([[[250, 5, 128]]], np.uint8)
    fit = ColourFit(offset=(20, -20, 0))
    np.testing.assert_array_equal(fit.apply(image), [[[255, 0, 128]]])
