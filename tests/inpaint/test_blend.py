"""Poisson and Laplacian pasting: what they must do at the border and must not do elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from groundbrush.inpaint import InpaintSettings, fill
from groundbrush.inpaint.paste import _membrane, laplacian, poisson
from groundbrush.inpaint.quality import ring_colour_error
from groundbrush.inpaint.support import inward_feather
from hypothesis import given, settings
from hypothesis import strategies as st


def disc(side: int = 64, radius: int = 18) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - side / 2
    return x**2 + y**2 < radius**2


def test_the_membrane_is_harmonic_and_meets_its_rim():
    values = np.zeros((9, 9, 3), np.float32)
    values[..., 0] = np.arange(9)[None]  # a plane is its own membrane
    hole = np.zeros((9, 9), bool)
    hole[2:7, 2:7] = True
    hollow = values.copy()
    hollow[hole] = 77
    np.testing.assert_allclose(_membrane(hollow, hole), values, atol=1e-4)


def test_poisson_takes_a_cast_away():
    original = np.full((64, 64, 3), 100, np.uint8)
    painted = original + 20
    out = poisson(painted, original, disc())
    assert np.abs(out[disc()].astype(int) - 100).max() <= 1
    np.testing.assert_array_equal(out[~disc()], painted[~disc()])


def test_poisson_takes_a_cast_that_varies_away():
    original = np.full((96, 96, 3), 100, np.uint8)
    cast = np.linspace(0, 30, 96).round()[None, :, None].repeat(96, 0).repeat(3, 2)
    painted = (original + cast).astype(np.uint8)
    before = ring_colour_error(
        np.where(disc(96, 30)[..., None], painted, original), original, disc(96, 30)
    )
    out = np.where(disc(96, 30)[..., None], poisson(painted, original, disc(96, 30)), original)
    assert ring_colour_error(out, original, disc(96, 30)) < 0.2 * before


def test_poisson_keeps_what_was_painted():
    original = np.full((64, 64, 3), 100, np.uint8)
    painted = original.copy()
    painted[disc(64, 8)] = (220, 30, 60)
    out = poisson(painted, original, disc())
    assert np.abs(out.astype(int) - painted).max() <= 1


def test_poisson_does_not_bleed_without_bound():
    original = np.zeros((64, 64, 3), np.uint8)
    painted = np.full((64, 64, 3), 200, np.uint8)
    assert poisson(painted, original, disc())[32, 32].min() >= 200 - 48


def test_without_a_rim_nothing_is_bent():
    painted = np.full((20, 20, 3), 50, np.uint8)
    original = np.full((20, 20, 3), 90, np.uint8)
    everything = np.ones((20, 20), bool)
    np.testing.assert_array_equal(poisson(painted, original, everything), painted)


def test_laplacian_leaves_no_ghost():
    original = np.full((96, 96, 3), 100, np.uint8)
    original[disc(96, 20)] = (250, 0, 0)
    painted = np.full((96, 96, 3), 110, np.uint8)
    core, support = disc(96, 20), disc(96, 28)
    out = laplacian(painted, original, inward_feather(support, 6, core))
    assert np.abs(out[disc(96, 16)].astype(int) - 110).max() <= 10
    np.testing.assert_allclose(out[~disc(96, 40)], original[~disc(96, 40)], atol=4)


class NoisePainter:
    def paint(self, image, mask, prompt, *, seed, **options):
        return np.random.default_rng(seed).integers(0, 256, image.shape, dtype=np.uint8)

    def cut_off(self, prompt):
        return ""


@pytest.mark.parametrize("blend", ["poisson", "laplacian"])
@given(
    shape=st.sampled_from([(1, 1), (2, 9), (33, 20), (64, 64), (40, 100)]),
    share=st.sampled_from([0.001, 0.02, 0.5, 1.0]),
    seed=st.integers(0, 2**32),
)
@settings(max_examples=15, deadline=None)
def test_outside_the_support_nothing_changes(blend, shape, share, seed):
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = draw.random(shape) < share
    mask[shape[0] // 2, shape[1] // 2] = True
    chosen = InpaintSettings(size=64, buckets="square", min_context=2, blend=blend)
    result = fill(NoisePainter(), image, mask, "x", seed=seed, settings=chosen)
    np.testing.assert_array_equal(result.image[~result.support], image[~result.support])
    plain = fill(
        NoisePainter(), image, mask, "x", seed=seed, settings=replace(chosen, blend="feather")
    )
    assert result.image.shape == plain.image.shape
