"""Seam and ring colour error, on pictures with a known answer."""

from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint.quality import ring_colour_error, seam_error
from hypothesis import given
from hypothesis import strategies as st


def disc(side: int = 64, radius: int = 18) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    return x**2 + y**2 < radius**2


def test_a_smooth_picture_has_no_seam():
    ramp = np.repeat(np.arange(64)[None, :, None], 64, 0).repeat(3, 2).astype(np.uint8)
    assert seam_error(ramp, disc()) < 0.5
    assert ring_colour_error(ramp, ramp, disc()) < 2


def test_a_step_counts_by_its_height():
    for height in (10, 40, 100):
        image = np.full((64, 64, 3), 90, np.uint8)
        image[disc()] += height
        assert seam_error(image, disc()) == pytest.approx(height, abs=1e-6)
        original = np.full_like(image, 90)
        assert ring_colour_error(image, original, disc()) == pytest.approx(height, abs=0.01)


def test_steps_beside_the_border_reach_to_the_edge_of_the_picture():
    line = np.repeat(np.array([[0, 10, 50, 54]], np.uint8)[..., None], 3, 2)
    inside = np.array([[False, False, True, True]])
    assert seam_error(line, inside) == 40 - (10 + 4) / 2
    assert seam_error(line.swapaxes(0, 1), inside.T) == 40 - (10 + 4) / 2


def test_texture_alone_is_no_seam():
    noise = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    assert seam_error(noise, disc(96, 30)) < 6
    smooth = np.full_like(noise, 128)
    smooth[disc(96, 30)] = 188
    assert seam_error(smooth, disc(96, 30)) == 60


def test_a_feathered_step_shows_less_seam_and_the_same_cast():
    hard = np.full((64, 64, 3), 90, np.uint8)
    hard[disc()] += 40
    soft = np.full((64, 64, 3), 90, np.uint8)
    for k, radius in enumerate(range(18, 10, -1)):
        soft[disc(64, radius)] = 90 + 5 * (k + 1)
    original = np.full_like(hard, 90)
    assert seam_error(soft, disc()) < 0.3 * seam_error(hard, disc())
    # wider than the ramp, the ring sees the cast all the same
    assert ring_colour_error(soft, original, disc(), 8) > 15


def test_drift_of_the_whole_picture_counts():
    original = np.full((64, 64, 3), 100, np.uint8)
    assert ring_colour_error(original + 7, original, disc()) == pytest.approx(7, abs=0.01)
    assert seam_error(original + 7, disc()) == 0


def test_what_lies_deep_inside_does_not_count():
    image = np.full((64, 64, 3), 90, np.uint8)
    painted = image.copy()
    painted[disc(64, 8)] = 255
    assert seam_error(painted, disc()) == 0
    assert ring_colour_error(painted, image, disc()) < 0.5


@given(st.sampled_from(["full", "pixel", "corner", "line"]), st.integers(0, 1000))
def test_any_mask_gives_a_finite_number(kind, seed):
    image = np.random.default_rng(seed).integers(0, 256, (9, 13, 3), dtype=np.uint8)
    mask = np.zeros((9, 13), bool)
    mask[
        {"full": np.s_[:], "pixel": np.s_[4, 5], "corner": np.s_[0, 0], "line": np.s_[3]}[kind]
    ] = 1
    seam, ring = seam_error(image, mask), ring_colour_error(image, 255 - image, mask)
    assert 0 <= seam <= 255 and 0 <= ring <= 255
    if kind == "full":
        assert (seam, ring) == (0, 0)


def test_an_empty_support_has_no_border():
    image, nothing = np.zeros((8, 8, 3), np.uint8), np.zeros((8, 8), bool)
    assert (seam_error(image, nothing), ring_colour_error(image, 255 - image, nothing)) == (0, 0)
