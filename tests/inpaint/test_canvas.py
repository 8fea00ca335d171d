from __future__ import annotations

import numpy as np
import pytest
from groundbrush.inpaint.prefill import prefill, resize_image, resize_mask
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

MASKS = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


def test_resize_mask_by_hand():
    mask = np.array([[0, 0, 1, 0, 0, 0]], bool)
    np.testing.assert_array_equal(resize_mask(mask, (3, 1)), [[0, 1, 0]])
    np.testing.assert_array_equal(resize_mask(mask, (4, 1)), [[0, 1, 0, 0]])
    np.testing.assert_array_equal(resize_mask(mask[:, 2:4], (4, 1)), [[1, 1, 0, 0]])


@given(MASKS, st.integers(1, 20), st.integers(1, 20))
def test_resize_mask_loses_nothing(mask, width, height):
    resized = resize_mask(mask, (width, height))
    assert resized.shape == (height, width)
    assert resized.dtype == bool
    assert resized.any() == mask.any()
    assert resized.all() >= mask.all()
    # Every True pixel's centre lands on a True pixel.
    rows, columns = np.nonzero(mask)
    new_rows = ((rows + 0.5) * height / mask.shape[0]).astype(int)
    new_columns = ((columns + 0.5) * width / mask.shape[1]).astype(int)
    assert resized[new_rows, new_columns].all()


def test_resize_image_averages_going_down():
    image = np.zeros((2, 4, 3), np.uint8)
    image[:, ::2] = 200
    np.testing.assert_array_equal(resize_image(image, (2, 1)), np.full((1, 2, 3), 100))


@pytest.mark.parametrize("shape", [(1, 1, 3), (7, 3, 3), (3, 7, 3)])
@pytest.mark.parametrize("size", [(64, 64), (2, 9), (1, 1)])
def test_resize_image_of_tiny_pictures(shape, size):
    image = np.full(shape, 77, np.uint8)
    resized = resize_image(image, size)
    assert resized.shape == (size[1], size[0], 3)
    np.testing.assert_array_equal(resized, 77)


@pytest.mark.parametrize("kind", ["blur", "telea", "grey"])
def test_prefill_hides_the_old_object_and_keeps_the_rest(kind):
    image = np.full((70, 90, 3), (40, 80, 120), np.uint8)
    hole = np.zeros((70, 90), bool)
    hole[20:50, 30:60] = True
    image[hole] = 255
    filled = prefill(image, hole, kind)
    np.testing.assert_array_equal(filled[~hole], image[~hole])
    expected = 128 if kind == "grey" else (40, 80, 120)
    tolerance = 4 if kind == "telea" else 0  # OpenCV dithers a flat colour
    np.testing.assert_allclose(
        filled[hole].astype(int), np.broadcast_to(expected, (900, 3)), atol=tolerance
    )


def test_prefill_none_shows_it():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(prefill(image, np.eye(4, dtype=bool), "none"), image)


@pytest.mark.parametrize("kind", ["blur", "telea", "grey"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (64, 64)])
def test_prefill_of_everything_is_grey(kind, shape):
    image = np.zeros((*shape, 3), np.uint8)
    np.testing.assert_array_equal(prefill(image, np.ones(shape, bool), kind), 128)


@given(MASKS, st.sampled_from(["blur", "telea"]), st.integers(0, 2**32 - 1))
def test_prefill_stays_within_the_known_colours(mask, kind, seed):
    image = np.random.default_rng(seed).integers(60, 180, (*mask.shape, 3), dtype=np.uint8)
    image[mask] = 0
    filled = prefill(image, mask, kind)
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    if mask.any() and not mask.all():
        # OpenCV's sum strays by a grey level or less for each pixel it goes into the hole.
        tolerance = sum(mask.shape) if kind == "telea" else 1
        assert filled.min() >= 60 - tolerance
        assert filled.max() < 180 + tolerance


def test_telea_with_a_hole_thinner_than_its_copy_falls_back():
    # Stripes: at 256 px every cell touches the hole, so there is nothing to paint from.
    image = np.full((300, 1200, 3), 90, np.uint8)
    hole = np.zeros((300, 1200), bool)
    hole[:, ::3] = True
    np.testing.assert_array_equal(prefill(image, hole, "telea"), 90)
