from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint import InpaintError
from groundbrush.inpaint.paste import assert_preserved, composite
from hypothesis import given
from hypothesis import strategies as st


def test_blend_by_hand():
    image = np.full((1, 4, 3), 100, np.uint8)
    painted = np.full((1, 3, 3), 200, np.uint8)
    alpha = np.array([[0.25, 1, 0]], np.float32)
    result = composite(image, painted, alpha, (1, 0, 4, 1))
    np.testing.assert_array_equal(result[0, :, 0], [100, 125, 200, 100])
    np.testing.assert_array_equal(image, 100)


@given(st.integers(0, 2**32 - 1), st.floats(0, 1))
def test_only_positive_alpha_changes(seed, share):
    draw = np.random.default_rng(seed)
    image = draw.integers(0, 256, (12, 15, 3), dtype=np.uint8)
    painted = draw.integers(0, 256, (8, 9, 3), dtype=np.uint8)
    support = draw.random((12, 15)) < share
    alpha = np.where(support, draw.random((12, 15)), 0).astype(np.float32)
    result = composite(image, painted, alpha[2:10, 3:12], (3, 2, 12, 10))
    assert_preserved(image, result, support)
    window = np.zeros_like(support)
    window[2:10, 3:12] = True
    np.testing.assert_array_equal(result[~window], image[~window])
    low = np.minimum(image[2:10, 3:12], painted)
    high = np.maximum(image[2:10, 3:12], painted)
    assert ((result[2:10, 3:12] >= low) & (result[2:10, 3:12] <= high)).all()


def test_all_parts_of_a_window_are_blended_alike():
    draw = np.random.default_rng(1)
    image = draw.integers(0, 256, (300, 140, 3), dtype=np.uint8)
    painted = draw.integers(0, 256, (300, 140, 3), dtype=np.uint8)
    alpha = draw.random((300, 140)).astype(np.float32)
    alpha[:130], alpha[130:260, :135] = 1, 0  # wholly painted, not at all, and both
    alpha[260:] *= 0.4  # and faintly
    whole = composite(image, painted, alpha, (0, 0, 140, 300))
    np.testing.assert_array_equal(whole[:130], painted[:130])
    np.testing.assert_array_equal(whole[130:260, :135], image[130:260, :135])
    expected = image + alpha[..., None] * (painted.astype(float) - image)
    np.testing.assert_allclose(whole, expected, atol=0.51)


def test_one_changed_pixel_is_found_and_named():
    image = np.zeros((5, 6, 3), np.uint8)
    result = image.copy()
    result[3, 4, 1] = 1
    support = np.zeros((5, 6), bool)
    with pytest.raises(InpaintError, match=r"1 pixels outside the support.*x=4, y=3"):
        assert_preserved(image, result, support)
    support[3, 4] = True
    assert_preserved(image, result, support)
